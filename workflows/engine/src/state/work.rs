//! Changes over a state that are not yet in it: applying is all or nothing, deciding is for nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemas::Position;

use super::{Done, Frame, Head, Place, State};
use crate::BadEntry;
use crate::definition::Definition;
use crate::definition::model::{Task, TaskId};

/// A state, and what is different.
pub(crate) struct Work<'a> {
    pub(crate) definition: &'a Definition,
    base: &'a State,
    pub(crate) head: Head,
    frames: BTreeMap<Position, Option<Frame>>,
    done: BTreeMap<u64, Option<Done>>,
    /// Positions whose frames were touched, in order, since they were last taken.
    touched: Vec<Position>,
}

/// The differences, to be merged.
pub(crate) struct Delta {
    pub(crate) head: Head,
    pub(crate) frames: BTreeMap<Position, Option<Frame>>,
    pub(crate) done: BTreeMap<u64, Option<Done>>,
}

/// Why an entry cannot be applied.
pub(crate) type Why = String;

impl<'a> Work<'a> {
    pub(crate) fn new(definition: &'a Definition, base: &'a State) -> Self {
        Self {
            definition,
            base,
            head: base.head.clone(),
            frames: BTreeMap::new(),
            done: BTreeMap::new(),
            touched: Vec::new(),
        }
    }

    pub(crate) fn into_delta(self) -> Delta {
        Delta { head: self.head, frames: self.frames, done: self.done }
    }

    pub(crate) fn take_touched(&mut self) -> Vec<Position> {
        std::mem::take(&mut self.touched)
    }

    pub(crate) fn get(&self, at: &Position) -> Option<&Frame> {
        match self.frames.get(at) {
            Some(changed) => changed.as_ref(),
            None => self.base.frames.get(at),
        }
    }

    pub(crate) fn frame(&self, at: &Position) -> Result<&Frame, Why> {
        self.get(at).ok_or_else(|| format!("nothing is at {at}"))
    }

    /// The frame, to be changed.
    pub(crate) fn edit(&mut self, at: &Position) -> Result<&mut Frame, Why> {
        let missing = || format!("nothing is at {at}");
        if !self.frames.contains_key(at) {
            let frame = self.base.frames.get(at).ok_or_else(missing)?.clone();
            self.frames.insert(at.clone(), Some(frame));
        }
        self.touched.push(at.clone());
        self.frames.get_mut(at).and_then(Option::as_mut).ok_or_else(missing)
    }

    /// The `$context` that a frame sees.
    pub(crate) fn context(&self, frame: &Frame) -> Arc<serde_json::Value> {
        let own = frame.scope.as_ref().and_then(|at| self.get(at)?.context.clone());
        own.unwrap_or_else(|| Arc::clone(&self.head.context))
    }

    pub(crate) fn set_place(&mut self, at: &Position, place: Place) -> Result<(), Why> {
        self.head.stamp += 1;
        let stamp = self.head.stamp;
        let frame = self.edit(at)?;
        frame.place = place;
        frame.stamp = stamp;
        Ok(())
    }

    pub(crate) fn insert(&mut self, at: Position, mut frame: Frame) -> Result<(), Why> {
        if self.get(&at).is_some() {
            return Err(format!("something is at {at} already"));
        }
        self.head.stamp += 1;
        frame.stamp = self.head.stamp;
        self.touched.push(at.clone());
        self.frames.insert(at, Some(frame));
        Ok(())
    }

    pub(crate) fn remove(&mut self, at: &Position) {
        self.touched.push(at.clone());
        self.frames.insert(at.clone(), None);
    }

    /// Everything below a position, itself not included.
    pub(crate) fn below(&self, at: &Position) -> Vec<Position> {
        let prefix = at.as_str();
        let is_root = prefix == super::ROOT;
        let inside = |p: &Position| {
            let rest = p.as_str().strip_prefix(prefix);
            rest.is_some_and(|rest| !rest.is_empty() && (is_root || rest.starts_with(['/', '['])))
        };
        let near = |p: &&Position| p.as_str().starts_with(prefix);
        let base = self.base.frames.range(at..).map(|(p, _)| p).take_while(near);
        let changed = self.frames.range(at..).map(|(p, _)| p).take_while(near);
        let mut all: Vec<Position> = base.chain(changed).filter(|p| inside(p)).cloned().collect();
        all.sort();
        all.dedup();
        all.retain(|p| self.get(p).is_some());
        all
    }

    pub(crate) fn task(&self, id: TaskId) -> Result<&'a Task, Why> {
        let definition: &'a Definition = self.definition;
        definition.task(id).ok_or_else(|| "the definition is another one".to_owned())
    }

    /// Records a call that can be undone.
    pub(crate) fn record(&mut self, at: &Position, task: TaskId, args: &Arc<serde_json::Value>) {
        let number = self.head.next_done;
        self.head.next_done += 1;
        self.done.insert(number, Some(Done { at: at.clone(), task, args: Arc::clone(args) }));
    }

    pub(crate) fn forget(&mut self, number: u64) {
        self.done.insert(number, None);
    }

    pub(crate) fn done(&self, number: u64) -> Option<&Done> {
        match self.done.get(&number) {
            Some(changed) => changed.as_ref(),
            None => self.base.done.get(&number),
        }
    }

    /// The number of the newest record.
    pub(crate) fn newest(&self) -> Option<u64> {
        let changed = self.done.iter().rev().find(|(_, d)| d.is_some()).map(|(n, _)| *n);
        let base = self.base.done.keys().rev().copied().find(|n| !matches!(self.done.get(n), Some(None)));
        changed.max(base)
    }
}

impl State {
    pub(crate) fn merge(&mut self, delta: Delta) -> Vec<Position> {
        self.head = delta.head;
        let touched = delta.frames.keys().cloned().collect();
        for (at, frame) in delta.frames {
            match frame {
                Some(frame) => drop(self.frames.insert(at, frame)),
                None => drop(self.frames.remove(&at)),
            }
        }
        for (number, done) in delta.done {
            match done {
                Some(done) => drop(self.done.insert(number, done)),
                None => drop(self.done.remove(&number)),
            }
        }
        touched
    }
}

impl BadEntry {
    pub(crate) fn new(entry: &crate::Entry, why: Why) -> Self {
        Self { entry: entry.label(), why }
    }
}
