//! What persons ask (law 11): who, when and why is recorded, and a second arrival answers as the first.

use engine::{Resolution, Want};
use schemas::op::{Op, OpReply, OpRequest, Who};
use schemas::{Code, Effect, GroupId, Key, MessageId, PersonId, Position, Problem, RunId, SiteId};

use crate::core::Core;
use crate::entry::{AssumedBy, ByPerson, GroupEntry, RunEntry};
use crate::live::{Live, Stage};
use crate::query::Purpose;
use crate::seam::{Local, Now, ReplyTo};
use crate::start::Start;

/// The longest reason that is recorded, in bytes.
const WHY_MAX: usize = 1000;

type Answer = Result<OpReply, Problem>;

impl Core {
    pub(crate) fn on_op(&mut self, now: Now, person: &PersonId, request: OpRequest, reply_to: ReplyTo) {
        if let Some(reply) = self.answered_before(&request.id) {
            return self.answer(reply_to, reply);
        }
        let why = request.why.clone().unwrap_or_default();
        if request.op.changes() && (why.trim().is_empty() || why.len() > WHY_MAX) {
            let problem = Problem::new(Code::WhyNeeded, format!("1 to {WHY_MAX} bytes"));
            return self.answer(reply_to, OpReply::Problem(problem));
        }
        let by = ByPerson { who: Who { person: person.to_string(), claimed: request.claimed.clone() }, why };
        let group = self.group_of(&request.op);
        let changes = request.op.changes();
        let id = request.id;
        // `None`: it is answered later, by a query.
        if let Some(answer) = self.do_op(now, by, request, reply_to) {
            let reply = answer.unwrap_or_else(OpReply::Problem);
            if changes
                && !matches!(reply, OpReply::Problem(_))
                && let Some(group) = group
            {
                let entry = GroupEntry::OpAnswered { request: id, reply: Box::new(reply.clone()) };
                self.append_group(now, &group, &entry);
            }
            self.answer(reply_to, reply);
        }
    }

    pub(crate) fn answered_before(&self, request: &MessageId) -> Option<OpReply> {
        self.groups
            .values()
            .flat_map(|g| g.record.answered.iter().rev())
            .find(|(id, _)| id == request)
            .map(|(_, reply)| reply.clone())
    }

    fn group_of(&self, op: &Op) -> Option<GroupId> {
        match op {
            Op::Start { group, .. }
            | Op::Ack { group }
            | Op::Triggers { group, .. }
            | Op::Declare { group, .. }
            | Op::Drilled { group, .. }
            | Op::Adopt { group, .. } => Some(group.clone()),
            Op::Approve { decision } => self.asked_group(decision),
            Op::Accept { run, .. }
            | Op::Pause { run }
            | Op::Resume { run }
            | Op::Retry { run, .. }
            | Op::Skip { run, .. }
            | Op::Done { run, .. }
            | Op::Push { run }
            | Op::Cancel { run, .. } => {
                let id = self.find_run(run).ok()?;
                self.runs.get(&id)?.started.group.clone()
            }
            Op::Status { .. }
            | Op::Check { .. }
            | Op::Files { .. }
            | Op::Reload {}
            | Op::Runs { .. }
            | Op::Show { .. }
            | Op::Evidence { .. }
            | Op::ByHand { .. }
            | Op::Definition { .. }
            | Op::Decisions { .. } => None,
        }
    }

    fn asked_group(&self, decision: &str) -> Option<GroupId> {
        self.groups
            .iter()
            .find(|(id, g)| {
                g.record
                    .asked
                    .as_ref()
                    .is_some_and(|(asked, _)| id.as_str() == decision || asked.ends_with(decision))
            })
            .map(|(id, _)| id.clone())
    }

    fn do_op(&mut self, now: Now, by: ByPerson, request: OpRequest, reply_to: ReplyTo) -> Option<Answer> {
        match request.op {
            Op::Status { group } => match self.groups_named(group) {
                Err(problem) => Some(Err(problem)),
                Ok(groups) => {
                    self.query(now, Purpose::Status { reply_to, groups });
                    None
                }
            },
            Op::Check { group } => match self.groups_named(group) {
                Err(problem) => Some(Err(problem)),
                Ok(groups) => {
                    self.query(now, Purpose::Check { reply_to, groups });
                    None
                }
            },
            Op::Files { group } => Some(self.group_files(group.as_ref())),
            Op::Reload {} => {
                self.out.local.push(Local::ReadFiles { by, reply_to });
                None
            }
            Op::Runs { group, limit } => {
                let first = self.runs.values().rev().filter(|r| group.is_none() || r.started.group == group);
                let first = first.map(|run| crate::views::run_view(run, &self.lives, false)).collect();
                let limit = limit.clamp(1, 1000) as usize;
                self.out.local.push(Local::List { group, limit, first, reply_to });
                None
            }
            Op::Show { run } => match self.find_run(&run) {
                Ok(id) => {
                    let view = self.runs.get(&id).map(|run| self.run_now(now, run))?;
                    Some(Ok(OpReply::Run(Box::new(view))))
                }
                Err(problem) if problem.detail.as_ref().is_some_and(|d| d.contains("several")) => {
                    Some(Err(problem))
                }
                Err(_) => {
                    self.out.local.push(Local::Show { run, reply_to });
                    None
                }
            },
            Op::Evidence { run, after } => {
                // Unended runs are in the journal too, as far as they are durable.
                let run = self.find_run(&run).map_or(run, |id| id.to_string());
                self.out.local.push(Local::Evidence { run, after, reply_to });
                None
            }
            Op::ByHand { group, asks } => {
                if !self.groups.contains_key(&group) {
                    return Some(Err(Problem::new(Code::UnknownGroup, format!("`{group}`"))));
                }
                if asks.len() > schemas::BY_HAND_MAX {
                    let detail = format!("at most {} acts at once", schemas::BY_HAND_MAX);
                    return Some(Err(Problem::new(Code::TooLarge, detail)));
                }
                self.ask_by_hand(now, reply_to, group, asks);
                None
            }
            Op::Definition { workflow } => match self.definitions.get(&workflow) {
                Some((digest, definition)) => {
                    let info = definition.info();
                    let workflow = format!("{}:{}", info.name, info.version);
                    let (digest, functions) = (*digest, definition.functions().clone());
                    self.out.local.push(Local::Definition { workflow, digest, functions, reply_to });
                    None
                }
                None => {
                    let names: Vec<&str> = self.definitions.keys().map(String::as_str).collect();
                    let detail = format!("there is no definition `{workflow}`: {}", names.join(", "));
                    Some(Err(Problem::new(Code::BadDefinition, detail)))
                }
            },
            Op::Decisions { group, limit } => {
                let mut found: Vec<_> = self
                    .groups
                    .iter()
                    .filter(|(id, _)| group.as_ref().is_none_or(|g| g == *id))
                    .flat_map(|(_, g)| g.record.decisions.iter().cloned())
                    .collect();
                found.sort_by_key(|d| std::cmp::Reverse(d.at));
                found.truncate(limit.clamp(1, 1000) as usize);
                Some(Ok(OpReply::Decisions(found)))
            }
            Op::Start {
                workflow,
                group,
                to,
                supersede,
                accept_unfenced,
                accept_data_loss,
                by: protect_by,
                overrides,
                waive_ledger,
                dry_run,
            } => {
                let old = match supersede.map(|text| self.active_run(&text)).transpose() {
                    Ok(old) => old,
                    Err(problem) => return Some(Err(problem)),
                };
                let start = Start {
                    workflow,
                    group,
                    to,
                    supersede: old,
                    accept_unfenced,
                    accept_data_loss,
                    protect_by,
                    overrides,
                    waive_ledger,
                    by,
                    decision: None,
                };
                if dry_run {
                    self.query(now, Purpose::Preview { reply_to, start: Box::new(start) });
                    return None;
                }
                self.start_after_a_look(now, start, request.id, reply_to)
            }
            Op::Approve { decision } => {
                let start = match self.approved(&decision, by) {
                    Ok(start) => start,
                    Err(problem) => return Some(Err(problem)),
                };
                self.start_after_a_look(now, start, request.id, reply_to)
            }
            Op::Ack { group } => Some(self.group_op(
                now,
                &group,
                GroupEntry::Acknowledged { by },
                "automatic starts are armed again",
            )),
            Op::Triggers { group, on, for_seconds } => {
                let until = for_seconds.and_then(|s| {
                    now.wall.checked_add_signed(chrono::Duration::try_seconds(i64::try_from(s).ok()?)?)
                });
                let what = if on { "triggers are as the file says" } else { "triggers are off" };
                Some(self.group_op(now, &group, GroupEntry::Triggers { on, until, by }, what))
            }
            Op::Declare { group, what, site } => Some(self.declare(now, &group, (what, site), by)),
            Op::Drilled { group, drill } => Some(self.drilled(now, &group, drill, by)),
            Op::Adopt { group, record, none_live, old_runner_stopped } => {
                if !self.groups.contains_key(&group) {
                    return Some(Err(Problem::new(Code::UnknownGroup, format!("`{group}`"))));
                }
                let record = (none_live || record.is_some()).then_some((record, by, request.id));
                let purpose = Purpose::World { reply_to, group, record, old_runner_stopped };
                self.query(now, purpose);
                None
            }
            Op::Done { run, step, unverified: false } => match self.step_of(&run, &step) {
                Ok((id, at)) => {
                    self.query(now, Purpose::Done { reply_to, run: id, at, by, request: request.id });
                    None
                }
                Err(problem) => Some(Err(problem)),
            },
            other => Some(self.run_op(now, by, other)),
        }
    }

    /// The group that is named, or all.
    fn groups_named(&self, group: Option<GroupId>) -> Result<Vec<GroupId>, Problem> {
        match group {
            Some(id) if self.groups.contains_key(&id) => Ok(vec![id]),
            Some(id) => Err(Problem::new(Code::UnknownGroup, format!("`{id}`"))),
            None => Ok(self.groups.keys().cloned().collect()),
        }
    }

    fn group_op(&mut self, now: Now, group: &GroupId, entry: GroupEntry, what: &str) -> Answer {
        if !self.groups.contains_key(group) {
            return Err(Problem::new(Code::UnknownGroup, format!("`{group}`")));
        }
        self.append_group(now, group, &entry);
        Ok(OpReply::Recorded { what: what.into(), at: now.wall })
    }

    /// A person's start: its preconditions are looked at first, where they are looked at at all.
    fn start_after_a_look(
        &mut self,
        now: Now,
        start: Start,
        request: MessageId,
        reply_to: ReplyTo,
    ) -> Option<Answer> {
        if self.preflight_every.is_some() {
            // What is wrong already need not be looked at.
            if let Err(problem) = self.check_start(&start) {
                return Some(Err(problem));
            }
            self.query(now, Purpose::Start { reply_to, start: Box::new(start), request });
            return None;
        }
        // What was seen anyway counts all the same; of other red lines nothing is known.
        let refused = self.check_start(&start).and_then(|checked| {
            let mut overrides = start.overrides.clone();
            let known = self.undrainable(now, &start.group, &checked);
            overrides.retain(|name| known.iter().any(|line| line.name == *name));
            self.refuse_red(now, &start.group, &checked, &overrides)?;
            self.refuse_unfinished(&start.group, &checked)?;
            self.refuse_aside(now, &start, &checked)
        });
        if let Err(problem) = refused {
            return Some(Err(problem));
        }
        Some(self.start_run(now, start).map(|(run, epoch)| OpReply::Started { run, epoch: epoch.0 }))
    }

    /// The start that a waiting decision asks for. What was told to be red with the question is gone past by its answer;
    /// of a planned move, which the group's file may name by now, nothing was.
    fn approved(&self, decision: &str, by: ByPerson) -> Result<Start, Problem> {
        let group = self.asked_group(decision).ok_or_else(|| {
            Problem::new(Code::Conflict, format!("no decision `{decision}` waits to be approved"))
        })?;
        let g = self.groups.get(&group).ok_or_else(|| Problem::new(Code::UnknownGroup, ""))?;
        let (id, site) = g.record.asked.clone().ok_or_else(|| Problem::new(Code::Conflict, ""))?;
        if g.record.live.as_ref() != Some(&site) {
            return Err(Problem::new(Code::Conflict, format!("{site} is not live any more")));
        }
        if let Some(declared) = g.record.disconnected() {
            let Who { person, .. } = &declared.by.who;
            let detail = format!(
                "{person} declared that only the link is lost ({}): pointsman declare over {group} --why … first",
                declared.by.why
            );
            return Err(Problem::new(Code::Declared, detail));
        }
        let workflow = g.plan.trigger.run.clone();
        let unplanned = self.definitions.get(&workflow).is_some_and(|(_, d)| d.schedule().is_some());
        let overrides = if unplanned { g.record.told_red(&id) } else { Vec::new() };
        Ok(Start {
            workflow,
            group,
            to: None,
            supersede: None,
            accept_unfenced: Vec::new(),
            accept_data_loss: None,
            protect_by: None,
            overrides,
            waive_ledger: false,
            by,
            decision: Some(id),
        })
    }

    fn run_op(&mut self, now: Now, by: ByPerson, op: Op) -> Answer {
        let recorded = |what: &str| Ok(OpReply::Recorded { what: what.into(), at: now.wall });
        match op {
            Op::Accept { run, unfenced, data_loss } => {
                let id = self.active_run(&run)?;
                if unfenced.is_none() && data_loss.is_none() {
                    return Err(Problem::new(Code::Malformed, "neither a site nor a loss is named"));
                }
                let mut what = Vec::new();
                if let Some(site) = unfenced {
                    self.accept(now, id, &site, by.clone())?;
                    what.push(format!("{site} is accepted as unfenced"));
                }
                if let Some(bound) = data_loss {
                    what.push(format!("{} is accepted", self.accept_loss(now, id, bound, by)?));
                }
                recorded(&format!("{}, for this epoch", what.join("; ")))
            }
            Op::Pause { run } => {
                let id = self.active_run(&run)?;
                self.append_run(now, id, RunEntry::Paused { by });
                recorded("paused: no further step begins; what is under way is settled")
            }
            Op::Resume { run } => {
                let id = self.active_run(&run)?;
                let stopped = self.runs.get(&id).is_some_and(|r| r.held.is_some() || r.paused);
                if !stopped {
                    return Err(Problem::new(Code::Conflict, "the run is neither held nor paused"));
                }
                let failed = self.wants_of(id).iter().any(|w| matches!(w, Want::Decide { .. }));
                if failed && self.runs.get(&id).is_some_and(|r| !r.paused) {
                    let short = id.short(4);
                    return Err(Problem::new(
                        Code::Conflict,
                        format!("a step failed: pointsman retry|skip|done {short} STEP, or cancel {short}"),
                    ));
                }
                self.append_run(now, id, RunEntry::Released { by: Some(by) });
                self.rouse(now, id);
                recorded("going on")
            }
            Op::Retry { run, step, fresh } => {
                let (id, at) = self.step_of(&run, &step)?;
                self.retry(now, id, &at, fresh, by)?;
                recorded("the step is done again")
            }
            Op::Skip { run, step } => {
                let (id, at) = self.step_of(&run, &step)?;
                self.pass_by(now, id, &at, "skip", by)?;
                recorded("going on without the step")
            }
            Op::Done { run, step, .. } => {
                let (id, at) = self.step_of(&run, &step)?;
                self.pass_by(now, id, &at, "done", by)?;
                recorded("the step counts as done by hand")
            }
            Op::Push { run } => {
                let id = self.active_run(&run)?;
                self.push_hosts(now, id, by)?;
                recorded(
                    "hosts files are pushed; the names are owed, and the files are taken away after them",
                )
            }
            Op::Cancel { run, leave } => {
                let id = self.active_run(&run)?;
                let past = self.runs.get(&id).is_some_and(crate::run::Run::no_return);
                if past && !leave {
                    return Err(Problem::new(
                        Code::Conflict,
                        "the opening was intended: no return. Forward, or cancel --leave, or supersede",
                    ));
                }
                self.append_run(now, id, RunEntry::Cancelling { leave, by });
                self.append_run(now, id, RunEntry::Released { by: None });
                self.engine_input(now, id, engine::Input::Cancel { leave });
                recorded(if leave { "ending, leaving the world as it is" } else { "backing out" })
            }
            other => Err(Problem::new(Code::Internal, format!("`{}` is not asked of a run", other.verb()))),
        }
    }

    fn accept(&mut self, now: Now, run: RunId, site: &SiteId, by: ByPerson) -> Result<(), Problem> {
        let (group, epoch) = self
            .runs
            .get(&run)
            .and_then(|r| Some((r.started.group.clone()?, r.started.epoch)))
            .ok_or_else(|| Problem::new(Code::Conflict, "the run moves no group"))?;
        let unknown = || Problem::new(Code::UnknownGroup, format!("`{group}`"));
        let g = self.groups.get(&group).ok_or_else(unknown)?;
        g.plan.has_site(site)?;
        // The site that the run opens is waited for only where it is backed out.
        let opens = self.runs.get(&run).filter(|run| !run.machine.is_backing_out());
        if opens.is_some_and(|run| run.started.from.is_some() && run.started.to.as_ref() == Some(site)) {
            let what = format!("{site} is what run {} opens; nobody waits for it to be closed", run.short(4));
            return Err(Problem::new(Code::Conflict, what));
        }
        let entry = GroupEntry::Accepted { site: site.clone(), epoch, standing: false, by };
        self.append_group(now, &group, &entry);
        self.wake_waiters(now, Some(&group));
        Ok(())
    }

    /// A step by its number or position.
    pub(crate) fn step_of(&self, run: &str, step: &str) -> Result<(RunId, Position), Problem> {
        let id = self.active_run(run)?;
        let unknown = || Problem::new(Code::UnknownStep, format!("`{step}` of run {}", id.short(4)));
        let run = self.runs.get(&id).ok_or_else(unknown)?;
        if let Ok(number) = step.parse::<usize>() {
            return run
                .steps
                .get(number.wrapping_sub(1))
                .map(|s| (id, s.position.clone()))
                .ok_or_else(unknown);
        }
        let found = run.steps.iter().rev().find(|s| s.position.as_str() == step);
        let decide = || {
            self.wants_of(id).into_iter().find_map(|w| match w {
                Want::Decide { at, .. } if at.as_str() == step => Some(at),
                _ => None,
            })
        };
        found.map(|s| s.position.clone()).or_else(decide).map(|at| (id, at)).ok_or_else(unknown)
    }

    fn failed_step(&self, id: RunId, at: &Position) -> bool {
        self.wants_of(id).iter().any(|w| matches!(w, Want::Decide { at: failed, .. } if failed == at))
    }

    fn retry(
        &mut self,
        now: Now,
        id: RunId,
        at: &Position,
        fresh: bool,
        by: ByPerson,
    ) -> Result<(), Problem> {
        let key = Key { run: id, position: at.clone() };
        let resolved = RunEntry::Resolved { step: at.clone(), how: "retry".into(), by: by.clone() };
        if self.failed_step(id, at) {
            self.append_run(now, id, resolved);
            self.append_run(now, id, RunEntry::Released { by: Some(by) });
            self.engine_input(
                now,
                id,
                engine::Input::Resolve { at: at.clone(), how: Resolution::Retry { fresh } },
            );
            return Ok(());
        }
        let doubtful = self.lives.get(&key).is_some_and(Live::is_doubtful);
        if !doubtful {
            return Err(Problem::new(Code::Conflict, "the step has not failed and is not in doubt"));
        }
        self.append_run(now, id, resolved);
        self.append_run(now, id, RunEntry::Released { by: Some(by) });
        if let Some(live) = self.lives.get_mut(&key) {
            live.stage = Stage::Resend { at: now.boot };
            live.deadline = now.boot + crate::live::bound(None);
            live.waits_for = None;
            live.told_in_doubt = false;
        }
        self.advance(now, &key);
        self.rouse(now, id);
        Ok(())
    }

    /// `skip` or `done`: the run goes on; on a closing step that is an acceptance (law 7), and so is `done` on an opening of
    /// what is not shut beside it. A planned move's close and its draining are not skipped: there is no gate for what would be
    /// lost.
    pub(crate) fn pass_by(
        &mut self,
        now: Now,
        id: RunId,
        at: &Position,
        how: &str,
        by: ByPerson,
    ) -> Result<(), Problem> {
        let key = Key { run: id, position: at.clone() };
        let failed = self.failed_step(id, at);
        let live = self.lives.get(&key).cloned();
        let doubtful = live.as_ref().is_some_and(Live::is_doubtful);
        let waiting = live.as_ref().is_some_and(|l| !l.intended());
        if !failed && !doubtful && !waiting {
            return Err(Problem::new(
                Code::Conflict,
                "the step has not failed, is not in doubt, and does not wait",
            ));
        }
        if how == "skip"
            && let Some(run) = self.runs.get(&id).filter(|run| run.proves_drained(at))
        {
            return Err(Problem::new(Code::Conflict, run.undrained(at)));
        }
        let closing = self.runs.get(&id).and_then(|r| {
            let call = &r.steps.iter().rev().find(|s| s.position == *at)?.call;
            (call.effect == Effect::Closes)
                .then(|| call.args.get("site")?.as_str()?.parse::<SiteId>().ok())?
        });
        if let Some(site) = closing {
            self.accept(now, id, &site, by.clone())?;
        }
        if how == "done" {
            self.note_done_by_hand(now, id, at);
            self.note_opened_by_hand(now, id, at, &by);
        }
        self.append_run(now, id, RunEntry::Resolved { step: at.clone(), how: how.into(), by: by.clone() });
        self.append_run(now, id, RunEntry::Released { by: Some(by.clone()) });
        let output = self.runs.get(&id).map(|run| run.passed(at)).unwrap_or_default();
        if doubtful {
            self.assume(now, &key, AssumedBy::Person(by));
        } else if failed {
            let how = Resolution::Skip { output };
            self.engine_input(now, id, engine::Input::Resolve { at: at.clone(), how });
        } else {
            self.lives.remove(&key);
            self.end_loss_asked(|asked| *asked == key);
            let result = Ok(output);
            self.engine_input(now, id, engine::Input::CallEnded { at: at.clone(), result });
        }
        self.rouse(now, id);
        Ok(())
    }

    /// Calls of a run that was stopped look again.
    pub(crate) fn rouse(&mut self, now: Now, id: RunId) {
        let keys: Vec<Key> = self.lives.keys().filter(|key| key.run == id).cloned().collect();
        for key in keys {
            self.advance(now, &key);
        }
    }
}
