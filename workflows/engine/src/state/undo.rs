//! Backing out: what was done is undone, newest first, one at a time.

use std::sync::Arc;

use schemas::Position;
use serde_json::Value;

use super::apply::root;
use super::flow::position;
use super::work::Why;
use super::{Frame, Place, What, Work};
use crate::definition::model::{Kind, TaskId};
use crate::machine::Outcome;

impl Work<'_> {
    /// Records a call that ended well, or may have, if it can be undone.
    pub(crate) fn record_call(&mut self, at: &Position, id: TaskId, args: &Arc<Value>) -> Result<(), Why> {
        if let Kind::Call(def) = &self.task(id)?.kind
            && def.undo.is_some()
        {
            self.record(at, id, args);
        }
        Ok(())
    }

    /// Undoes the newest record, or ends the run where there is none.
    pub(crate) fn undo_next(&mut self, root_at: &Position) -> Result<(), Why> {
        match self.newest() {
            Some(number) => self.undo(root_at, number, 0),
            None => {
                self.remove(root_at);
                self.head.outcome = Some(Outcome::BackedOut);
                Ok(())
            }
        }
    }

    fn undo(&mut self, root_at: &Position, number: u64, visit: u32) -> Result<(), Why> {
        let done = self.done(number).ok_or("there is no such record")?.clone();
        let at = match visit {
            0 => position(format!("{}!undo", done.at))?,
            n => position(format!("{}!undo#{n}", done.at))?,
        };
        let null = Arc::new(Value::Null);
        let mut frame =
            Frame::new(What::Undo(number), Some(root_at.clone()), null, Arc::default(), self.head.clock);
        frame.place = Place::Calling { args: Arc::clone(&done.args), timeout_ms: None };
        frame.tries = visit;
        self.insert(at, frame)
    }

    /// The same undo again, as a new visit.
    pub(crate) fn undo_again(&mut self, at: &Position, number: u64) -> Result<(), Why> {
        let visit = self.frame(at)?.tries.saturating_add(1);
        self.remove(at);
        self.undo(&root()?, number, visit)
    }

    /// An undo is over: it ended well, or somebody says that it counts as done.
    pub(crate) fn undone(&mut self, at: &Position) -> Result<(), Why> {
        let What::Undo(number) = self.frame(at)?.what else {
            return Err("it is no undo".into());
        };
        self.remove(at);
        self.forget(number);
        self.undo_next(&root()?)
    }
}
