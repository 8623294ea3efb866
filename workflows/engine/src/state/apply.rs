//! One match is the whole machine: what each entry does where.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemas::Position;
use serde_json::Value;

use super::work::Why;
use super::{After, Frame, Place, ROOT, What, Work};
use crate::definition::model::{Kind, Then};
use crate::machine::Outcome;
use crate::{Applied, BadEntry, Body, Catching, Entry, Error, Resolution, RunFacts, Standard};

/// The position of the workflow itself.
pub(crate) fn root() -> Result<Position, Why> {
    Position::new(ROOT).map_err(|e| e.to_string())
}

impl Work<'_> {
    pub(crate) fn apply(&mut self, entry: &Entry) -> Result<(), BadEntry> {
        self.step(entry).map_err(|why| BadEntry::new(entry, why))
    }

    fn step(&mut self, entry: &Entry) -> Result<(), Why> {
        if self.head.outcome.is_some() {
            return Err("the run is over".into());
        }
        if self.head.facts.is_none() != matches!(entry, Entry::Begun { .. }) {
            return Err("a run begins once, and first".into());
        }
        self.head.clock = self.head.clock.max(entry.time());
        match entry {
            Entry::Begun { facts } => self.begun(facts),
            Entry::Skipped { at, .. } => {
                let frame = self.expect(at, |p| matches!(p, Place::Arriving))?.clone();
                self.leave(at, Arc::clone(&frame.raw), Then::Continue)
            }
            Entry::Ran { at, output, context, case, .. } => self.ran(at, output, context.as_ref(), *case),
            Entry::Entered { at, time, input, deadline, body } => {
                self.entered(at, *time, input.as_ref(), *deadline, body)
            }
            Entry::Ended { at, output, .. } => {
                self.ended(at)?;
                self.set_place(at, Place::Exiting { output: Arc::new(output.clone()) })
            }
            Entry::Left { at, output, context, .. } => self.left(at, output, context.as_ref()),
            Entry::Heard { at, filter, event, .. } => {
                self.expect(at, |p| matches!(p, Place::Listening { .. }))?;
                let Place::Listening { heard, .. } = &mut self.edit(at)?.place else {
                    return Err("it does not listen".into());
                };
                let slot = heard.get_mut(*filter).filter(|s| s.is_none()).ok_or("that was heard already")?;
                *slot = Some(event.clone());
                Ok(())
            }
            Entry::Looped { at, go, .. } => self.looped(at, *go),
            Entry::Failed { at, error, .. } => self.failed(at, error),
            Entry::TimedOut { at, error, .. } => {
                self.expect(at, Place::is_composite)?;
                self.unwind(at, After::Fail(error.clone()))
            }
            Entry::Caught { at, how, .. } => self.caught(at, how),
            Entry::Woke { at, .. } => {
                self.expect(at, |p| matches!(p, Place::Delaying { .. }))?;
                self.run_block(at)
            }
            Entry::Settled { at, applied, .. } => self.settled(at, *applied),
            Entry::Resolved { at, how, .. } => self.resolved(at, how),
            Entry::Cancelled { leave, .. } => {
                let after = if *leave { After::Finish(Outcome::Cancelled) } else { After::BackOut };
                self.unwind(&root()?, after)
            }
            Entry::Undone { at, .. } => {
                self.expect(at, |p| matches!(p, Place::Calling { .. }))?;
                self.undone(at)
            }
        }
    }

    /// The frame, if it stands at such a place.
    pub(crate) fn expect(&self, at: &Position, place: impl Fn(&Place) -> bool) -> Result<&Frame, Why> {
        let frame = self.frame(at)?;
        if place(&frame.place) { Ok(frame) } else { Err(format!("{at} is {}", frame.place.as_str())) }
    }

    fn begun(&mut self, facts: &RunFacts) -> Result<(), Why> {
        self.head.clock = facts.started_at;
        self.head.facts = Some(Arc::new(facts.clone()));
        let frame =
            Frame::new(What::Root, None, Arc::new(facts.input.clone()), Arc::default(), facts.started_at);
        self.insert(root()?, frame)
    }

    fn ran(
        &mut self,
        at: &Position,
        output: &Value,
        context: Option<&Value>,
        case: Option<usize>,
    ) -> Result<(), Why> {
        let frame = self.expect(at, |p| matches!(p, Place::Arriving))?;
        let What::Task(id) = frame.what else {
            return Err("only a task runs".into());
        };
        let task = self.task(id)?;
        let then = match (&task.kind, case) {
            (Kind::Switch(thens), Some(case)) => *thens.get(case).ok_or("the switch has no such case")?,
            (Kind::Set | Kind::Emit | Kind::Switch(_), None) => task.then,
            _ => return Err(format!("a task of the kind {} does not run at once", task.kind.as_str())),
        };
        self.export(at, context)?;
        self.leave(at, Arc::new(output.clone()), then)
    }

    fn entered(
        &mut self,
        at: &Position,
        time: DateTime<Utc>,
        input: Option<&Value>,
        deadline: Option<DateTime<Utc>>,
        body: &Body,
    ) -> Result<(), Why> {
        self.expect(at, |p| matches!(p, Place::Arriving))?;
        let frame = self.edit(at)?;
        if let Some(input) = input {
            frame.input = Arc::new(input.clone());
        }
        frame.started = time;
        frame.deadline = deadline;
        let (input, what) = (Arc::clone(&frame.input), frame.what);
        let id = match what {
            What::Root if *body != Body::Block => return Err("a workflow is a block".into()),
            What::Root => {
                self.head.context = Arc::clone(&input);
                self.set_place(at, Place::Running)?;
                return self.enter_list(at, self.definition.root, input);
            }
            What::Task(id) => id,
            What::Iteration(..) | What::Undo(_) => return Err("only a task is entered".into()),
        };
        let task = self.task(id)?;
        match (&task.kind, body) {
            (Kind::Do(list), Body::Block) => {
                self.set_place(at, Place::Running)?;
                self.enter_list(at, *list, input)
            }
            (Kind::Try(_), Body::Block) => self.run_block(at),
            (Kind::Fork { branches, .. }, Body::Block) => {
                let branches = self.definition.list(*branches);
                self.set_place(at, Place::Forking { running: branches.len() })?;
                branches.iter().try_for_each(|branch| self.enter(at, *branch, Arc::clone(&input)))
            }
            (Kind::For(_), Body::For { items }) => self.enter_loop(at, items.clone(), input),
            (Kind::Call(_), Body::Call { args, timeout_ms }) => {
                let args = Arc::new(args.clone());
                self.set_place(at, Place::Calling { args, timeout_ms: *timeout_ms })
            }
            (Kind::Function(def), Body::Function { args }) => {
                let args = Arc::new(args.clone());
                self.edit(at)?.context = Some(Arc::clone(&args));
                self.set_place(at, Place::Running)?;
                self.enter_list(at, def.body, args)
            }
            (Kind::Wait, Body::Wait { until }) => self.set_place(at, Place::Waiting { until: *until }),
            (Kind::Listen { .. }, Body::Listen { filters }) => {
                let heard = vec![None; filters.filters.len()];
                self.set_place(at, Place::Listening { filters: Arc::new(filters.clone()), heard })
            }
            (kind, _) => Err(format!("the entry is not of a task of the kind {}", kind.as_str())),
        }
    }

    /// A call, wait or listen ended well; a call that can be undone is recorded.
    fn ended(&mut self, at: &Position) -> Result<(), Why> {
        let leaf =
            |p: &Place| matches!(p, Place::Calling { .. } | Place::Waiting { .. } | Place::Listening { .. });
        let frame = self.expect(at, leaf)?;
        let What::Task(id) = frame.what else {
            return Err("only a task ends so".into());
        };
        if let Place::Calling { args, .. } = &frame.place {
            let args = Arc::clone(args);
            self.record_call(at, id, &args)?;
        }
        self.edit(at)?.deadline = None;
        Ok(())
    }

    fn left(&mut self, at: &Position, output: &Value, context: Option<&Value>) -> Result<(), Why> {
        let frame = self.frame(at)?;
        let (what, handled) = (frame.what, frame.handled);
        if !matches!(frame.place, Place::Exiting { .. }) {
            self.ended(at)?;
        }
        self.export(at, context)?;
        let then = match what {
            What::Root => {
                self.remove(at);
                self.head.outcome = Some(Outcome::Completed { output: output.clone() });
                return Ok(());
            }
            What::Task(id) => {
                let task = self.task(id)?;
                match &task.kind {
                    Kind::Try(def) if handled => def.then.unwrap_or(task.then),
                    _ => task.then,
                }
            }
            What::Iteration(..) | What::Undo(_) => return Err("only a task is left".into()),
        };
        self.leave(at, Arc::new(output.clone()), then)
    }

    /// What a task exports is seen by the tasks beside it: in the run, or in the function that it stands in.
    fn export(&mut self, at: &Position, context: Option<&Value>) -> Result<(), Why> {
        let Some(context) = context else { return Ok(()) };
        let context = Arc::new(context.clone());
        match self.frame(at)?.scope.clone() {
            Some(function) => self.edit(&function)?.context = Some(context),
            None => self.head.context = context,
        }
        Ok(())
    }

    fn failed(&mut self, at: &Position, error: &Error) -> Result<(), Why> {
        let frame = self.frame(at)?;
        match (&frame.place, frame.what) {
            (Place::Calling { args, .. }, What::Task(id)) => {
                let args = Arc::clone(args);
                if error.is(Standard::InDoubt) {
                    self.record_call(at, id, &args)?;
                }
                self.fail(at, error.clone())
            }
            (Place::Catching { .. }, _) => self.unwind(at, After::Fail(error.clone())),
            (
                Place::Arriving
                | Place::Calling { .. }
                | Place::Waiting { .. }
                | Place::Listening { .. }
                | Place::Exiting { .. },
                _,
            ) => self.fail(at, error.clone()),
            (place, _) => Err(format!("{at} is {}", place.as_str())),
        }
    }

    fn caught(&mut self, at: &Position, how: &Catching) -> Result<(), Why> {
        let frame = self.expect(at, |p| matches!(p, Place::Catching { .. }))?;
        let Place::Catching { error, failed } = frame.place.clone() else {
            return Err("it does not catch".into());
        };
        match how {
            Catching::Pass => self.passed(at, &failed),
            Catching::Retry { due } => {
                self.edit(at)?.tries += 1;
                self.unwind(at, After::Retry(*due))
            }
            Catching::Handle => self.unwind(at, After::Handle(error)),
        }
    }

    fn settled(&mut self, at: &Position, applied: Applied) -> Result<(), Why> {
        let frame = self.expect(at, |p| matches!(p, Place::Cancelling { .. }))?;
        let (Place::Cancelling { args, owner }, what) = (frame.place.clone(), frame.what) else {
            return Err("it is not being ended".into());
        };
        if let What::Task(id) = what
            && applied != Applied::No
        {
            self.record_call(at, id, &args)?;
        }
        if let What::Undo(number) = what
            && applied == Applied::Yes
        {
            self.forget(number);
        }
        self.remove(at);
        let Place::Unwinding { pending, after } = self.frame(&owner)?.place.clone() else {
            return Err(format!("{owner} does not wait for it"));
        };
        match pending.checked_sub(1) {
            None => Err("more ended than was pending".into()),
            Some(0) => self.proceed(&owner, after),
            Some(pending) => {
                self.edit(&owner)?.place = Place::Unwinding { pending, after };
                Ok(())
            }
        }
    }

    fn resolved(&mut self, at: &Position, how: &Resolution) -> Result<(), Why> {
        let frame = self.expect(at, |p| matches!(p, Place::Failed { offered: None, .. }))?.clone();
        let Place::Failed { error, args, .. } = frame.place.clone() else {
            return Err("it has not failed".into());
        };
        match (how, frame.what) {
            (Resolution::Fault, _) => self.unwind(&root()?, After::Finish(Outcome::Faulted { error })),
            (Resolution::BackOut, What::Undo(_)) => Err("an undo is not undone".into()),
            (Resolution::BackOut, _) => self.unwind(&root()?, After::BackOut),
            (Resolution::Retry { .. }, What::Root) => Err("a workflow is not run again".into()),
            (Resolution::Retry { .. }, What::Iteration(..)) => self.set_place(at, Place::Arriving),
            (Resolution::Retry { .. }, What::Undo(number)) => self.undo_again(at, number),
            (Resolution::Retry { fresh }, What::Task(id)) => {
                let parent = frame.parent.clone().ok_or("a task has a parent")?;
                self.remove(at);
                let next = self.enter_as(&parent, id, Arc::clone(&frame.raw), Arc::clone(&frame.locals))?;
                if let (false, Some((args, timeout_ms))) = (*fresh, args) {
                    let new = self.edit(&next)?;
                    new.input = Arc::clone(&frame.input);
                    self.set_place(&next, Place::Calling { args, timeout_ms })?;
                }
                Ok(())
            }
            (Resolution::Skip { .. }, What::Undo(_)) => self.undone(at),
            (Resolution::Skip { output }, What::Root) => {
                self.remove(at);
                self.head.outcome = Some(Outcome::Completed { output: output.clone() });
                Ok(())
            }
            (Resolution::Skip { output }, What::Iteration(..)) => {
                self.set_place(at, Place::Running)?;
                self.list_done(at, Arc::new(output.clone()))
            }
            (Resolution::Skip { output }, What::Task(id)) => {
                let then = self.task(id)?.then;
                self.leave(at, Arc::new(output.clone()), then)
            }
        }
    }
}
