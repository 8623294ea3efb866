//! How a run goes from task to task.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use schemas::Position;
use serde_json::{Value, json};

use super::apply::root;
use super::work::Why;
use super::{After, Frame, Place, ROOT, Visits, What, Work};
use crate::definition::model::{Kind, ListId, TaskId, Then};
use crate::template::Vars;

impl Frame {
    pub(crate) fn new(
        what: What,
        parent: Option<Position>,
        raw: Arc<Value>,
        locals: Arc<Vars>,
        started: DateTime<Utc>,
    ) -> Frame {
        Frame {
            what,
            parent,
            input: Arc::clone(&raw),
            raw,
            started,
            deadline: None,
            locals,
            scope: None,
            context: None,
            visits: Visits::default(),
            tries: 0,
            handled: false,
            place: Place::Arriving,
            stamp: 0,
        }
    }
}

impl Place {
    /// Whether it stands for what other frames do, and its bound may pass.
    pub(crate) fn is_composite(&self) -> bool {
        matches!(
            self,
            Place::Running
                | Place::Looping { .. }
                | Place::Forking { .. }
                | Place::Catching { .. }
                | Place::Delaying { .. }
                | Place::Handling { .. }
        )
    }
}

pub(crate) fn position(text: String) -> Result<Position, Why> {
    Position::new(text).map_err(|e| e.to_string())
}

impl Work<'_> {
    /// Enters the first task of a list.
    pub(crate) fn enter_list(&mut self, parent: &Position, list: ListId, raw: Arc<Value>) -> Result<(), Why> {
        match self.definition.list(list).first() {
            Some(first) => self.enter(parent, *first, raw),
            None => self.list_done(parent, raw),
        }
    }

    /// Enters a task: a new visit.
    pub(crate) fn enter(&mut self, parent: &Position, id: TaskId, raw: Arc<Value>) -> Result<(), Why> {
        let around = self.frame(parent)?;
        // A function does not see the variables of whoever calls it.
        let mut locals = match self.is_function(around) {
            true => Arc::default(),
            false => Arc::clone(&around.locals),
        };
        if let (What::Task(owner), Place::Handling { error }) = (around.what, &around.place)
            && let Kind::Try(def) = &self.task(owner)?.kind
        {
            let error = serde_json::to_value(error).map_err(|e| e.to_string())?;
            Arc::make_mut(&mut locals).insert(def.variable.clone(), error);
        }
        self.enter_as(parent, id, raw, locals).map(drop)
    }

    pub(crate) fn enter_as(
        &mut self,
        parent: &Position,
        id: TaskId,
        raw: Arc<Value>,
        locals: Arc<Vars>,
    ) -> Result<Position, Why> {
        let visit = self.edit(parent)?.visits.enter(id);
        let segment = &self.task(id)?.segment;
        let above = if parent.as_str() == ROOT { "" } else { parent.as_str() };
        let at = match visit {
            0 => position(format!("{above}/{segment}"))?,
            n => position(format!("{above}/{segment}#{n}"))?,
        };
        let mut frame = Frame::new(What::Task(id), Some(parent.clone()), raw, locals, self.head.clock);
        let around = self.frame(parent)?;
        frame.scope = match self.is_function(around) {
            true => Some(parent.clone()),
            false => around.scope.clone(),
        };
        self.insert(at.clone(), frame)?;
        Ok(at)
    }

    fn is_function(&self, frame: &Frame) -> bool {
        let What::Task(id) = frame.what else { return false };
        self.definition.task(id).is_some_and(|task| matches!(task.kind, Kind::Function(_)))
    }

    /// A task is over.
    pub(crate) fn leave(&mut self, at: &Position, output: Arc<Value>, then: Then) -> Result<(), Why> {
        let frame = self.frame(at)?;
        let What::Task(id) = frame.what else {
            return Err("only a task is left".into());
        };
        let parent = frame.parent.clone().ok_or("a task has a parent")?;
        if then == Then::End {
            self.remove(at);
            return self.unwind(&root()?, After::Exit(output));
        }
        let task = self.task(id)?;
        let around = self.frame(&parent)?;
        if let (What::Task(fork), Place::Forking { running }) = (around.what, &around.place) {
            let running = *running;
            return self.branch_done(&parent, fork, running, at, output);
        }
        self.remove(at);
        let list = self.definition.list(task.list);
        let next = match then {
            Then::Continue => list.get(task.index + 1),
            Then::Task(index) => list.get(index),
            Then::Exit | Then::End => None,
        };
        match next {
            Some(next) => self.enter(&parent, *next, output),
            None => self.list_done(&parent, output),
        }
    }

    fn branch_done(
        &mut self,
        fork_at: &Position,
        fork: TaskId,
        running: usize,
        at: &Position,
        output: Arc<Value>,
    ) -> Result<(), Why> {
        let Kind::Fork { branches, compete } = &self.task(fork)?.kind else {
            return Err("it is no fork".into());
        };
        if *compete {
            self.remove(at);
            return self.unwind(fork_at, After::Exit(output));
        }
        self.set_place(at, Place::Ended { output })?;
        if let Some(running) = running.checked_sub(1).filter(|n| *n > 0) {
            self.edit(fork_at)?.place = Place::Forking { running };
            return Ok(());
        }
        // A branch that was tried again is at another visit: they are told apart by their task.
        let mut outputs = BTreeMap::new();
        for at in self.below(fork_at) {
            let frame = self.frame(&at)?;
            if let (What::Task(id), Place::Ended { output }) = (frame.what, &frame.place) {
                outputs.insert(id, Value::clone(output));
            }
            self.remove(&at);
        }
        let all: Vec<Value> =
            self.definition.list(*branches).iter().filter_map(|id| outputs.remove(id)).collect();
        self.set_place(fork_at, Place::Exiting { output: Arc::new(Value::Array(all)) })
    }

    /// The list that a frame runs is over.
    pub(crate) fn list_done(&mut self, at: &Position, output: Arc<Value>) -> Result<(), Why> {
        let frame = self.expect(at, |p| matches!(p, Place::Running | Place::Handling { .. }))?;
        let What::Iteration(owner, index) = frame.what else {
            return self.set_place(at, Place::Exiting { output });
        };
        let around = frame.parent.clone().ok_or("an iteration has a parent")?;
        let Kind::For(def) = &self.task(owner)?.kind else {
            return Err("it is no loop".into());
        };
        let Place::Looping { items, running } = self.frame(&around)?.place.clone() else {
            return Err(format!("{around} does not loop"));
        };
        if !def.at_once {
            self.remove(at);
            if index + 1 < items.len() {
                return self.iterate(&around, owner, index + 1, &items, output);
            }
            return self.set_place(&around, Place::Exiting { output });
        }
        self.set_place(at, Place::Ended { output })?;
        if let Some(running) = running.checked_sub(1).filter(|n| *n > 0) {
            self.edit(&around)?.place = Place::Looping { items, running };
            return Ok(());
        }
        let mut outputs = Vec::with_capacity(items.len());
        for index in 0..items.len() {
            let at = position(format!("{around}[{index}]"))?;
            if let Place::Ended { output } = &self.frame(&at)?.place {
                outputs.push(Value::clone(output));
            }
            self.remove(&at);
        }
        self.set_place(&around, Place::Exiting { output: Arc::new(Value::Array(outputs)) })
    }

    /// A loop begins.
    pub(crate) fn enter_loop(
        &mut self,
        at: &Position,
        items: Vec<Value>,
        input: Arc<Value>,
    ) -> Result<(), Why> {
        let What::Task(id) = self.frame(at)?.what else {
            return Err("it is no loop".into());
        };
        let Kind::For(def) = &self.task(id)?.kind else {
            return Err("it is no loop".into());
        };
        if items.is_empty() {
            let output = if def.at_once { Arc::new(json!([])) } else { input };
            return self.set_place(at, Place::Exiting { output });
        }
        let items = Arc::new(items);
        let together = if def.at_once { items.len() } else { 1 };
        self.set_place(at, Place::Looping { items: Arc::clone(&items), running: together })?;
        (0..together).try_for_each(|index| self.iterate(at, id, index, &items, Arc::clone(&input)))
    }

    fn iterate(
        &mut self,
        around: &Position,
        id: TaskId,
        index: usize,
        items: &[Value],
        raw: Arc<Value>,
    ) -> Result<(), Why> {
        let Kind::For(def) = &self.task(id)?.kind else {
            return Err("it is no loop".into());
        };
        let mut locals = Arc::clone(&self.frame(around)?.locals);
        let own = Arc::make_mut(&mut locals);
        own.insert(def.each.clone(), items.get(index).cloned().unwrap_or_default());
        own.insert(def.at.clone(), Value::from(index));
        let at = position(format!("{around}[{index}]"))?;
        let scope = self.frame(around)?.scope.clone();
        let mut frame = Frame::new(
            What::Iteration(id, index),
            Some(around.clone()),
            Arc::clone(&raw),
            locals,
            self.head.clock,
        );
        frame.scope = scope;
        self.insert(at.clone(), frame)?;
        if def.condition.is_some() {
            return Ok(());
        }
        self.set_place(&at, Place::Running)?;
        self.enter_list(&at, def.body, raw)
    }

    /// A loop's `while` was evaluated.
    pub(crate) fn looped(&mut self, at: &Position, go: bool) -> Result<(), Why> {
        let frame = self.expect(at, |p| matches!(p, Place::Arriving))?;
        let (What::Iteration(id, _), Some(around)) = (frame.what, frame.parent.clone()) else {
            return Err("it is no iteration".into());
        };
        let raw = Arc::clone(&frame.raw);
        if !go {
            self.remove(at);
            return self.set_place(&around, Place::Exiting { output: raw });
        }
        let Kind::For(def) = &self.task(id)?.kind else {
            return Err("it is no loop".into());
        };
        self.set_place(at, Place::Running)?;
        self.enter_list(at, def.body, raw)
    }
}
