//! Preconditions, looked at every minute and before a person starts a move. A red line stands against a
//! move until a person overrides it by its name. Lines about the site that a move calls lost do not count, and of such a move
//! those about names are told and stand against nobody's start: not a person's, not a trigger's.

use std::collections::BTreeSet;
use std::time::Duration;

use schemas::check::GroupLine;
use schemas::{
    Access, Address, CheckLine, CheckReply, CheckView, Code, GroupId, Level, Problem, Running, Seen, Service,
    SiteId,
};
use serde_json::Value;

use crate::core::{Asked, Core, SILENT_AFTER, Timer};
use crate::elsewhere::look_first;
use crate::entry::GroupEntry;
use crate::followed::everywhere;
use crate::fresh::FRESH;
use crate::in_memory::Group;
use crate::name_lines::{path_line, ttl_line};
use crate::purpose::Leaves;
use crate::query::Purpose;
use crate::seam::{Answered, Now};
use crate::start::Checked;

/// Red by day, and no reason to leave users without a site: the bus carried the question, and what has ended, starts by
/// itself, is older or would stop a receiver is met where it matters.
const BY_DAY: [&str; 6] = ["bus", "runner-bus", "credentials", "autostart", "setup-version", "schema"];
/// How the line of a name begins that only the live site can change: it belongs to the group, not to a resource.
const PATH_OF: &str = "path-";
/// Said of a program that has to be stopped at one site: what may run at both may be started by others too.
const DORMANT: [&str; 2] = ["autostart", "check-script"];
/// What was looked at longer ago says nothing about now.
const LATEST: Duration = Duration::from_secs(180);
/// The line of a service whose server does not let it in.
const REACHABLE: &str = "reachable";
/// How long the services may take to look.
pub(crate) const CHECK_WITHIN: Duration = Duration::from_secs(4);
/// A difference of clocks that somebody should mend, and one that makes times meaningless.
const SKEW: (i64, i64) = (5, 30);

/// What is known of a group's preconditions in this life.
#[derive(Debug, Clone, Default)]
pub(crate) struct Preflight {
    /// When the last round ended.
    pub(crate) at: Option<Now>,
    /// Its lines, the worst first.
    pub(crate) lines: Vec<GroupLine>,
}

impl Core {
    /// Sets the first rounds, spread over the period so that many groups do not look at once.
    pub(crate) fn plan_preflights(&mut self, now: Now) {
        let Some(every) = self.preflight_every else { return };
        let groups: Vec<GroupId> = self.groups.keys().cloned().collect();
        let count = u32::try_from(groups.len()).unwrap_or(u32::MAX).max(1);
        for (i, group) in (1..).zip(groups) {
            self.timer(now.boot + every / count * i, Timer::Preflight(group));
        }
    }

    pub(crate) fn on_preflight_due(&mut self, now: Now, group: &GroupId) {
        if let Some(every) = self.preflight_every {
            self.timer(now.boot + every, Timer::Preflight(group.clone()));
            self.query(now, Purpose::Minute { group: group.clone() });
        }
    }

    /// The world has just changed: what the latest round found is not worth showing any more. Rounds come at their times
    /// all the same.
    pub(crate) fn check_soon(&mut self, now: Now, group: &GroupId) {
        if self.preflight_every.is_some() {
            self.query(now, Purpose::Minute { group: group.clone() });
        }
    }

    /// The world was just taken as it is: what the latest round found is of before. The next one comes at its time, when
    /// whoever adopted has armed the hosts too; nobody is kept from starting anything until then.
    pub(crate) fn forget_check(&mut self, group: &GroupId) {
        if let Some(g) = self.groups.get_mut(group) {
            g.preflight = Preflight::default();
        }
    }

    pub(crate) fn ask_check(&mut self, address: &Address, query: u64) {
        let subject = self.prefix.request(address, schemas::Verb::Check);
        let why = Asked::Check { address: address.clone(), query };
        self.ask(why, subject, Vec::new(), b"{}".to_vec(), CHECK_WITHIN);
    }

    pub(crate) fn on_checked(&mut self, now: Now, address: Address, query: u64, answer: Answered) {
        let reply = match answer {
            Answered::Reply(body) => serde_json::from_slice::<CheckReply>(&body).ok(),
            Answered::NoResponders | Answered::Silence => None,
        };
        match reply {
            Some(reply) => self.checked.insert(address.clone(), (now, reply)),
            None => self.checked.remove(&address),
        };
        self.query_answered(now, query, &address, crate::query::Kind::Check);
    }

    /// Takes a round that has ended; an entry is made when what is not green has changed.
    pub(crate) fn take_preflight(&mut self, now: Now, id: &GroupId) {
        let lines = self.lines(now, id);
        let names = |level: Level| -> BTreeSet<String> {
            lines.iter().filter(|l| l.line.level == level).map(|l| l.name.clone()).collect()
        };
        let (red, amber) = (names(Level::Red), names(Level::Amber));
        let Some(g) = self.groups.get_mut(id) else { return };
        g.preflight = Preflight { at: Some(now), lines };
        if g.record.live.is_some() && (g.record.red != red || g.record.amber != amber) {
            self.append_group(now, id, &GroupEntry::Preflight { red, amber });
        }
    }

    /// The latest round; `all` with its green lines.
    pub(crate) fn check_view(&self, id: &GroupId, all: bool) -> Option<CheckView> {
        let g = self.groups.get(id)?;
        let at = g.preflight.at?.wall;
        let lines = g.preflight.lines.iter().filter(|l| all || l.line.level != Level::Green);
        Some(CheckView { group: id.clone(), lines: lines.cloned().collect(), at })
    }

    /// The red lines of the latest round that a start which leaves `from` so is told.
    pub(crate) fn red_lines(&self, now: Now, id: &GroupId, from: &SiteId, leaves: Leaves) -> Vec<&GroupLine> {
        let Some(g) = self.groups.get(id) else { return Vec::new() };
        if g.preflight.at.is_none_or(|at| now.boot > at.boot + LATEST) {
            return Vec::new();
        }
        let counts = |line: &&GroupLine| {
            let there = line.address.as_ref().is_some_and(|address| address.site == *from);
            let passed = match leaves {
                Leaves::Lost => there || line.line.what == FRESH || BY_DAY.contains(&line.line.what.as_str()),
                Leaves::Planned => false,
                Leaves::Live => line.line.what == FRESH,
                // Beside a group that serves without a database nothing else tells that it was moved by hand.
                Leaves::Standby => {
                    line.line.what == FRESH || (line.line.what == "dormant" && !g.plan.one_live.is_empty())
                }
            };
            line.line.level == Level::Red && !passed
        };
        g.preflight.lines.iter().filter(counts).collect()
    }

    /// Of them those that keep a start from being made, by a person or by a trigger. Without its names a site that is open
    /// is worth more than none: what leaves a lost site goes on, and waits there.
    pub(crate) fn standing(&self, now: Now, id: &GroupId, from: &SiteId, leaves: Leaves) -> Vec<&GroupLine> {
        let mut red = self.red_lines(now, id, from, leaves);
        red.retain(|line| leaves != Leaves::Lost || !of_names(line));
        red
    }

    /// Refuses a start while a red line was not overridden by its name, for a preview as for the start itself.
    pub(crate) fn refuse_red(
        &self,
        now: Now,
        id: &GroupId,
        checked: &Checked,
        overrides: &[String],
    ) -> Result<(), Problem> {
        let undrainable = self.undrainable(now, id, checked);
        let mut named = self.red_lines(now, id, &checked.from, checked.leaves());
        named.extend(&undrainable);
        if let Some(stranger) = overrides.iter().find(|name| !named.iter().any(|line| line.name == **name)) {
            let detail = format!("no red line is called `{stranger}`: pointsman check {id}");
            return Err(Problem::new(Code::Conflict, detail));
        }
        let mut red = self.standing(now, id, &checked.from, checked.leaves());
        red.extend(&undrainable);
        red.retain(|line| !overrides.contains(&line.name));
        let remedies = match red.iter().all(|line| undrainable.contains(line)) {
            true => String::new(),
            false => format!(". `pointsman check {id}` names each remedy"),
        };
        let against: Vec<String> = red
            .iter()
            .map(|line| match &line.line.remedy {
                // `check` does not name it.
                Some(remedy) if undrainable.contains(line) => {
                    format!("{}: {} ({remedy})", line.name, line.line.text)
                }
                _ => format!("{}: {}", line.name, line.line.text),
            })
            .collect();
        match against.is_empty() {
            true => Ok(()),
            false => Err(Problem::new(Code::RedPrecondition, format!("{}{remedies}", against.join("; ")))),
        }
    }

    fn lines(&self, now: Now, id: &GroupId) -> Vec<GroupLine> {
        let Some(g) = self.groups.get(id) else { return Vec::new() };
        let mut lines = Vec::new();
        for address in g.plan.resources.iter().chain(&g.plan.clients) {
            let client = g.plan.clients.contains(address);
            for line in self.resource_lines(now, g, address) {
                // A client host that cannot follow is owed, and stops nothing.
                let level = if client { line.level.min(Level::Amber) } else { line.level };
                let name = format!("{address}:{}", line.what);
                let line = CheckLine { level, ..line };
                lines.push(GroupLine { name, address: Some(address.clone()), line });
            }
        }
        let whole = self.whole_lines(now, id, g);
        lines.extend(whole.into_iter().map(|line| GroupLine {
            name: format!("{id}:{}", line.what),
            address: None,
            line,
        }));
        lines.sort_by(|a, b| (b.line.level, &a.name).cmp(&(a.line.level, &b.name)));
        lines
    }

    fn resource_lines(&self, now: Now, g: &Group, address: &Address) -> Vec<CheckLine> {
        let mut lines = Vec::new();
        let fresh = |at: &Now| now.boot <= at.boot + SILENT_AFTER;
        let observed = self.observed.get(address).filter(|(at, _)| fresh(at) && !self.mute.contains(address));
        let checked = self.checked.get(address).filter(|(at, _)| fresh(at));
        let Some((at, seen)) = observed else {
            // A busy host answers late: its beats tell that it lives.
            if self.is_heard(now, address) {
                let remedy = "look at the load of its host, and of what stands behind it";
                lines.push(CheckLine::amber("answers", "it beats, and did not answer in time", remedy));
                return lines;
            }
            let since =
                self.heard.get(address).map_or("not heard since the runner's start".to_owned(), |heard| {
                    format!("last heard {} s ago", now.boot.saturating_sub(heard.boot).as_secs())
                });
            let remedy = match self.at_no_site(now, address) {
                Some(other) => format!(
                    "{other} is heard, and no group has the site {}: if it is the same one, mend `site:` of its host's file",
                    other.site
                ),
                None => "start `pointsman serve` on its host, or look at its link to the bus".to_owned(),
            };
            lines.push(CheckLine::red("answers", format!("silent: {since}"), remedy));
            return lines;
        };
        lines.push(CheckLine::green("answers", "answers"));
        if !seen.armed {
            lines.push(CheckLine::red("armed", "the host's brake is on", "on its host: pointsman arm"));
        }
        if !seen.adopted {
            let remedy = format!("pointsman adopt {} --why …", g.plan.group);
            lines.push(CheckLine::red("adopted", "its ledger is new or lost", remedy));
        }
        let skew = (seen.at - at.wall).num_seconds().abs();
        let text = format!("its clock differs from the runner's by {skew} s");
        if skew > SKEW.1 {
            lines.push(CheckLine::red("clock", text, "set the host's clock (NTP)"));
        } else if skew > SKEW.0 {
            lines.push(CheckLine::amber("clock", text, "set the host's clock (NTP)"));
        }
        if self.instances(now, address) > 1 {
            lines.push(CheckLine::red(
                "instances",
                "two services answer for it, with ledgers of their own",
                "stop one of them: `nats micro ls` shows where they run",
            ));
        }
        lines.extend(self.state_line(now, g, address, &seen.seen));
        lines.extend(self.fresh_line(now, g, address));
        lines.extend(fence_line(g, address, &seen.seen));
        lines.extend(self.point_line(now, g, address, &seen.seen));
        lines.extend(ttl_line(g, &seen.seen));
        lines.extend(path_line(g, &seen.seen));
        match checked {
            None => lines.push(CheckLine::amber(
                "check",
                "its service answers no check",
                "it is older than this runner, or overloaded: update it, or look at its log",
            )),
            Some((_, reply)) => {
                lines.extend(version_line(&reply.version));
                let both = address.service == Service::Process && !live_only(g, address);
                let ours = |line: &&CheckLine| !both || !DORMANT.contains(&line.what.as_str());
                lines.extend(reply.lines.iter().filter(ours).cloned());
                // One thing is wrong, and its service has the better words for it.
                if lines.iter().any(|line| line.what == REACHABLE && line.level == Level::Red) {
                    lines.retain(|line| line.what != "seen");
                }
            }
        }
        lines
    }

    /// What is heard under the same name, at a site that no group has.
    fn at_no_site(&self, now: Now, address: &Address) -> Option<&Address> {
        let known = |site: &SiteId| {
            let mut plans = self.groups.values().map(|g| &g.plan);
            plans.any(|plan| {
                let mut all = plan.resources.iter().chain(&plan.clients);
                plan.sites.contains(site) || all.any(|a| a.site == *site)
            })
        };
        let same = |other: &&Address| {
            (&other.service, &other.resource) == (&address.service, &address.resource)
                && self.is_heard(now, other)
                && !known(&other.site)
        };
        self.heard.keys().find(same)
    }

    /// Whether a resource is as it should be in peace, seen from where the group is live.
    fn state_line(&self, now: Now, g: &Group, address: &Address, seen: &Seen) -> Option<CheckLine> {
        let live = g.record.live.as_ref()?;
        // While a run moves the group everything is between two states.
        let peace = g.record.active.is_none() && g.plan.sites.contains(&address.site);
        match seen {
            Seen::Nothing(problem) => {
                let remedy = format!("pointsman explain {}", problem.code);
                Some(CheckLine::red("seen", problem.to_string(), remedy))
            }
            Seen::Database(d) if peace && g.plan.one_live.contains(&address.resource) => {
                Some(self.access_line(now, g, live, &address.site, d.access))
            }
            Seen::Process(p) if peace && live_only(g, address) => {
                Some(self.runs_line(now, g, live, &address.site, p.running))
            }
            Seen::Process(p) if peace && runs_everywhere(g, address) => Some(match p.running {
                Running::Stopped => CheckLine::amber(
                    "runs",
                    "it should run at both sites, and is stopped here",
                    "start it again by hand",
                ),
                _ => CheckLine::green("runs", "as it should be"),
            }),
            _ => None,
        }
    }

    /// Whether a database is open where its group is live, and closed elsewhere.
    fn access_line(&self, now: Now, g: &Group, live: &SiteId, site: &SiteId, access: Access) -> CheckLine {
        let dormant = site != live;
        match (dormant, access, self.elsewhere(now, g)) {
            (true, Access::Open | Access::Partly, Some(moved)) => {
                moved.line(Level::Red, "closed", "it accepts writes")
            }
            (true, Access::Open | Access::Partly, None) if self.is_site_seen_open(now, g, live) => {
                CheckLine::red(
                    "closed",
                    format!("it accepts writes although {live} is live"),
                    "two sites may be written: close it by hand, then look what was written there",
                )
            }
            (true, Access::Open | Access::Partly, None) => CheckLine::red(
                "closed",
                format!("it accepts writes although {live} counts as live"),
                look_first(g, live, site, "closed"),
            ),
            (false, Access::Closed, Some(moved)) => {
                moved.line(Level::Amber, "open", "it does not accept writes")
            }
            (false, Access::Closed | Access::Partly, _) => CheckLine::amber(
                "open",
                "it is live and does not accept all writes",
                "pointsman status says what is closed",
            ),
            _ => CheckLine::green(if dormant { "closed" } else { "open" }, "as it should be"),
        }
    }

    /// Whether a program that runs at the live site only does so.
    fn runs_line(&self, now: Now, g: &Group, live: &SiteId, site: &SiteId, running: Running) -> CheckLine {
        let dormant = site != live;
        // Of a group with no such database nobody can see where it is open.
        let serves = || g.plan.one_live.is_empty() || self.is_site_seen_open(now, g, live);
        match (dormant, running, self.elsewhere(now, g)) {
            (true, Running::Healthy | Running::Unhealthy, Some(moved)) => {
                moved.line(Level::Red, "dormant", "it runs")
            }
            (true, Running::Healthy | Running::Unhealthy, None) if serves() => CheckLine::red(
                "dormant",
                format!("it runs although {live} is live"),
                "stop it, and take away what starts it beside Pointsman",
            ),
            (true, Running::Healthy | Running::Unhealthy, None) => CheckLine::red(
                "dormant",
                format!("it runs although {live} counts as live"),
                look_first(g, live, site, "stopped"),
            ),
            (false, Running::Stopped | Running::Unhealthy, Some(moved)) => {
                moved.line(Level::Amber, "runs", "it does not run, or is not healthy")
            }
            (false, Running::Stopped | Running::Unhealthy, None) => CheckLine::amber(
                "runs",
                "it should run here and does not, or is not healthy",
                "start it again by hand: that is no lost site",
            ),
            _ => CheckLine::green(if dormant { "dormant" } else { "runs" }, "as it should be"),
        }
    }

    fn whole_lines(&self, now: Now, id: &GroupId, g: &Group) -> Vec<CheckLine> {
        let mut lines = self.own_lines.clone();
        let Some(live) = &g.record.live else {
            // A group that is live nowhere was adopted so: `establish` comes next.
            if g.record.holder.is_some() {
                return lines;
            }
            let remedy = format!("pointsman adopt {id} --why …");
            return vec![CheckLine::red("adopted", "the group was never adopted", remedy)];
        };
        let records = g.plan.input.pointer("/names/records").and_then(Value::as_object);
        for (name, record) in records.into_iter().flatten() {
            if record.get("at").and_then(Value::as_str) == Some(live.as_str()) {
                lines.push(CheckLine::red(
                    &format!("{PATH_OF}{name}"),
                    format!("only {live} can change this name, and {live} is what may be lost"),
                    "serve the name's updates from a third place: names.records.….at",
                ));
            }
        }
        if let Some(other) = g.plan.sites.iter().find(|site| *site != live)
            && g.record.active.is_none()
        {
            lines.push(match self.unprotected(now, g, live, other) {
                None => CheckLine::green("protected", format!("{other} follows {live}")),
                Some(found) => {
                    let text = format!("{other} does not follow {live} ({})", found.all());
                    CheckLine::amber("protected", text, found.remedy)
                }
            });
        }
        let run = &g.plan.trigger.run;
        let moves = |d: &engine::Definition| matches!(d.info().purpose, engine::Purpose::Move);
        let fits = self.definitions.get(run).is_some_and(|(_, definition)| moves(definition));
        if !fits && g.plan.trigger.mode != crate::seam::TriggerMode::Off {
            lines.push(CheckLine::amber(
                "trigger",
                format!("trigger.run is `{run}`: there is no such workflow, or it does not leave a site"),
                "name `failover`, or a definition of your own that moves the group",
            ));
        }
        if !g.record.debts.is_empty() {
            let text = format!("{} owed", g.record.debts.len());
            lines.push(CheckLine::amber("owed", text, "they are paid as soon as their services answer"));
        }
        if !g.record.doubts.is_empty() {
            let text = format!("{} keys were passed without knowing", g.record.doubts.len());
            lines.push(CheckLine::amber("doubts", text, "they are asked again when their services answer"));
        }
        lines
    }

    /// Services that beat for one resource with ledgers of their own.
    fn instances(&self, now: Now, address: &Address) -> usize {
        let beats = self.beating.get(address).into_iter().flatten();
        beats.filter(|(_, at)| now.boot <= at.boot + SILENT_AFTER).count()
    }
}

/// Whether a line is about a name: what its service says, or that only the live site can change it.
pub(crate) fn of_names(line: &GroupLine) -> bool {
    match &line.address {
        Some(address) => address.service == Service::Dns,
        None => line.line.what.starts_with(PATH_OF),
    }
}

fn live_only(g: &Group, address: &Address) -> bool {
    let all = g.plan.input.get("live_only").and_then(Value::as_array);
    address.service == Service::Process
        && all.into_iter().flatten().any(|name| name.as_str() == Some(address.resource.as_str()))
}

fn runs_everywhere(g: &Group, address: &Address) -> bool {
    address.service == Service::Process
        && everywhere(g).any(|(name, _)| name == address.resource.as_str())
        && !g.plan.fence_paths.contains(address)
}

/// Whether a fence path could prove its site off, and does not say so in peace.
fn fence_line(g: &Group, address: &Address, seen: &Seen) -> Option<CheckLine> {
    let Seen::Process(p) = seen else { return None };
    if !g.plan.fence_paths.contains(address) {
        return None;
    }
    let what = "fence-path";
    let Some(site) = p.closes.as_ref().filter(|site| g.plan.sites.contains(site)) else {
        let why = match &p.closes {
            None => "its host's file says no `closes:`".to_owned(),
            Some(site) => format!("`closes: {site}` is no site of {}", g.plan.group),
        };
        // Not red: on the night it keeps no failover from being started, which then waits for another proof.
        return Some(CheckLine::amber(
            what,
            format!("{why}: it can prove nothing"),
            "mend it there, or take it out of `fence.paths` in the group's file",
        ));
    };
    Some(match p.running {
        Running::Healthy => CheckLine::green(what, format!("{site} is on")),
        Running::Stopped if g.record.active.is_some() => CheckLine::green(what, format!("{site} is off")),
        Running::Stopped => CheckLine::amber(
            what,
            format!("it says that {site} is off, and no run is under way"),
            format!("if {site} is up, mend its check or its wiring: a failover would trust it"),
        ),
        Running::Unhealthy | Running::Unknown => CheckLine::amber(
            what,
            format!("nobody can tell whether {site} is on or off"),
            "look at the switch, and at its check script: exit 0 on, 1 off, else it cannot tell",
        ),
    })
}

/// One release apart works together.
fn version_line(theirs: &str) -> Option<CheckLine> {
    let parts = |text: &str| -> Option<(u64, u64)> {
        let mut parts = text.split('.').map(str::parse::<u64>);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    let ours = env!("CARGO_PKG_VERSION");
    match (parts(ours), parts(theirs)) {
        (Some((major, minor)), Some((m, n))) if major == m && minor.abs_diff(n) <= 1 => None,
        _ => Some(CheckLine::red(
            "version",
            format!("it is {theirs}, the runner {ours}: more than one release apart"),
            "bring both to neighbouring releases",
        )),
    }
}
