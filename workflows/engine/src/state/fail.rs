//! How an error finds who catches it, and how pending calls are ended before a run goes on.

use std::sync::Arc;

use schemas::Position;

use super::work::Why;
use super::{After, Place, What, Work};
use crate::Error;
use crate::definition::model::{Kind, TryDef};

impl Work<'_> {
    /// A frame fails: its error is offered to the nearest `try` around that may catch it.
    pub(crate) fn fail(&mut self, at: &Position, error: Error) -> Result<(), Why> {
        let frame = self.edit(at)?;
        frame.deadline = None;
        let args = match &frame.place {
            Place::Calling { args, timeout_ms } => Some((Arc::clone(args), *timeout_ms)),
            _ => None,
        };
        let undo = matches!(frame.what, What::Undo(_));
        self.set_place(at, Place::Failed { error: error.clone(), offered: None, args })?;
        if undo { Ok(()) } else { self.offer(at, &error, at) }
    }

    /// The nearest `try` around `from` gets the error; where there is none, it stays undecided.
    fn offer(&mut self, failed: &Position, error: &Error, from: &Position) -> Result<(), Why> {
        let mut inner = from.clone();
        while let Some(around) = self.frame(&inner)?.parent.clone() {
            if self.catches(&around, error)? {
                if let Place::Failed { offered, .. } = &mut self.edit(failed)?.place {
                    *offered = Some(around.clone());
                }
                if matches!(self.frame(&around)?.place, Place::Running) {
                    let place = Place::Catching { error: error.clone(), failed: failed.clone() };
                    self.set_place(&around, place)?;
                }
                return Ok(());
            }
            inner = around;
        }
        // Somebody must decide: the want is new.
        let place = self.frame(failed)?.place.clone();
        match place {
            Place::Failed { error, args, .. } => {
                self.set_place(failed, Place::Failed { error, offered: None, args })
            }
            _ => Err("it has not failed".into()),
        }
    }

    /// Whether a frame is a `try` in its block whose filter lets the error through.
    fn catches(&self, at: &Position, error: &Error) -> Result<bool, Why> {
        let frame = self.frame(at)?;
        let (What::Task(id), false) = (frame.what, frame.handled) else {
            return Ok(false);
        };
        Ok(match &self.task(id)?.kind {
            Kind::Try(def) => def.filter.as_ref().is_none_or(|filter| filter.matches(error)),
            _ => false,
        })
    }

    /// A `try` does not catch: the error goes on, and the next one that waits here gets its turn.
    pub(crate) fn passed(&mut self, at: &Position, failed: &Position) -> Result<(), Why> {
        self.set_place(at, Place::Running)?;
        if let Some(frame) = self.get(failed)
            && let Place::Failed { error, .. } = &frame.place
        {
            let error = error.clone();
            self.offer(failed, &error, at)?;
        }
        self.next_offer(at)
    }

    /// The next error that waits for a `try` gets its turn there.
    fn next_offer(&mut self, at: &Position) -> Result<(), Why> {
        for next in self.below(at) {
            if let Place::Failed { error, offered: Some(to), .. } = &self.frame(&next)?.place
                && to == at
            {
                let place = Place::Catching { error: error.clone(), failed: next };
                return self.set_place(at, place);
            }
        }
        Ok(())
    }

    /// Ends everything below a frame: what is pending is cancelled and awaited; then `after`.
    pub(crate) fn unwind(&mut self, at: &Position, after: After) -> Result<(), Why> {
        let mut pending = 0;
        for below in self.below(at) {
            match self.frame(&below)?.place.clone() {
                Place::Calling { args, .. } => {
                    self.set_place(&below, Place::Cancelling { args, owner: at.clone() })?;
                    pending += 1;
                }
                Place::Cancelling { args, .. } => {
                    self.edit(&below)?.place = Place::Cancelling { args, owner: at.clone() };
                    pending += 1;
                }
                _ => self.remove(&below),
            }
        }
        self.edit(at)?.deadline = None;
        self.withdraw(at)?;
        if pending == 0 {
            return self.proceed(at, after);
        }
        self.set_place(at, Place::Unwinding { pending, after })
    }

    /// What a `try` further out was about to catch may have been ended with everything below a frame: a branch that
    /// failed and lost against one that ended well. Then its block goes on as if it had not failed.
    fn withdraw(&mut self, at: &Position) -> Result<(), Why> {
        let mut inner = at.clone();
        while let Some(around) = self.frame(&inner)?.parent.clone() {
            if let Place::Catching { failed, .. } = &self.frame(&around)?.place
                && self.get(failed).is_none()
            {
                self.set_place(&around, Place::Running)?;
                self.next_offer(&around)?;
            }
            inner = around;
        }
        Ok(())
    }

    /// All below a frame is ended.
    pub(crate) fn proceed(&mut self, at: &Position, after: After) -> Result<(), Why> {
        match after {
            After::Exit(output) => self.set_place(at, Place::Exiting { output }),
            After::Fail(error) => self.fail(at, error),
            After::Retry(Some(due)) => self.set_place(at, Place::Delaying { due }),
            After::Retry(None) => self.run_block(at),
            After::Handle(error) => {
                let input = Arc::clone(&self.frame(at)?.input);
                self.edit(at)?.handled = true;
                match self.try_def(at)?.handler {
                    Some(handler) => {
                        self.set_place(at, Place::Handling { error })?;
                        self.enter_list(at, handler, input)
                    }
                    None => self.set_place(at, Place::Exiting { output: input }),
                }
            }
            After::Finish(outcome) => {
                self.remove(at);
                self.head.outcome = Some(outcome);
                Ok(())
            }
            After::BackOut => {
                self.set_place(at, Place::Undoing)?;
                self.undo_next(at)
            }
        }
    }

    fn try_def(&self, at: &Position) -> Result<&TryDef, Why> {
        match self.frame(at)?.what {
            What::Task(id) => match &self.task(id)?.kind {
                Kind::Try(def) => Ok(def),
                _ => Err("it is no try".into()),
            },
            _ => Err("it is no try".into()),
        }
    }

    /// A `try` runs its block, a new visit of each task.
    pub(crate) fn run_block(&mut self, at: &Position) -> Result<(), Why> {
        let block = self.try_def(at)?.block;
        let input = Arc::clone(&self.frame(at)?.input);
        self.set_place(at, Place::Running)?;
        self.enter_list(at, block, input)
    }
}
