//! Moving every group that is live at a site: a preview of all, one typed confirmation, then in the order of
//! their files, so many at once. A group that is refused, fails or waits for a person stops no other one.

use std::collections::{BTreeMap, VecDeque};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use schemas::op::{Op, OpReply, Preview};
use schemas::view::{GroupView, RunState, RunView};
use schemas::{Code, GroupId, Problem, RunId, SiteId};
use serde_json::json;

use crate::args::SiteMove;
use crate::bus::{Bus, strange};
use crate::exit::{self, Exit, NotDone, Usage};
use crate::output::Output;
use crate::{plan, runs, start, text};

/// So many previews are asked for at once: each asks every service of its group.
const PREVIEWS: usize = 4;
/// The runs under way are looked at so often; events make it sooner.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Events come in crowds.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(100);
/// A run that has waited for a person's word so long gives its place to the next group.
const WAITS_AFTER: Duration = Duration::from_secs(5);
/// A runner that is silent for so long ends the following where nobody can.
const SILENT_FOR: Duration = Duration::from_secs(60);

/// What becomes of a group.
enum Plan {
    /// It is started as previewed, past these red lines.
    Start(Box<Preview>, Vec<String>),
    /// It leaves the site already.
    Follow(RunId),
    /// It cannot be started.
    Refused(Problem),
}

struct Case {
    group: GroupId,
    order: u32,
    plan: Plan,
}

/// A run that is followed.
struct Followed {
    id: RunId,
    state: Option<RunState>,
    waits: Vec<String>,
    waits_since: Option<Instant>,
    answered: Instant,
}

/// `failover --site`, `switchover --site`. The exit code is the worst of all groups'.
pub(crate) async fn run(
    workflow: &str,
    site: &SiteId,
    ask: &SiteMove,
    bus: &Bus,
    out: &Output,
) -> anyhow::Result<Exit> {
    let cases = plans(workflow, site, ask, bus).await?;
    out.line(format!("live at {site}: {} group(s) · {}", cases.len(), bus.heading()));
    for case in &cases {
        announce(case, out);
    }
    let refused = cases.iter().filter(|case| matches!(case.plan, Plan::Refused(_))).count();
    if ask.one.begin.dry_run {
        out.value(&json!({ "site": site, "groups": cases.iter().map(as_json).collect::<Vec<_>>() }));
        return Ok(if refused > 0 { Exit::Refused } else { Exit::Done });
    }
    if refused == cases.len() {
        return Err(NotDone(format!("none of the groups at {site} can be moved: nothing was started")).into());
    }
    confirm(site, cases.len() - refused, ask.one.begin.yes, out)?;
    let mut crew = Crew { workflow, ask, bus, out, under_way: BTreeMap::new(), ended: BTreeMap::new() };
    let mut waiting = VecDeque::new();
    for case in cases {
        match case.plan {
            Plan::Refused(problem) => crew.end(case.group, exit::of_code(problem.code), problem.to_string()),
            Plan::Follow(run) => crew.follow(case.group, run),
            Plan::Start(preview, overrides) => waiting.push_back((case.group, preview, overrides)),
        }
    }
    let cut = crew.work(waiting).await?;
    let worst = crew.summary();
    Ok(if cut { exit::worst([worst, Exit::NeedsPerson]) } else { worst })
}

/// The groups that are live at the site, in their order, each with what would be done.
async fn plans(workflow: &str, site: &SiteId, ask: &SiteMove, bus: &Bus) -> anyhow::Result<Vec<Case>> {
    let groups = plan::groups(bus).await?;
    let leaves = |group: &GroupView| {
        let run = group.run.as_ref()?;
        (run.from.as_ref() == Some(site)).then_some(run.id)
    };
    let mut there: Vec<GroupView> =
        groups.into_iter().filter(|g| g.live.as_ref() == Some(site) || leaves(g).is_some()).collect();
    if there.is_empty() {
        return Err(Usage(format!("no group is live at `{site}`: pointsman status")).into());
    }
    there.sort_by(|a, b| (a.order, &a.group).cmp(&(b.order, &b.group)));
    let looks = there.iter().map(|group| async move {
        let plan = match leaves(group) {
            Some(run) => Plan::Follow(run),
            None => plan(workflow, &group.group, ask, bus).await?,
        };
        anyhow::Ok(Case { group: group.group.clone(), order: group.order, plan })
    });
    let cases: Vec<anyhow::Result<Case>> =
        futures_util::stream::iter(looks).buffered(PREVIEWS).collect().await;
    let cases = cases.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    let taken = |name: &String| {
        cases.iter().any(|case| matches!(&case.plan, Plan::Start(_, overrides) if overrides.contains(name)))
    };
    if let Some(stranger) = ask.one.begin.overrides.iter().find(|name| !taken(name)) {
        let message = format!("no red line of these groups is called `{stranger}`: pointsman check");
        return Err(Usage(message).into());
    }
    Ok(cases)
}

async fn plan(workflow: &str, group: &GroupId, ask: &SiteMove, bus: &Bus) -> anyhow::Result<Plan> {
    let mut overrides = Vec::new();
    loop {
        let op = op(workflow, group, ask.one.to.clone(), &overrides, ask, true);
        let preview = match bus.look(op).await {
            Ok(OpReply::Preview(preview)) => preview,
            Ok(other) => return Err(strange(&other)),
            Err(error) => match error.downcast::<Problem>() {
                // Without bus or runner nothing can be said of any group.
                Ok(problem) if !matches!(problem.code, Code::NoBus | Code::NoRunner) => {
                    return Ok(Plan::Refused(problem));
                }
                Ok(problem) => return Err(problem.into()),
                Err(error) => return Err(error),
            },
        };
        let Some(refusal) = preview.refusals.first() else { return Ok(Plan::Start(preview, overrides)) };
        // Each group is started past those of the named lines that are its own.
        let detail = refusal.detail.clone().unwrap_or_default();
        let more: Vec<String> = match refusal.code {
            Code::RedPrecondition => {
                let own =
                    |name: &&String| !overrides.contains(*name) && detail.contains(&format!("{name}: "));
                ask.one.begin.overrides.iter().filter(own).cloned().collect()
            }
            _ => Vec::new(),
        };
        if more.is_empty() {
            return Ok(Plan::Refused(refusal.clone()));
        }
        overrides.extend(more);
    }
}

fn op(
    workflow: &str,
    group: &GroupId,
    to: Option<SiteId>,
    overrides: &[String],
    ask: &SiteMove,
    dry_run: bool,
) -> Op {
    Op::Start {
        workflow: workflow.to_owned(),
        group: group.clone(),
        to,
        supersede: None,
        accept_unfenced: ask.one.accept_unfenced.clone(),
        accept_data_loss: ask.one.accept_data_loss,
        by: None,
        overrides: overrides.to_vec(),
        waive_ledger: false,
        dry_run,
    }
}

fn announce(case: &Case, out: &Output) {
    let place = format!("{} · order {}", case.group, case.order);
    match &case.plan {
        Plan::Start(preview, _) => {
            out.line(place);
            start::show(preview, false, out);
        }
        Plan::Follow(run) => out.line(format!("{place} · run {} leaves it already", text::short(run))),
        Plan::Refused(problem) => out.line(format!("{place} · {} {problem}", out.warn("REFUSED"))),
    }
}

fn as_json(case: &Case) -> serde_json::Value {
    let (preview, run, refused) = match &case.plan {
        Plan::Start(preview, _) => (Some(preview), None, None),
        Plan::Follow(run) => (None, Some(run), None),
        Plan::Refused(problem) => (None, None, Some(problem)),
    };
    json!({ "group": case.group, "order": case.order, "preview": preview, "run": run, "refused": refused })
}

fn confirm(site: &SiteId, groups: usize, yes: bool, out: &Output) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !std::io::stdin().is_terminal() {
        let message = "without a terminal the site cannot be typed: look at `--dry-run`, then use `--yes`";
        return Err(Usage(message.to_owned()).into());
    }
    match out.ask(&format!("Type the site that {groups} groups leave ({site}): "))? {
        Some(answer) if answer == site.as_str() => Ok(()),
        Some(answer) => Err(NotDone(format!("`{answer}` is not `{site}`: nothing was started")).into()),
        None => Err(NotDone("nothing was typed: nothing was started".to_owned()).into()),
    }
}

/// The runs under way, and those that ended.
struct Crew<'a> {
    workflow: &'a str,
    ask: &'a SiteMove,
    bus: &'a Bus,
    out: &'a Output,
    under_way: BTreeMap<GroupId, Followed>,
    ended: BTreeMap<GroupId, (Exit, String)>,
}

impl Crew<'_> {
    /// Until every run has ended, or only a person can go on and nobody is there. Says whether it was cut off.
    async fn work(
        &mut self,
        mut waiting: VecDeque<(GroupId, Box<Preview>, Vec<String>)>,
    ) -> anyhow::Result<bool> {
        let mut stirrings = self.bus.stirrings().await;
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        loop {
            while self.busy() < usize::from(self.ask.at_once)
                && let Some((group, preview, overrides)) = waiting.pop_front()
            {
                self.start(group, &preview, &overrides).await;
            }
            let alone = !std::io::stdout().is_terminal() && self.under_way.values().all(Followed::gave_way);
            if waiting.is_empty() && (self.under_way.is_empty() || alone) {
                return Ok(false);
            }
            tokio::select! {
                _ = &mut interrupted => {
                    for (group, ..) in waiting {
                        self.end(group, Exit::Refused, "not started".to_owned());
                    }
                    return Ok(true);
                }
                () = stirrings.next(LOOK_AT_MOST_EVERY) => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            self.look().await?;
        }
    }

    /// How many places are taken: a run that waits for a person takes none.
    fn busy(&self) -> usize {
        self.under_way.values().filter(|followed| !followed.gave_way()).count()
    }

    async fn start(&mut self, group: GroupId, preview: &Preview, overrides: &[String]) {
        let op = op(self.workflow, &group, Some(preview.to.clone()), overrides, self.ask, false);
        match self.bus.change(op, &self.ask.one.begin.why.why, None).await {
            Ok(OpReply::Started { run, epoch }) => {
                self.tell(&group, &format!("run {} epoch {epoch}", text::short(&run)));
                self.follow(group, run);
            }
            Ok(other) => self.end(group, Exit::Internal, strange(&other).to_string()),
            Err(error) => self.end(group, exit::of(&error), format!("{error:#}")),
        }
    }

    fn follow(&mut self, group: GroupId, id: RunId) {
        let followed =
            Followed { id, state: None, waits: Vec::new(), waits_since: None, answered: Instant::now() };
        self.under_way.insert(group, followed);
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let ids: Vec<(GroupId, RunId)> = self.under_way.iter().map(|(g, f)| (g.clone(), f.id)).collect();
        for (group, id) in ids {
            match runs::fetch(&id.to_string(), self.bus).await {
                Ok(view) => self.saw(&group, &view),
                Err(error) if exit::of(&error) == Exit::Silent => {
                    let silent =
                        self.under_way.get(&group).is_some_and(|f| f.answered.elapsed() > SILENT_FOR);
                    if silent && !std::io::stdout().is_terminal() {
                        return Err(error);
                    }
                }
                Err(error) => {
                    self.under_way.remove(&group);
                    self.end(group, exit::of(&error), format!("{error:#}"));
                }
            }
        }
        Ok(())
    }

    fn saw(&mut self, group: &GroupId, view: &RunView) {
        let Some(followed) = self.under_way.get_mut(group) else { return };
        let changed = followed.saw(view);
        if view.state.ended() {
            self.under_way.remove(group);
            let why = view.problem.as_ref().map(ToString::to_string).unwrap_or_default();
            let text = format!("run {} {} {why}", text::short(&view.id), text::run_state(view.state));
            return self.end(group.clone(), exit::of_run(view.state), text.trim_end().to_owned());
        }
        if changed {
            let waits: String = view.waits_for.iter().map(|wait| format!(", waits: {wait}")).collect();
            let short = text::short(&view.id);
            self.tell(group, &format!("run {short} {}{waits}", text::run_state(view.state)));
        }
    }

    fn end(&mut self, group: GroupId, exit: Exit, how: String) {
        self.tell(&group, &how);
        self.ended.insert(group, (exit, how));
    }

    fn tell(&self, group: &GroupId, what: &str) {
        self.out.line(format!("{} {group:<16} {what}", self.out.clock(chrono::Utc::now())));
        self.out.value(&json!({ "group": group, "says": what }));
    }

    /// Each group's end in a line; the worst exit code.
    fn summary(&mut self) -> Exit {
        for (group, followed) in std::mem::take(&mut self.under_way) {
            let short = text::short(&followed.id);
            let exit = if followed.gave_way() { Exit::NeedsPerson } else { Exit::Done };
            let how = match followed.waits.first() {
                Some(wait) => format!("run {short} waits: {wait}"),
                None => format!("run {short} goes on by itself: `pointsman watch {short}`"),
            };
            self.ended.insert(group, (exit, how));
        }
        let done = self.ended.values().filter(|(exit, _)| *exit == Exit::Done).count();
        self.out.line(format!("{done} of {} as they should be:", self.ended.len()));
        let mut table = self.out.table();
        for (group, (exit, how)) in &self.ended {
            let word = if *exit == Exit::Done { "ok".to_owned() } else { self.out.warn("LOOK") };
            table.add_row([format!("  {group}"), word, how.clone()]);
        }
        self.out.line(table.trim_fmt());
        let groups: BTreeMap<_, _> = self
            .ended
            .iter()
            .map(|(group, (exit, how))| (group.to_string(), json!({ "exit": *exit as u8, "says": how })))
            .collect();
        self.out.value(&json!({ "groups": groups }));
        exit::worst(self.ended.values().map(|(exit, _)| *exit))
    }
}

impl Followed {
    /// Takes a look; says whether there is something new to tell.
    fn saw(&mut self, view: &RunView) -> bool {
        self.answered = Instant::now();
        let stopped = matches!(view.state, RunState::Held | RunState::Paused);
        let asked = view.waits_for.iter().any(|wait| wait.contains("pointsman "));
        self.waits_since = match stopped || asked {
            true => Some(self.waits_since.unwrap_or_else(Instant::now)),
            false => None,
        };
        // A wait that counts down says something else each time: told when it begins to count.
        let waits = if self.gave_way() { view.waits_for.clone() } else { Vec::new() };
        let changed = self.state != Some(view.state) || self.waits.is_empty() != waits.is_empty();
        self.state = Some(view.state);
        self.waits = waits;
        changed
    }

    /// Whether only a person can go on with it.
    fn gave_way(&self) -> bool {
        let stopped = matches!(self.state, Some(RunState::Held | RunState::Paused));
        stopped || self.waits_since.is_some_and(|since| since.elapsed() >= WAITS_AFTER)
    }
}
