//! What a person declares of a group that no look can tell: that only the link between its sites is lost, that a site is
//! down and will return, or that it is gone. It starts nothing and opens nothing. While a link is declared lost no trigger
//! starts anything either; of a site that is declared gone nothing is caught up with.

use chrono::{DateTime, Utc};
use engine::Purpose;
use schemas::op::{Fact, OpReply};
use schemas::view::{DecisionView, RunState};
use schemas::{Code, Declaration, DeclaredView, GroupId, Problem, RunId, SiteId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::core::Core;
use crate::entry::{ByPerson, GroupEntry};
use crate::group::Record;
use crate::in_memory::Group;
use crate::left::Left;
use crate::protection::given_up;
use crate::run::Run;
use crate::seam::Now;

/// What was declared last, until it is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Declared {
    /// What; never `over`.
    pub what: Declaration,
    /// The site that is down or gone; none for a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<SiteId>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Who and why.
    pub by: ByPerson,
}

impl Declared {
    /// In words: `disaster of main`.
    pub fn text(&self) -> String {
        text(self.what, self.site.as_ref())
    }
}

/// A declaration in words.
fn text(what: Declaration, site: Option<&SiteId>) -> String {
    site.map_or(what.to_string(), |site| format!("{what} of {site}"))
}

impl Record {
    /// A person declared something, or that it is over.
    pub(crate) fn apply_declared(&mut self, at: DateTime<Utc>, entry: &GroupEntry) {
        let GroupEntry::Declared { group, what, site, by } = entry else { return };
        let declared = || Declared { what: *what, site: site.clone(), since: at, by: by.clone() };
        self.declared = (*what != Declaration::Over).then(declared);
        self.list_decision(DecisionView {
            id: format!("declared-{}", at.timestamp_millis()),
            group: group.clone(),
            at,
            event: format!("{} ({}): {}", by.who.person, by.who.claimed, by.why),
            verdict: format!("declared: {}", text(*what, site.as_ref())),
            run: None,
        });
    }

    /// Who declared that only the link is lost.
    pub(crate) fn disconnected(&self) -> Option<&Declared> {
        self.declared.as_ref().filter(|declared| declared.what == Declaration::Disconnect)
    }

    /// Who declared that a site is gone.
    pub(crate) fn gone(&self, site: &SiteId) -> Option<&Declared> {
        let of = |declared: &&Declared| {
            declared.what == Declaration::Disaster && declared.site.as_ref() == Some(site)
        };
        self.declared.as_ref().filter(of)
    }

    /// Whether a site that was left so has nothing that never came over, and will return with what it has.
    pub(crate) fn may_catch_up(&self, left: &Left) -> bool {
        left.drained && self.gone(&left.site).is_none()
    }
}

impl Core {
    /// A person declares something of a group.
    pub(crate) fn declare(
        &mut self,
        now: Now,
        id: &GroupId,
        (what, site): (Declaration, Option<SiteId>),
        by: ByPerson,
    ) -> Result<OpReply, Problem> {
        let g = self.groups.get(id).ok_or_else(|| Problem::new(Code::UnknownGroup, format!("`{id}`")))?;
        let of_a_site = matches!(what, Declaration::Outage | Declaration::Disaster);
        let site = match site {
            Some(site) if !of_a_site => {
                let detail = format!("`{what}` is of the whole group, not of {site}: leave it out");
                return Err(Problem::new(Code::Malformed, detail));
            }
            Some(site) => {
                g.plan.has_site(&site)?;
                Some(site)
            }
            None if of_a_site => Some(self.silent_site(now, g)?),
            None => None,
        };
        let before = g.record.declared.clone();
        if what == Declaration::Over && before.is_none() {
            return Err(Problem::new(Code::Conflict, format!("nothing is declared of `{id}`")));
        }
        let entry = GroupEntry::Declared { group: id.clone(), what, site, by };
        self.append_group(now, id, &entry);
        let linked = before.is_some_and(|before| before.what == Declaration::Disconnect);
        if let Some(g) = self.groups.get_mut(id).filter(|_| linked && what != Declaration::Disconnect) {
            // What is still reported is detected anew, with its whole hold-down.
            g.detections.clear();
        }
        let what = match self.declared_view(now, id) {
            Some(view) => format!("{} is declared: {}", text(view.what, view.site.as_ref()), view.sentence),
            None => "nothing is declared any more".to_owned(),
        };
        Ok(OpReply::Recorded { what, at: now.wall })
    }

    /// A run has ended that made a site anew by a copy: what was declared of it before the run began is over.
    pub(crate) fn stands_anew(&mut self, now: Now, id: RunId, state: RunState, left: Option<&Left>) {
        let Some(run) = self.runs.get(&id).filter(|_| state == RunState::Completed) else { return };
        let protects = run.definition.info().purpose == Purpose::Protect;
        let copied = copies(run);
        let (Some(group), Some(left)) = (run.started.group.clone(), left.filter(|left| left.drained)) else {
            return;
        };
        let gone = self.groups.get(&group).and_then(|g| g.record.gone(&left.site));
        if !protects || !copied || gone.is_none() || gone != run.started.declared.as_ref() {
            return;
        }
        let why = format!("{} stands anew, by a copy of run {}", left.site, id.short(4));
        let by = ByPerson { who: run.started.who.clone(), why };
        let entry = GroupEntry::Declared { group: group.clone(), what: Declaration::Over, site: None, by };
        self.append_group(now, &group, &entry);
    }

    /// The one site of a group of which nothing is heard.
    fn silent_site(&self, now: Now, g: &Group) -> Result<SiteId, Problem> {
        let silent = |site: &&SiteId| {
            let mut ours = g.plan.resources.iter().filter(|address| address.site == **site);
            !ours.any(|address| self.is_heard(now, address))
        };
        let mut found = g.plan.sites.iter().filter(silent);
        match (found.next(), found.next()) {
            (Some(site), None) => Ok(site.clone()),
            _ => {
                let names: Vec<String> = g.plan.sites.iter().map(|site| format!("--site {site}")).collect();
                let detail = format!("no one site alone is silent: which is meant, {}?", names.join(" or "));
                Err(Problem::new(Code::Malformed, detail))
            }
        }
    }

    /// What is declared of a group, for people.
    pub(crate) fn declared_view(&self, now: Now, id: &GroupId) -> Option<DeclaredView> {
        let g = self.groups.get(id)?;
        let Declared { what, site, since, by } = g.record.declared.clone()?;
        let returned = site.as_ref().and_then(|site| self.returned(now, g, site));
        let sentence = self.sentence(g, what, site.as_ref(), returned);
        Some(DeclaredView { what, site, since, who: by.who, why: by.why, sentence })
    }

    /// What it means for the group as it stands, and which commands come next.
    fn sentence(
        &self,
        g: &Group,
        what: Declaration,
        site: Option<&SiteId>,
        returned: Option<String>,
    ) -> String {
        let id = &g.plan.group;
        let over = format!("when it is over: pointsman declare over {id} --why …");
        let Some(site) = site else {
            return format!(
                "only the link between the sites is lost: no trigger starts anything, and nobody takes over; {over}"
            );
        };
        let other = g.plan.sites.iter().find(|other| *other != site);
        let live = g.record.live.as_ref() == Some(site);
        let failover = match other.filter(|_| live) {
            Some(other) => format!("pointsman failover {id} --to {other} --why … makes {other} live; "),
            None => String::new(),
        };
        let debts = g.record.debts.values().filter(|debt| debt.owed.address.site == *site).count();
        let owed = match debts {
            0 => String::new(),
            n => format!("; {n} owed there stay owed"),
        };
        if let Some(returned) = returned {
            return format!("{returned}{owed}; {over}");
        }
        let copy = self.copied_to(g, site);
        if what == Declaration::Disaster {
            return format!(
                "{site} will not return as it was: {failover}the way home is by copy only, once {site} stands anew: \
                 {copy}{owed}; {over}"
            );
        }
        let left = g.record.left.as_ref().filter(|left| left.site == *site);
        let home = match left {
            _ if live => format!(
                "what is written there meanwhile is kept for {site} (a slot); the way home is by catch-up where {site} could \
                 still be drained, else by copy, what only it has saved first"
            ),
            Some(left) if g.record.may_catch_up(left) => format!(
                "what is written meanwhile is kept for it (a slot), and it has nothing that never came over; the way home is by \
                 catch-up: {}",
                self.reprotect(g, site)
            ),
            Some(_) => format!(
                "what is written meanwhile is kept for it (a slot), but it may have rows that never came over; the way home is by \
                 copy, which saves them first: {copy}"
            ),
            None => "it receives again what is written meanwhile as soon as it is back".to_owned(),
        };
        format!("{site} is down and will return: {failover}{home}{owed}; {over}")
    }

    /// The line of a preview.
    pub(crate) fn declared_fact(&self, now: Now, id: &GroupId) -> Option<Fact> {
        let view = self.declared_view(now, id)?;
        let text = format!("by {}: {}; {}", view.who.person, view.why, view.sentence);
        let verdict = Some(view.what.as_str().to_uppercase());
        Some(Fact { label: "declared".into(), text, verdict })
    }

    /// That a site which is not live is brought up to date, or receives what is written at the live one, in words: its way
    /// home is no longer ahead of it.
    fn returned(&self, now: Now, g: &Group, site: &SiteId) -> Option<String> {
        let live = g.record.live.as_ref().filter(|live| *live != site)?;
        if let Some(run) = g.record.active.and_then(|run| self.runs.get(&run)) {
            let (by, short) = (brought(run, site)?, run.id.short(4));
            return Some(format!("{site} is brought up to date ({by}): pointsman watch {short}"));
        }
        if self.is_protected(now, &g.plan.group, live, site) {
            let left = g.record.left.as_ref().filter(|left| left.site == *site);
            let by = left.and_then(|left| brought(self.runs.get(&left.run)?, site));
            let by = by.map_or(String::new(), |by| format!(" ({by})"));
            return Some(format!("{site} receives again what is written at {live}{by}"));
        }
        // Of a receiver that is silent nobody knows whether its copy goes on.
        let halves = self.halves_of(g, live, site).into_iter();
        let mut heard = halves.filter(|half| self.is_heard(now, half));
        let copy = heard.find_map(|half| self.unfinished_copy(&half))?;
        Some(format!("{copy}; {}", given_up(&g.plan.group)))
    }
}

/// How a run brings a site up to date; none where it does something else.
fn brought(run: &Run, site: &SiteId) -> Option<&'static str> {
    let protects = run.definition.info().purpose == Purpose::Protect;
    (protects && run.started.to.as_ref() == Some(site)).then(|| match copies(run) {
        true => "by copy",
        false => "by catch-up",
    })
}

/// Whether a run was asked for a copy.
fn copies(run: &Run) -> bool {
    run.started.input.get("by").and_then(Value::as_str) == Some("copy")
}
