//! A definition as the machine reads it: tasks and lists, each with a number.

use std::collections::BTreeMap;

use schemas::Effect;
use serde_json::Value;

use crate::error::ErrorFilter;
use crate::filter::Strategy;
use crate::info::{Info, StepInfo};
use crate::job::{Enter, Exit};
use crate::template::{Expr, Template};
use crate::{EventFilters, InDoubt};

/// A task's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TaskId(pub(crate) usize);

/// A list's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListId(pub(crate) usize);

/// A workflow definition: immutable, checked, ready to run.
#[derive(Debug, Clone)]
pub struct Definition {
    pub(crate) info: Info,
    pub(crate) schedule: Option<EventFilters>,
    pub(crate) steps: Vec<StepInfo>,
    /// The file itself, then one for each call of a catalog's task.
    pub(crate) sources: Vec<Value>,
    /// The texts of the catalog's tasks that it calls, by `name:version`.
    pub(crate) functions: BTreeMap<String, String>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) lists: Vec<List>,
    pub(crate) root: ListId,
    pub(crate) enter: Enter,
    pub(crate) exit: Exit,
}

/// Tasks that follow each other, or the branches of a fork.
#[derive(Debug, Clone)]
pub(crate) struct List {
    pub(crate) tasks: Vec<TaskId>,
}

/// One task.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) name: String,
    /// Below its parent's position: `do/0/name`, escaped and percent-encoded.
    pub(crate) segment: String,
    /// From the root, as the language writes it: `/do/0/name`.
    pub(crate) pointer: String,
    /// Where it is written: which of the sources, and the pointer there.
    pub(crate) written: (usize, String),
    pub(crate) list: ListId,
    pub(crate) index: usize,
    pub(crate) enter: Enter,
    pub(crate) exit: Exit,
    pub(crate) then: Then,
    pub(crate) kind: Kind,
    pub(crate) phase: Option<String>,
    pub(crate) manual: Option<String>,
}

/// Where a run goes after a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// To the next in the list.
    Continue,
    /// Out of the list.
    Exit,
    /// To the end of the workflow.
    End,
    /// To this place in the list.
    Task(usize),
}

/// What a task is.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Call(CallDef),
    Function(FunctionDef),
    Do(ListId),
    For(ForDef),
    Fork { branches: ListId, compete: bool },
    Set,
    Switch(Vec<Then>),
    Emit,
    Raise,
    Wait,
    Listen { strategy: Strategy, envelope: bool },
    Try(Box<TryDef>),
}

#[derive(Debug, Clone)]
pub(crate) struct CallDef {
    pub(crate) function: FunctionName,
    pub(crate) effect: Effect,
    pub(crate) in_doubt: InDoubt,
    pub(crate) undo: Option<(FunctionName, Effect)>,
}

/// A call of a task: `use.functions`, or one of the catalog.
#[derive(Debug, Clone)]
pub(crate) struct FunctionDef {
    /// `service.action:version`, or the name in the file.
    pub(crate) name: String,
    /// The worst of its parts.
    pub(crate) effect: Effect,
    /// One task.
    pub(crate) body: ListId,
}

/// `service.action:version@default`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FunctionName {
    pub(crate) service: String,
    pub(crate) action: String,
    pub(crate) version: String,
}

#[derive(Debug, Clone)]
pub(crate) struct ForDef {
    pub(crate) each: String,
    pub(crate) at: String,
    pub(crate) condition: Option<Expr>,
    pub(crate) body: ListId,
    pub(crate) at_once: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct TryDef {
    pub(crate) block: ListId,
    pub(crate) filter: Option<ErrorFilter>,
    pub(crate) variable: String,
    pub(crate) when: Option<Expr>,
    pub(crate) except_when: Option<Expr>,
    pub(crate) retry: Option<RetryDef>,
    pub(crate) handler: Option<ListId>,
    pub(crate) then: Option<Then>,
}

#[derive(Debug, Clone)]
pub(crate) struct RetryDef {
    pub(crate) when: Option<Expr>,
    pub(crate) except_when: Option<Expr>,
    pub(crate) delay: Option<Template>,
    pub(crate) backoff: Backoff,
    /// Retries, the first try not counted.
    pub(crate) count: u32,
    /// All tries together, from the entry of the `try`.
    pub(crate) within_ms: Option<u64>,
    pub(crate) jitter: Option<(Template, Template)>,
}

/// How delays grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Backoff {
    /// The delay.
    Constant,
    /// The delay times the number of the retry.
    Linear,
    /// The delay times two to the number of the retry, less one.
    Exponential,
}

impl Backoff {
    /// What the delay of the n-th retry (from 1) is multiplied by.
    pub(crate) fn factor(self, n: u32) -> u64 {
        match self {
            Backoff::Constant => 1,
            Backoff::Linear => u64::from(n),
            Backoff::Exponential => 1_u64.checked_shl(n.saturating_sub(1)).unwrap_or(u64::MAX),
        }
    }
}

impl Kind {
    /// As the language calls it.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Kind::Call(_) => "call",
            Kind::Function(_) => "function",
            Kind::Do(_) => "do",
            Kind::For(_) => "for",
            Kind::Fork { .. } => "fork",
            Kind::Set => "set",
            Kind::Switch(_) => "switch",
            Kind::Emit => "emit",
            Kind::Raise => "raise",
            Kind::Wait => "wait",
            Kind::Listen { .. } => "listen",
            Kind::Try(_) => "try",
        }
    }
}

impl FunctionName {
    /// `service.action`.
    pub(crate) fn name(&self) -> String {
        format!("{}.{}", self.service, self.action)
    }
}

impl std::fmt::Display for FunctionName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}:{}", self.service, self.action, self.version)
    }
}

impl Definition {
    pub(crate) fn task(&self, id: TaskId) -> Option<&Task> {
        self.tasks.get(id.0)
    }

    pub(crate) fn list(&self, id: ListId) -> &[TaskId] {
        self.lists.get(id.0).map_or(&[], |list| &list.tasks)
    }
}
