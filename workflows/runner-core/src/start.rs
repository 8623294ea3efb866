//! How a run begins: one run a group, with an epoch of its own (laws 6 and 9).

use std::sync::Arc;

use engine::Purpose;
use schemas::op::{OpReply, ProtectBy};
use schemas::view::RunState;
use schemas::{Code, Digest, Epoch, GroupId, MessageId, Problem, RunId, SiteId};
use serde_json::{Value, json};

use crate::core::Core;
use crate::entry::{ByPerson, GroupEntry, Started};
use crate::run::Run;
use crate::seam::{Now, ReplyTo};

/// What is to be started.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    pub(crate) workflow: String,
    pub(crate) group: GroupId,
    pub(crate) to: Option<SiteId>,
    pub(crate) supersede: Option<RunId>,
    pub(crate) accept_unfenced: Vec<SiteId>,
    pub(crate) accept_data_loss: Option<schemas::LossBound>,
    pub(crate) protect_by: Option<ProtectBy>,
    pub(crate) overrides: Vec<String>,
    pub(crate) waive_ledger: bool,
    pub(crate) by: ByPerson,
    pub(crate) decision: Option<String>,
}

/// What a start would be, once everything about it was found in order.
pub(crate) struct Checked {
    pub(crate) from: SiteId,
    pub(crate) to: SiteId,
    pub(crate) unplanned: bool,
    pub(crate) purpose: Purpose,
    pub(crate) epoch: Epoch,
    pub(crate) input: Value,
    pub(crate) name: String,
}

impl Core {
    /// Everything that stands against a start, or what it would be.
    pub(crate) fn check_start(&self, start: &Start) -> Result<Checked, Problem> {
        let conflict = |detail: String| Problem::new(Code::Conflict, detail);
        let g = self
            .groups
            .get(&start.group)
            .ok_or_else(|| Problem::new(Code::UnknownGroup, format!("`{}`", start.group)))?;
        self.check_copied(&start.group)?;
        let (_, definition) = self.definitions.get(&start.workflow).ok_or_else(|| {
            Problem::new(Code::BadDefinition, format!("there is no definition `{}`", start.workflow))
        })?;
        let info = definition.info();
        if !info.moves_group {
            return Err(conflict(format!("`{}` does not move a group", start.workflow)));
        }
        match (g.record.active, start.supersede) {
            (None, None) => {}
            (Some(active), Some(old)) if active == old => {}
            (Some(active), _) => {
                let told = |run: &Run| format!(" ({} by {})", run.started.workflow, run.started.who.person);
                let told = self.runs.get(&active).map(told).unwrap_or_default();
                let detail = format!("run {}{told} has not ended", active.short(4));
                return Err(Problem::new(Code::GroupBusy, detail));
            }
            (None, Some(old)) => return Err(conflict(format!("run {} has ended", old.short(4)))),
        }
        let (from, to) = self.direction(start, g, info.purpose)?;
        let epoch = Epoch(g.record.epoch.max(g.seen_epoch).0 + 1);
        let unplanned = definition.schedule().is_some();
        let by = start.protect_by.unwrap_or(ProtectBy::CatchUp);
        let mut input = json!({
            "group": g.plan.input, "from": from, "to": to, "why": start.by.why, "events": [],
            "lost": if unplanned { vec![from.clone()] } else { Vec::new() },
        });
        if info.purpose == Purpose::Protect {
            input["by"] = json!(by);
            if start.waive_ledger {
                input["waived"] = json!(format!("{}: {}", start.by.who.person, start.by.why));
            }
        }
        let name = format!("{}:{}", info.name, info.version);
        Ok(Checked { from, to, unplanned, purpose: info.purpose, epoch, input, name })
    }

    /// Starts a run: its first entries, its claims, its first steps.
    pub(crate) fn start_run(&mut self, now: Now, start: Start) -> Result<(RunId, Epoch), Problem> {
        let checked = self.check_start(&start)?;
        let Some((digest, definition)) = self.definitions.get(&start.workflow).cloned() else {
            return Err(Problem::new(Code::BadDefinition, start.workflow));
        };
        let id = self.ids.run(now);
        if let Some(old) = start.supersede {
            self.fence(
                now,
                old,
                Some(Problem::new(Code::StaleEpoch, format!("superseded by run {}", id.short(4)))),
            );
        }
        self.note_limited(now, &start.group);
        let record = self.groups.get(&start.group).map(|g| &g.record);
        let limited = record.and_then(|record| record.limited.as_ref()).map(|(_, since)| *since);
        let declared = record.and_then(|record| record.declared.clone());
        let started = Started {
            group: Some(start.group.clone()),
            workflow: checked.name.clone(),
            definition: digest,
            functions: definition
                .functions()
                .iter()
                .map(|(name, text)| (name.clone(), Digest::of(text.as_bytes())))
                .collect(),
            epoch: checked.epoch,
            from: Some(checked.from.clone()),
            to: Some(checked.to.clone()),
            lost: if checked.unplanned { vec![checked.from.clone()] } else { Vec::new() },
            limited,
            declared,
            who: start.by.who.clone(),
            why: start.by.why.clone(),
            input: checked.input,
        };
        self.append_started(now, Run::new(id, now.wall, started, Arc::clone(&definition)));
        let entry = GroupEntry::RunStarted {
            run: id,
            epoch: checked.epoch,
            workflow: checked.name,
            from: checked.from,
            to: checked.to,
            supersedes: start.supersede,
            decision: start.decision,
        };
        self.append_group(now, &start.group, &entry);
        self.new_epoch(&start.group);
        if !start.overrides.is_empty() {
            let entry = GroupEntry::Overridden { run: id, lines: start.overrides, by: start.by.clone() };
            self.append_group(now, &start.group, &entry);
        }
        for site in start.accept_unfenced {
            let entry =
                GroupEntry::Accepted { site, epoch: checked.epoch, standing: false, by: start.by.clone() };
            self.append_group(now, &start.group, &entry);
        }
        if let Some(accepted) = start.accept_data_loss {
            // Nobody knows yet whether it can be told.
            let (bound, unknown) = crate::accepted::taken(accepted, false);
            let entry =
                GroupEntry::LossAccepted { epoch: checked.epoch, bound, unknown, by: start.by.clone() };
            self.append_group(now, &start.group, &entry);
        }
        self.ask_claims(now, &start.group);
        self.watch_soon(now, &start.group);
        self.begin(now, id);
        Ok((id, checked.epoch))
    }

    /// A person's start, after the look at its preconditions.
    pub(crate) fn on_start_looked(&mut self, now: Now, reply_to: ReplyTo, start: Start, request: MessageId) {
        // The same request may have come twice meanwhile.
        if let Some(reply) = self.answered_before(&request) {
            return self.answer(reply_to, reply);
        }
        let group = start.group.clone();
        let reply = self.start_by_person(now, start).unwrap_or_else(OpReply::Problem);
        if !matches!(reply, OpReply::Problem(_)) {
            let entry = GroupEntry::OpAnswered { request, reply: Box::new(reply.clone()) };
            self.append_group(now, &group, &entry);
        }
        self.answer(reply_to, reply);
    }

    fn start_by_person(&mut self, now: Now, mut start: Start) -> Result<OpReply, Problem> {
        let checked = self.check_start(&start)?;
        self.take_preflight(now, &start.group);
        if start.decision.is_some() {
            // What was red when the question was put, and is not now, needs nobody's word.
            let red = self.red_lines(now, &start.group, &checked.from, checked.leaves());
            start.overrides.retain(|name| red.iter().any(|line| line.name == *name));
        }
        self.refuse_red(now, &start.group, &checked, &start.overrides)?;
        self.refuse_unfinished(&start.group, &checked)?;
        self.refuse_aside(now, &start, &checked)?;
        self.start_run(now, start).map(|(run, epoch)| OpReply::Started { run, epoch: epoch.0 })
    }

    /// What was known of the older epoch's claims and keys counts no more.
    pub(crate) fn new_epoch(&mut self, group: &GroupId) {
        if let Some(g) = self.groups.get_mut(group) {
            g.claims.clear();
            g.proofs.clear();
            g.occupied.clear();
            g.detections.retain(|_, d| d.decided);
        }
        self.lives
            .retain(|_, live| live.group.as_ref() != Some(group) || live.owner == crate::live::Owner::Step);
    }

    /// The run that a person names by its id or the shortest unique end of it, among those in memory.
    pub(crate) fn find_run(&self, text: &str) -> Result<RunId, Problem> {
        let wanted = text.replace('-', "").to_ascii_lowercase();
        let fits = |id: &RunId| id.0.simple().to_string().ends_with(&wanted);
        let mut found = self.runs.keys().filter(|id| !wanted.is_empty() && fits(id));
        match (found.next(), found.next()) {
            (Some(id), None) => Ok(*id),
            (Some(_), Some(_)) => Err(Problem::new(Code::UnknownRun, format!("`{text}` fits several runs"))),
            _ => Err(Problem::new(Code::UnknownRun, format!("`{text}`"))),
        }
    }

    /// The run, if it has not ended.
    pub(crate) fn active_run(&self, text: &str) -> Result<RunId, Problem> {
        let id = self.find_run(text).map_err(|problem| match problem.detail.as_deref() {
            // Those that ended in an earlier life of the runner are in its journal only.
            Some(detail) if !detail.contains("several") => {
                let what = format!(
                    "{detail}: no run that goes on is called so, and one that has ended takes no more words"
                );
                Problem::new(problem.code, what)
            }
            _ => problem,
        })?;
        match self.runs.get(&id).and_then(|run| run.ended.as_ref()) {
            None => Ok(id),
            Some((state, ..)) => {
                let state = match state {
                    RunState::Completed => "completed",
                    RunState::Fenced => "fenced",
                    _ => "over",
                };
                Err(Problem::new(Code::Conflict, format!("run {} is {state}", id.short(4))))
            }
        }
    }
}
