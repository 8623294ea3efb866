//! Lists of tasks, and what all tasks have in common.

use document::Located;

use super::codes;
use super::model::{Kind, List, ListId, Task, TaskId, Then};
use super::reader::{At, Reader, Scope, join};
use crate::info::StepInfo;
use crate::job::{Enter, Exit, Plan};
use crate::template::Template;

/// What every task may have.
const COMMON: &[&str] = &["if", "input", "output", "export", "timeout", "then", "metadata"];

/// Bytes of a position (design section 9), less those of an undo; and what iteration and visit may add to
/// each frame.
const POSITION_MAX: usize = 496;
const FRAME_EXTRA: usize = 18;

/// Tasks that a definition may have, those of functions counted at each call.
pub(super) const TASKS_MAX: usize = 2_000;

/// Where the one task of a function stands.
pub(super) const BODY: &str = "call";

/// What stands around a task.
pub(crate) struct Around<'n> {
    /// The names of its list.
    pub(crate) names: &'n [String],
    pub(crate) list: ListId,
    pub(crate) index: usize,
    /// `do`, `try`, `catch/do`, `fork/branches`: below the task around; [`BODY`] for a function's one task.
    pub(crate) segment: &'n str,
    /// The position of the task around is as long as this.
    pub(crate) length: usize,
    pub(crate) phase: Option<&'n str>,
}

/// `metadata.dr` of a task.
#[derive(Default)]
pub(crate) struct Ours {
    pub(crate) in_doubt: Option<String>,
    pub(crate) undo: Option<String>,
    pub(crate) phase: Option<String>,
    pub(crate) manual: Option<String>,
    pub(crate) only: Option<String>,
    pub(crate) at_once: bool,
}

impl Reader<'_> {
    /// A list of tasks at the top or in a task.
    pub(crate) fn list(
        &mut self,
        at: At<'_>,
        segment: &str,
        around: Option<(usize, Option<&str>)>,
    ) -> ListId {
        let (length, phase) = around.unwrap_or((0, None));
        let id = ListId(self.lists.len());
        self.lists.push(List { tasks: Vec::new() });
        let items = at.value.items();
        if items.is_empty() {
            self.problem(at.pointer, codes::SHAPE, "a list of tasks is wanted here, with at least one");
        }
        let names: Vec<String> = items
            .iter()
            .map(|i| i.entries().first().map_or(String::new(), |(k, _)| k.name.clone()))
            .collect();
        for (index, item) in items.iter().enumerate() {
            let pointer = format!("{}/{index}", at.pointer);
            let [(key, value)] = item.entries() else {
                self.problem(&pointer, codes::SHAPE, "a task is a mapping with one key, its name");
                continue;
            };
            let pointer = join(&pointer, &key.name);
            if names[..index].contains(&key.name) {
                let message = format!("the list has two tasks with the name `{}`", key.name);
                self.key_problem(&pointer, codes::NAME, message);
            }
            if matches!(key.name.as_str(), "" | "continue" | "exit" | "end") {
                self.key_problem(&pointer, codes::NAME, format!("`{}` cannot be a task's name", key.name));
            }
            if self.tasks.len() >= TASKS_MAX {
                self.problem(&pointer, codes::SIZE, format!("a definition has at most {TASKS_MAX} tasks"));
                break;
            }
            let around = Around { names: &names, list: id, index, segment, length, phase };
            let task = self.task(At { value, pointer: &pointer }, &key.name, &around);
            if let Some(list) = self.lists.get_mut(id.0) {
                list.tasks.push(task);
            }
        }
        id
    }

    pub(super) fn task(&mut self, at: At<'_>, name: &str, around: &Around<'_>) -> TaskId {
        let id = TaskId(self.tasks.len());
        self.tasks.push(None);
        let segment = match around.segment {
            BODY => BODY.to_owned(),
            segment => format!("{segment}/{}/{}", around.index, encode(name)),
        };
        let length = around.length + 1 + segment.len() + FRAME_EXTRA;
        if length > POSITION_MAX {
            self.key_problem(at.pointer, codes::SIZE, "the position of this task would be too long");
        }
        let ours = self.ours(at, around.segment == BODY);
        let phase = ours.phase.clone().or_else(|| around.phase.map(str::to_owned));
        let step = self.steps.len();
        self.steps.push(StepInfo {
            pointer: self.whole(at.pointer),
            name: name.to_owned(),
            kind: String::new(),
            depth: self.depth,
            function: None,
            made_of: None,
            effect: None,
            undo: None,
            phase: phase.clone(),
            manual: ours.manual.clone(),
            only: ours.only.clone(),
            with: None,
            within: at.value.at("/timeout/after").and_then(Located::as_str).map(str::to_owned),
            each: None,
            at_once: false,
        });
        let (then, mut enter, exit) = self.common(at, around);
        self.depth += 1;
        let inside = (length, phase.as_deref());
        let (kind, own) = self.kind(at, &mut enter, &ours, inside, around);
        self.depth -= 1;
        if let Some(own) = own {
            let known: Vec<&str> = COMMON.iter().chain(own).copied().collect();
            self.keys(at, &known);
        }
        if let Some(step) = self.steps.get_mut(step) {
            step.kind = kind.as_str().to_owned();
            match &kind {
                Kind::Call(call) => {
                    step.function = Some(call.function.to_string());
                    step.effect = Some(call.effect);
                    step.undo = call.undo.as_ref().map(|(undo, _)| undo.to_string());
                    step.with = at.value.get("with").map(Located::to_value);
                }
                Kind::Function(def) => {
                    step.made_of = Some(def.name.clone());
                    step.effect = Some(def.effect);
                    step.with = at.value.get("with").map(Located::to_value);
                }
                Kind::For(def) => {
                    step.each = at.value.at("/for/in").and_then(Located::as_str).map(str::to_owned);
                    step.at_once = def.at_once;
                }
                _ => {}
            }
        }
        let immediate = matches!(kind, Kind::Set | Kind::Switch(_) | Kind::Emit);
        enter.exit = immediate.then(|| exit.clone());
        let pointer = self.whole(at.pointer);
        if let Some(place) = self.tasks.get_mut(id.0) {
            *place = Some(Task {
                name: name.to_owned(),
                segment,
                pointer,
                written: (self.source, at.pointer.to_owned()),
                list: around.list,
                index: around.index,
                enter,
                exit,
                then,
                kind,
                phase,
                manual: ours.manual,
            });
        }
        id
    }

    fn common(&mut self, at: At<'_>, around: &Around<'_>) -> (Then, Enter, Exit) {
        let then = match self.text(at, "then") {
            Some(then) => self.directive(&then, &join(at.pointer, "then"), around),
            None => Then::Continue,
        };
        let mut enter = Enter { when: self.condition(at, "if", Scope::TaskInput), ..Enter::default() };
        enter.body = Plan::Nothing;
        if let Some(value) = at.value.get("input") {
            let pointer = join(at.pointer, "input");
            let input = At { value, pointer: &pointer };
            self.keys(input, &["schema", "from"]);
            enter.schema = self.schema(input);
            enter.from = self.transform(input, "from", Scope::TaskInput);
        }
        enter.timeout = self.timeout(at, Scope::Task);
        let mut exit = Exit::default();
        if let Some(value) = at.value.get("output") {
            let pointer = join(at.pointer, "output");
            let output = At { value, pointer: &pointer };
            self.keys(output, &["schema", "as"]);
            exit.schema = self.schema(output);
            exit.output = self.transform(output, "as", Scope::Task);
        }
        if let Some(value) = at.value.get("export") {
            let pointer = join(at.pointer, "export");
            let export = At { value, pointer: &pointer };
            self.keys(export, &["schema", "as"]);
            exit.export_schema = self.schema(export);
            exit.export = self.transform(export, "as", Scope::Export);
        }
        (then, enter, exit)
    }

    /// Where a `then` leads.
    pub(crate) fn directive(&mut self, then: &str, pointer: &str, around: &Around<'_>) -> Then {
        let branch = around.segment == "fork/branches";
        match then {
            "continue" => Then::Continue,
            "exit" => Then::Exit,
            "end" if !self.inside.is_empty() => {
                let message =
                    "a function does not end the workflow that calls it: leave the list with `exit`";
                self.problem(pointer, codes::THEN, message);
                Then::Continue
            }
            "end" => Then::End,
            name => match around.names.iter().position(|n| n == name) {
                Some(index) if !branch => Then::Task(index),
                Some(_) => {
                    self.problem(pointer, codes::THEN, "the branches of a fork do not lead to each other");
                    Then::Continue
                }
                None => {
                    let message = format!("`{name}` is no task of this list, nor continue, exit or end");
                    self.problem(pointer, codes::THEN, message);
                    Then::Continue
                }
            },
        }
    }

    /// `body`: the one task of a function, which says what the function does to a site.
    fn ours(&mut self, at: At<'_>, body: bool) -> Ours {
        let pointer = join(at.pointer, "metadata");
        let Some(value) = at.value.get("metadata").and_then(|m| m.get("dr")) else {
            return Ours::default();
        };
        let pointer = join(&pointer, "dr");
        let dr = At { value, pointer: &pointer };
        let mut known = vec!["inDoubt", "undo", "phase", "manual", "only", "atOnce"];
        known.extend(body.then_some("effect"));
        self.keys(dr, &known);
        let ours = Ours {
            in_doubt: self.text(dr, "inDoubt"),
            undo: self.text(dr, "undo"),
            phase: self.text(dr, "phase"),
            manual: self.text(dr, "manual"),
            only: self.text(dr, "only"),
            at_once: self.flag(dr, "atOnce"),
        };
        for (key, present, place) in [
            ("inDoubt", ours.in_doubt.is_some(), "call"),
            ("undo", ours.undo.is_some(), "call"),
            ("atOnce", value.get("atOnce").is_some(), "for"),
        ] {
            if present && at.value.get(place).is_none() {
                let message = format!("`{key}` has a meaning only for a task that is a `{place}`");
                self.key_problem(&join(&pointer, key), codes::KEY, message);
            }
        }
        ours
    }

    /// The arguments, items, … of a task; nothing evaluated where the key is missing.
    pub(crate) fn body(&mut self, at: At<'_>, key: &str) -> Template {
        let pointer = join(at.pointer, key);
        match at.value.get(key) {
            Some(value) => self.template(At { value, pointer: &pointer }, Scope::Task),
            None => Template::Value(serde_json::json!({})),
        }
    }
}

/// A name as a segment of a position: RFC 6901's escapes, and percent signs for what a position
/// uses itself and for all that is not visible ASCII.
fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'~' => out.push_str("~0"),
            b'/' => out.push_str("~1"),
            b'%' | b'[' | b']' | b'#' | b'!' | b'"' => out.push_str(&format!("%{byte:02X}")),
            0x21..=0x7e => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
