//! What a cleanup would drop: the tables that copies kept aside, as their receivers say.

use engine::Purpose;
use schemas::op::{Fact, ProtectBy};
use schemas::{Address, Aside, AsideAt, Code, GroupId, Problem, Seen, size};

use crate::core::{Core, SILENT_AFTER};
use crate::protection::by_copy;
use crate::seam::Now;
use crate::start::{Checked, Start};

impl Core {
    /// Each receiver of the group's databases, either way, and what it keeps aside, where that was just seen.
    pub(crate) fn aside(&self, now: Now, group: &GroupId, checked: &Checked) -> Vec<AsideAt> {
        let Some(g) = self.groups.get(group) else { return Vec::new() };
        let home = self.halves_of(g, &checked.to, &checked.from).into_iter();
        let all = home.chain(self.halves_of(g, &checked.from, &checked.to));
        all.map(|half| AsideAt {
            seen: self.seen_aside(now, &half),
            site: half.site,
            resource: half.resource,
        })
        .collect()
    }

    /// What copies kept aside keeps a start from being made, by what is freshly seen: a cleanup while a copy goes on, and a
    /// copy beside what an earlier one kept, which its service would refuse in the midst of the run.
    pub(crate) fn refuse_aside(&self, now: Now, start: &Start, checked: &Checked) -> Result<(), Problem> {
        let group = &start.group;
        let all = || self.aside(now, group, checked).into_iter();
        let refused = |detail: String| Err(Problem::new(Code::Precondition, detail));
        let unfinished = |at: &AsideAt| at.seen.as_ref().is_some_and(|aside| aside.unfinished);
        let kept = |at: &AsideAt| at.site == checked.to && at.seen.as_ref().is_some_and(Aside::is_kept);
        match checked.purpose {
            Purpose::Tidy => match all().find(unfinished) {
                Some(AsideAt { site, resource, .. }) => refused(format!(
                    "the copy of {resource} at {site} has not ended: pointsman status {group} shows how far it is; one that was \
                     given up goes on with {}",
                    by_copy(group)
                )),
                None => Ok(()),
            },
            // One that was given up goes on, also beside what has ended of it.
            Purpose::Protect
                if start.protect_by == Some(ProtectBy::Copy)
                    && !all().any(|at| at.site == checked.to && unfinished(&at)) =>
            {
                match all().find(kept) {
                    Some(AsideAt { site, resource, .. }) => refused(format!(
                        "{site} still keeps aside what an earlier copy of {resource} laid aside: pointsman cleanup {group} --why … \
                         first"
                    )),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn seen_aside(&self, now: Now, half: &Address) -> Option<Aside> {
        let (at, seen) = self.observed.get(half)?;
        let fresh = now.boot < at.boot + SILENT_AFTER && !self.mute.contains(half);
        match &seen.seen {
            Seen::Replication(seen) if fresh => seen.aside.as_deref().cloned(),
            _ => None,
        }
    }
}

/// The lines of a preview about one receiver: how much it keeps, each table, and whether what only it had was saved.
pub(crate) fn facts(at: &AsideAt) -> Vec<Fact> {
    let AsideAt { site, resource, seen } = at;
    let fact = |label: &str, text: String, verdict: Option<&str>| Fact {
        label: label.into(),
        text: format!("{resource} at {site}: {text}"),
        verdict: verdict.map(str::to_owned),
    };
    let Some(aside) = seen else {
        return vec![fact("aside", "what it keeps aside was not seen".into(), Some("UNKNOWN"))];
    };
    if aside.tables == 0 {
        return vec![fact("aside", "nothing is kept aside".into(), None)];
    }
    let since = aside.since.map(|at| at.format(", since %Y-%m-%d %H:%M:%SZ").to_string());
    let text = format!("{}{}", aside.words(), since.unwrap_or_default());
    let verdict = if aside.unfinished { "COPY NOT ENDED" } else { "DROPPED FOR GOOD" };
    let mut facts = vec![fact("aside", text, Some(verdict))];
    for table in &aside.largest {
        let text = format!("{}, {}, kept as {}", table.table, size(table.bytes), table.kept);
        facts.push(fact("table", text, None));
    }
    if aside.unnamed() > 0 {
        facts.push(fact("table", format!("and {} more", aside.unnamed()), None));
    }
    let (text, verdict) = match (&aside.ledger, &aside.waived) {
        (Some(ledger), _) => (format!("what only it had was exported to {ledger}"), "EXPORTED"),
        (None, Some(who)) => (format!("what only it had was not exported, waived by {who}"), "WAIVED"),
        (None, None) => ("nobody knows whether what only it had was exported".into(), "UNKNOWN"),
    };
    facts.push(fact("ledger", text, Some(verdict)));
    facts
}
