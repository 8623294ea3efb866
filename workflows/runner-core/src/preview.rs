//! What a start would do, from what is seen now: facts with their verdicts, steps, and why it would be refused.

use engine::Purpose;
use schemas::op::{Fact, Preview};
use schemas::view::ResourceView;
use schemas::{GroupId, Problem, ReplicationState, ResourceId, Seen, SiteId};

use crate::core::Core;
use crate::gate::Shut;
use crate::preflight::of_names;
use crate::seam::Now;
use crate::split::database;
use crate::start::{Checked, Start};

impl Core {
    pub(crate) fn preview(&self, now: Now, start: &Start) -> Result<Preview, Problem> {
        let mut refusals = Vec::new();
        let checked = match self.check_start(start) {
            Ok(checked) => checked,
            Err(problem) if problem.code == schemas::Code::GroupBusy => return Err(problem),
            Err(problem) => {
                refusals.push(problem.clone());
                return Err(problem);
            }
        };
        let mut facts: Vec<Fact> = self.declared_fact(now, &start.group).into_iter().collect();
        facts.push(self.drill_fact(now, start, &checked));
        for site in [&checked.from, &checked.to] {
            facts.push(self.site_fact(now, &start.group, site));
        }
        let g = self.groups.get(&start.group);
        for resource in g.map(|g| g.plan.one_live.clone()).unwrap_or_default() {
            // What only protects keeps the receiving site closed; what moves closes the one that it leaves.
            let closed = if matches!(checked.purpose, Purpose::Protect | Purpose::Tidy) {
                &checked.to
            } else {
                &checked.from
            };
            let shut = self.shut(now, &start.group, closed, &resource);
            // The run has an epoch of its own: what was proved or accepted in the one before does not count in it.
            let counts = |shut: &Shut| match shut {
                Shut::FencePath(_) => true,
                Shut::Proof => !checked.unplanned,
                Shut::Acceptance(_) => false,
            };
            let (text, verdict) = match shut.ok().filter(counts) {
                Some(shut) => (format!("{resource} at {closed}: {}", shut.text()), "PROVED"),
                None if !checked.unplanned => (format!("{closed} is closed by the run"), "PLANNED"),
                None if self.is_heard(now, &database(closed, &resource)) => {
                    (format!("{closed} answers: it is closed and drained first"), "PLANNED")
                }
                None if start.accept_unfenced.contains(closed) => {
                    (format!("{closed} cannot be asked: accepted with the command"), "ACCEPTED")
                }
                None => (format!("{closed} cannot be asked: it may still accept writes"), "NOT PROVED"),
            };
            facts.push(Fact { label: "fence".into(), text, verdict: Some(verdict.into()) });
        }
        if checked.unplanned {
            facts.push(self.loss_fact(now, start, &checked));
            facts.extend(self.asks_fact(now, start, &checked));
        }
        if start.protect_by == Some(schemas::op::ProtectBy::Copy) {
            facts.push(crate::loss::copy_fact(start, &checked));
        }
        let aside = (checked.purpose == Purpose::Tidy).then(|| self.aside(now, &start.group, &checked));
        facts.extend(aside.iter().flatten().flat_map(crate::aside::facts));
        for (resource, state) in self.replications(now, &start.group, &checked.from, &checked.to) {
            let (text, verdict) = match state {
                Some(state) => (format!("{resource}: {state:?}").to_lowercase(), None),
                None => (format!("{resource}: not seen at {}", checked.to), Some("UNKNOWN".to_owned())),
            };
            let stopped = matches!(state, Some(ReplicationState::Stopped | ReplicationState::Capturing));
            let verdict = if stopped { Some("STOPPED".to_owned()) } else { verdict };
            facts.push(Fact { label: "replication".into(), text, verdict });
        }
        for (half, why) in g.map(|g| self.broken_between(g, &checked.from, &checked.to)).unwrap_or_default() {
            let text = format!("{} at {}: {why}", half.resource, half.site);
            facts.push(Fact { label: "replication".into(), text, verdict: Some("BROKEN".into()) });
        }
        for text in g.map(|g| self.unfinished(g, &checked.from, &checked.to)).unwrap_or_default() {
            facts.push(Fact { label: "replication".into(), text, verdict: Some("NOT FINISHED".into()) });
        }
        for text in g.map(|g| self.all_unlike(g, &checked.from, &checked.to)).unwrap_or_default() {
            facts.push(Fact { label: "replication".into(), text, verdict: Some("DIFFERS".into()) });
        }
        refusals.extend(self.refuse_unfinished(&start.group, &checked).err());
        refusals.extend(self.refuse_aside(now, start, &checked).err());
        if let Some(g) = g {
            for (key, doubt) in
                g.record.doubts.iter().filter(|(_, d)| d.action.effect() == schemas::Effect::Opens)
            {
                let text = format!("an opening at {} is in doubt ({})", doubt.address, key.run.short(4));
                facts.push(Fact { label: "doubt".into(), text, verdict: Some("IN DOUBT".into()) });
            }
        }
        let undrainable = self.undrainable(now, &start.group, &checked);
        let red = self.red_lines(now, &start.group, &checked.from, checked.leaves());
        for line in red.into_iter().chain(&undrainable) {
            let overridden = start.overrides.contains(&line.name);
            let waits = checked.unplanned && of_names(line);
            let verdict = match (overridden, waits) {
                (true, _) => "RED, OVERRIDDEN",
                (false, true) => "RED, WAITS AT THE NAMES",
                (false, false) => "RED",
            };
            let remedy = line.line.remedy.as_deref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
            facts.push(Fact {
                label: "check".into(),
                text: format!("{}: {}{remedy}", line.name, line.line.text),
                verdict: Some(verdict.into()),
            });
        }
        refusals.extend(self.refuse_red(now, &start.group, &checked, &start.overrides).err());
        let steps = self
            .definitions
            .get(&start.workflow)
            .map(|(_, d)| d.steps())
            .unwrap_or_default()
            .into_iter()
            .filter(|s| s.function.is_some())
            .map(|s| format!("{} {}", s.name, s.function.unwrap_or_default()))
            .collect();
        Ok(Preview {
            group: start.group.clone(),
            workflow: checked.name,
            from: checked.from,
            to: checked.to,
            facts,
            steps,
            refusals,
            aside,
            input: checked.input,
        })
    }

    /// For which words of a person an unplanned move will wait, one after the other, unless they are given with the command.
    /// None where it waits for nobody, as far as can be told now. A database whose service answers is closed and drained first.
    fn asks_fact(&self, now: Now, start: &Start, checked: &Checked) -> Option<Fact> {
        let g = self.groups.get(&start.group)?;
        let from = &checked.from;
        let silent = |one: &&ResourceId| !self.is_heard(now, &database(from, one));
        let mut silent = g.plan.one_live.iter().filter(silent).peekable();
        silent.peek()?;
        let standing = g.plan.standing.as_ref().is_some_and(|standing| now.wall < standing.until);
        let off = |one| matches!(self.shut(now, &start.group, from, one), Ok(Shut::FencePath(_)));
        let unfenced = !silent.all(off) && !standing && !start.accept_unfenced.contains(from);
        let words = [
            unfenced.then(|| format!("--accept-unfenced {from}")),
            self.bound_asked(now, start, checked).map(|bound| format!("--accept-data-loss {bound}")),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        let text =
            format!("it waits for a person unless this is given with the command: {}", words.join(" "));
        (!words.is_empty()).then(|| Fact { label: "asks".into(), text, verdict: Some("WAITS".into()) })
    }

    fn site_fact(&self, now: Now, group: &GroupId, site: &SiteId) -> Fact {
        let Some(g) = self.groups.get(group) else {
            return Fact { label: site.to_string(), text: String::new(), verdict: None };
        };
        let views: Vec<ResourceView> =
            g.plan.resources.iter().filter(|a| a.site == *site).map(|a| self.resource_view(now, a)).collect();
        let heard = views.iter().filter(|v| !v.silent).count();
        let text = match heard {
            0 => match views.iter().filter_map(|v| v.heard).max() {
                Some(at) => format!(
                    "SILENT since {} ({} of {} resources)",
                    at.format("%H:%M:%SZ"),
                    views.len(),
                    views.len()
                ),
                None => "SILENT, not heard since the runner's start".into(),
            },
            n => {
                let access = views.iter().filter(|v| !v.silent).find_map(|v| {
                    match v.observation.as_ref().map(|o| &o.seen) {
                        Some(Seen::Database(d)) => Some(format!(", database {:?}", d.access).to_lowercase()),
                        _ => None,
                    }
                });
                format!("{n} of {} resources answer{}", views.len(), access.unwrap_or_default())
            }
        };
        let verdict = (heard < views.len()).then(|| "PARTLY SILENT".to_owned()).filter(|_| heard > 0);
        Fact { label: site.to_string(), text, verdict }
    }
}
