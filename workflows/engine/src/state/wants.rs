//! What a frame wants: a function of where it stands.

use std::time::Duration;

use chrono::{DateTime, Utc};
use schemas::Position;

use super::{Done, Frame, Head, Place, What};
use crate::definition::Definition;
use crate::definition::model::{FunctionName, Kind};
use crate::jobs;
use crate::{Call, InDoubt, Want, WantKind};

/// Tells two wants of one kind at one position apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Stamp(u64),
    Time(DateTime<Utc>),
}

/// The kinds of what a frame wants.
pub(crate) fn marks(frame: &Frame) -> Vec<(WantKind, Mark)> {
    let stamp = Mark::Stamp(frame.stamp);
    let mut all = Vec::new();
    match &frame.place {
        Place::Arriving | Place::Exiting { .. } | Place::Catching { .. } => {
            all.push((WantKind::Evaluate, stamp))
        }
        Place::Calling { .. } => all.push((WantKind::Call, stamp)),
        Place::Cancelling { .. } => all.push((WantKind::CancelCall, stamp)),
        Place::Listening { .. } => all.push((WantKind::Listen, stamp)),
        Place::Failed { offered: None, .. } => all.push((WantKind::Decide, stamp)),
        _ => {}
    }
    if let Some(when) = frame.wake() {
        all.push((WantKind::Wake, Mark::Time(when)));
    }
    all
}

impl Frame {
    /// When it is to be woken.
    pub(crate) fn wake(&self) -> Option<DateTime<Utc>> {
        match &self.place {
            Place::Waiting { until: due } | Place::Delaying { due } => {
                Some(self.deadline.map_or(*due, |deadline| deadline.min(*due)))
            }
            Place::Listening { .. } => self.deadline,
            place if place.is_composite() => self.deadline,
            _ => None,
        }
    }
}

/// The want of this kind, in full.
pub(crate) fn want(
    definition: &Definition,
    head: &Head,
    context: &serde_json::Value,
    done: impl Fn(u64) -> Option<Done>,
    at: &Position,
    frame: &Frame,
    kind: WantKind,
) -> Option<Want> {
    let at = at.clone();
    Some(match kind {
        WantKind::Evaluate => Want::Evaluate { job: jobs::job(definition, head, context, &at, frame)?, at },
        WantKind::Call => Want::Call { call: call(definition, done, frame)?, at },
        WantKind::CancelCall => Want::CancelCall { at },
        WantKind::Wake => Want::Wake { when: frame.wake()?, at },
        WantKind::Listen => match &frame.place {
            Place::Listening { filters, .. } => Want::Listen { filters: filters.as_ref().clone(), at },
            _ => return None,
        },
        WantKind::Decide => match &frame.place {
            Place::Failed { error, .. } => Want::Decide { error: error.clone(), at },
            _ => return None,
        },
    })
}

fn call(definition: &Definition, done: impl Fn(u64) -> Option<Done>, frame: &Frame) -> Option<Call> {
    let Place::Calling { args, timeout_ms } = &frame.place else {
        return None;
    };
    let (id, undoes) = match frame.what {
        What::Task(id) => (id, None),
        What::Undo(number) => {
            let done = done(number)?;
            (done.task, Some(done.at))
        }
        What::Root | What::Iteration(..) => return None,
    };
    let task = definition.task(id)?;
    let Kind::Call(def) = &task.kind else {
        return None;
    };
    let (function, effect): (&FunctionName, _) = match (&undoes, &def.undo) {
        (None, _) => (&def.function, def.effect),
        (Some(_), Some((undo, effect))) => (undo, *effect),
        (Some(_), None) => return None,
    };
    let undoing = undoes.is_some();
    Some(Call {
        name: task.name.clone(),
        service: function.service.clone(),
        action: function.action.clone(),
        version: function.version.clone(),
        args: serde_json::Value::clone(args),
        effect,
        // An undo is never passed over.
        in_doubt: if undoing { InDoubt::Ask } else { def.in_doubt },
        timeout: timeout_ms.map(Duration::from_millis),
        undo: def.undo.as_ref().filter(|_| !undoing).map(|(undo, _)| undo.to_string()),
        undoes,
        phase: task.phase.clone(),
        manual: task.manual.clone().filter(|_| !undoing),
    })
}
