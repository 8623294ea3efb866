//! What follows from an input: entries, tried out on a copy and thrown away.

use chrono::{DateTime, TimeDelta, Utc};
use schemas::Position;
use serde_json::Value;

use crate::definition::Definition;
use crate::definition::model::{Kind, Task};
use crate::duration::millis;
use crate::jobs;
use crate::state::{After, Frame, Place, ROOT, State, What, Work};
use crate::{
    Applied, Body, Catching, Entry, Error, Evaluation, EventFilter, EventFilters, Input, Outcome, Resolution,
    RunFacts, Standard, Strategy, Unexpected,
};

/// Evaluations that need no jq and are done at once in one batch. A loop of nothing else goes on batch
/// by batch.
const AT_ONCE_MAX: usize = 256;

/// Items that a loop may have, one after the other and together.
const ITEMS_MAX: usize = 10_000;
const TOGETHER_MAX: usize = 1_000;

/// Entries that are being made.
pub(crate) struct Decision<'a> {
    definition: &'a Definition,
    work: Work<'a>,
    now: DateTime<Utc>,
    entries: Vec<Entry>,
}

type Made = Result<(), Unexpected>;

impl<'a> Decision<'a> {
    pub(crate) fn new(definition: &'a Definition, state: &'a State, now: DateTime<Utc>) -> Self {
        Self { definition, work: Work::new(definition, state), now, entries: Vec::new() }
    }

    /// The entries of a beginning.
    pub(crate) fn begin(mut self, facts: RunFacts) -> Result<Vec<Entry>, Unexpected> {
        self.push(Entry::Begun { facts })?;
        self.finish()
    }

    /// The entries that follow from an input.
    pub(crate) fn decide(mut self, input: Input) -> Result<Vec<Entry>, Unexpected> {
        if self.work.head.outcome.is_some() {
            return Err(Unexpected("the run is over".into()));
        }
        match input {
            Input::Evaluated { at, result } => self.evaluated(at, result),
            Input::CallEnded { at, result } => self.call_ended(at, result),
            Input::Woke { at } => self.woke(at),
            Input::EventArrived { at, event } => self.arrived(at, &event),
            Input::Resolve { at, how } => self.resolve(at, how),
            Input::Cancel { leave } => self.cancel(leave),
        }?;
        self.finish()
    }

    fn push(&mut self, entry: Entry) -> Made {
        self.work.apply(&entry).map_err(|bad| Unexpected(bad.to_string()))?;
        self.entries.push(entry);
        Ok(())
    }

    /// Does what needs nobody, as far as it goes.
    fn finish(mut self) -> Result<Vec<Entry>, Unexpected> {
        let mut queue = std::collections::VecDeque::from(self.work.take_touched());
        let mut left = AT_ONCE_MAX;
        while let Some(at) = queue.pop_front() {
            let Some(frame) = self.work.get(&at).filter(|f| jobs::is_simple(self.definition, f)) else {
                continue;
            };
            let context = self.work.context(frame);
            let Some(job) = jobs::job(self.definition, &self.work.head, &context, &at, frame) else {
                continue;
            };
            let Some(result) = job.run_here() else {
                continue;
            };
            self.evaluated(at, result)?;
            queue.extend(self.work.take_touched());
            left -= 1;
            if left == 0 {
                break;
            }
        }
        Ok(self.entries)
    }

    fn frame(&self, at: &Position) -> Result<Frame, Unexpected> {
        self.work.get(at).cloned().ok_or_else(|| Unexpected(format!("nothing is at {at}")))
    }

    fn task(&self, frame: &Frame) -> Option<&'a Task> {
        match frame.what {
            What::Task(id) => self.definition.task(id),
            _ => None,
        }
    }

    fn failed(&mut self, at: Position, frame: &Frame, mut error: Error) -> Made {
        error.instance.get_or_insert_with(|| jobs::instance(self.definition, frame));
        let time = self.now;
        self.push(Entry::Failed { at, time, error })
    }

    fn evaluated(&mut self, at: Position, result: Result<Evaluation, Error>) -> Made {
        let frame = self.frame(&at)?;
        let time = self.now;
        let phase = |good: bool| {
            if good { Ok(()) } else { Err(Unexpected(format!("{at} is {}", frame.place.as_str()))) }
        };
        let arriving = matches!(frame.place, Place::Arriving);
        let catching = matches!(frame.place, Place::Catching { .. });
        let exiting = matches!(frame.place, Place::Exiting { .. });
        let evaluation = match result {
            Ok(evaluation) => evaluation,
            Err(error) => {
                phase(arriving || catching || exiting)?;
                return self.failed(at, &frame, error);
            }
        };
        match evaluation {
            Evaluation::Skipped => {
                phase(arriving)?;
                self.push(Entry::Skipped { at, time })
            }
            Evaluation::Ran { output, context, case, event } => {
                phase(arriving)?;
                self.push(Entry::Ran { at, time, output, context, case, event })
            }
            Evaluation::Entered { input, timeout_ms, value } => {
                phase(arriving)?;
                match self.body(&frame, timeout_ms, value) {
                    Ok(body) => {
                        let call = matches!(body, Body::Call { .. });
                        let deadline = timeout_ms.filter(|_| !call).map(|ms| after(time, ms));
                        self.push(Entry::Entered { at, time, input, deadline, body })
                    }
                    Err(error) => self.failed(at, &frame, error),
                }
            }
            Evaluation::Left { output, context } => {
                phase(exiting)?;
                self.push(Entry::Left { at, time, output, context })
            }
            Evaluation::Looped { go } => {
                phase(arriving)?;
                self.push(Entry::Looped { at, time, go })
            }
            Evaluation::Passed => {
                phase(catching)?;
                self.push(Entry::Caught { at, time, how: Catching::Pass })
            }
            Evaluation::Handled => {
                phase(catching)?;
                self.push(Entry::Caught { at, time, how: Catching::Handle })
            }
            Evaluation::Retried { delay_ms } => {
                phase(catching)?;
                let due = (delay_ms > 0).then(|| after(time, delay_ms));
                self.push(Entry::Caught { at, time, how: Catching::Retry { due } })
            }
        }
    }

    /// What a task does with what was evaluated.
    fn body(&self, frame: &Frame, timeout_ms: Option<u64>, value: Value) -> Result<Body, Error> {
        let Some(task) = self.task(frame) else {
            return Ok(Body::Block);
        };
        let wrong = |standard, why: String| Error::standard(standard, why);
        match &task.kind {
            Kind::Call(_) => Ok(Body::Call { args: value, timeout_ms }),
            Kind::Function(_) => Ok(Body::Function { args: value }),
            Kind::For(def) => {
                let most = if def.at_once { TOGETHER_MAX } else { ITEMS_MAX };
                match value {
                    Value::Array(items) if items.len() <= most => Ok(Body::For { items }),
                    Value::Array(items) => {
                        let why = format!("the loop has {} items; {most} is the most", items.len());
                        Err(wrong(Standard::Runtime, why))
                    }
                    _ => Err(wrong(Standard::Expression, "`in` gave no array".into())),
                }
            }
            Kind::Wait => Ok(Body::Wait { until: after(self.now, millis(&value)?) }),
            Kind::Listen { strategy, .. } => match serde_json::from_value::<Vec<EventFilter>>(value) {
                Ok(filters) => Ok(Body::Listen { filters: EventFilters { strategy: *strategy, filters } }),
                Err(why) => Err(wrong(Standard::Configuration, format!("these are no event filters: {why}"))),
            },
            Kind::Raise => Err(match serde_json::from_value::<Error>(value) {
                Ok(error) => error,
                Err(why) => wrong(Standard::Configuration, format!("what is raised is no error: {why}")),
            }),
            Kind::Do(_) | Kind::Fork { .. } | Kind::Try(_) | Kind::Set | Kind::Switch(_) | Kind::Emit => {
                Ok(Body::Block)
            }
        }
    }

    /// A leaf has its raw output: it is left, at once where there is nothing to evaluate.
    fn ended(&mut self, at: Position, frame: &Frame, output: Value) -> Made {
        let time = self.now;
        if self.task(frame).is_some_and(|task| task.exit.is_identity()) {
            return self.push(Entry::Left { at, time, output, context: None });
        }
        self.push(Entry::Ended { at, time, output })
    }

    fn call_ended(&mut self, at: Position, result: Result<Value, Error>) -> Made {
        let frame = self.frame(&at)?;
        let time = self.now;
        match (&frame.place, frame.what, result) {
            (Place::Calling { .. }, What::Undo(_), Ok(_)) => self.push(Entry::Undone { at, time }),
            (Place::Calling { .. }, _, Ok(output)) => self.ended(at, &frame, output),
            (Place::Calling { .. }, _, Err(error)) => self.failed(at, &frame, error),
            (Place::Cancelling { .. }, _, result) => {
                let applied = match result {
                    Ok(_) => Applied::Yes,
                    Err(error) if error.is(Standard::InDoubt) => Applied::Maybe,
                    Err(_) => Applied::No,
                };
                self.push(Entry::Settled { at, time, applied })
            }
            (place, _, _) => Err(Unexpected(format!("{at} is {}", place.as_str()))),
        }
    }

    fn woke(&mut self, at: Position) -> Made {
        let frame = self.frame(&at)?;
        let time = self.now;
        let Some(when) = frame.wake() else {
            return Err(Unexpected(format!("{at} waits for no time")));
        };
        let timed_out = frame.deadline == Some(when);
        match &frame.place {
            Place::Waiting { until } if *until == when => {
                let output = Value::clone(&frame.input);
                self.ended(at, &frame, output)
            }
            Place::Delaying { due } if *due == when => self.push(Entry::Woke { at, time }),
            Place::Waiting { .. } | Place::Listening { .. } => {
                let error = Error::standard(Standard::Timeout, "the task's time is up");
                self.failed(at, &frame, error)
            }
            _ if timed_out => {
                let mut error = Error::standard(Standard::Timeout, "the task's time is up");
                error.instance = Some(jobs::instance(self.definition, &frame));
                self.push(Entry::TimedOut { at, time, error })
            }
            place => Err(Unexpected(format!("{at} is {}", place.as_str()))),
        }
    }

    fn arrived(&mut self, at: Position, event: &Value) -> Made {
        let frame = self.frame(&at)?;
        let time = self.now;
        let (Place::Listening { filters, heard }, Some(task)) = (&frame.place, self.task(&frame)) else {
            return Err(Unexpected(format!("{at} is {}", frame.place.as_str())));
        };
        let envelope = matches!(task.kind, Kind::Listen { envelope: true, .. });
        let read = if envelope { event.clone() } else { event.get("data").cloned().unwrap_or_default() };
        let fits = |(i, filter): (usize, &EventFilter)| {
            (heard.get(i).is_some_and(Option::is_none) && filter.matches(event)).then_some(i)
        };
        let Some(filter) = filters.filters.iter().enumerate().find_map(fits) else {
            return Ok(());
        };
        let missing = heard.iter().filter(|h| h.is_none()).count();
        if filters.strategy == Strategy::All && missing > 1 {
            return self.push(Entry::Heard { at, time, filter, event: read });
        }
        let mut all = heard.clone();
        if let Some(slot) = all.get_mut(filter) {
            *slot = Some(read);
        }
        self.ended(at, &frame, Value::Array(all.into_iter().flatten().collect()))
    }

    fn resolve(&mut self, at: Position, how: Resolution) -> Made {
        let time = self.now;
        self.push(Entry::Resolved { at, time, how })
    }

    fn cancel(&mut self, leave: bool) -> Made {
        let root = Position::new(ROOT).map_err(|e| Unexpected(e.to_string()))?;
        let frame = self.frame(&root)?;
        let ending = match &frame.place {
            Place::Undoing => !leave,
            Place::Unwinding { after: After::Finish(outcome), .. } => {
                !matches!(outcome, Outcome::Completed { .. })
            }
            Place::Unwinding { after: After::BackOut, .. } => !leave,
            _ => false,
        };
        if ending {
            return Err(Unexpected("the run ends already".into()));
        }
        let time = self.now;
        self.push(Entry::Cancelled { time, leave })
    }
}

fn after(time: DateTime<Utc>, ms: u64) -> DateTime<Utc> {
    let delta = TimeDelta::milliseconds(i64::try_from(ms).unwrap_or(i64::MAX / 2));
    time.checked_add_signed(delta).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
