//! The kinds of task, one function each.

use document::{Located, Node};
use serde_json::Value;

use super::codes;
use super::handed;
use super::model::{CallDef, ForDef, FunctionName, Kind, Then};
use super::reader::{At, Reader, Scope, join};
use super::tasks::{Around, Ours};
use crate::job::{Enter, Plan};
use crate::template::Template;
use crate::{Function, InDoubt};

/// The keys that make a task what it is.
const KINDS: &[&str] =
    &["call", "do", "emit", "for", "fork", "listen", "raise", "run", "set", "switch", "try", "wait"];

/// Names that a loop or error variable cannot have.
const RESERVED: &[&str] =
    &["context", "input", "output", "secrets", "authorization", "task", "workflow", "runtime"];

impl Reader<'_> {
    /// What a task is, and which keys it may have beside those of all tasks (none: all were refused).
    pub(crate) fn kind(
        &mut self,
        at: At<'_>,
        enter: &mut Enter,
        ours: &Ours,
        inside: (usize, Option<&str>),
        around: &Around<'_>,
    ) -> (Kind, Option<&'static [&'static str]>) {
        let found: Vec<&str> = KINDS.iter().copied().filter(|k| at.value.get(k).is_some()).collect();
        let kind = match found.as_slice() {
            ["do", "for"] => "for",
            [one] => one,
            [] => {
                let message = format!("a task has one of these keys: {}", KINDS.join(", "));
                self.problem(at.pointer, codes::KEY, message);
                return (Kind::Set, None);
            }
            many => {
                self.problem(
                    at.pointer,
                    codes::KEY,
                    format!("a task is only one thing, not {}", many.join(" and ")),
                );
                return (Kind::Set, None);
            }
        };
        match kind {
            "call" => (self.call(at, enter, ours, inside), Some(&["call", "with"])),
            "do" => (Kind::Do(self.inner(at, "do", "do", inside)), Some(&["do"])),
            "for" => (self.loops(at, enter, ours, inside), Some(&["for", "while", "do"])),
            "fork" => (self.fork(at, inside), Some(&["fork"])),
            "emit" => (self.emit(at, enter), Some(&["emit"])),
            "listen" => (self.listen(at, enter), Some(&["listen", "foreach"])),
            "raise" => (self.raise(at, enter), Some(&["raise"])),
            "set" => (self.set(at, enter), Some(&["set"])),
            "switch" => (self.switch(at, enter, around), Some(&["switch"])),
            "try" => (self.try_task(at, inside, around), Some(&["try", "catch"])),
            "wait" => (self.wait(at, enter), Some(&["wait"])),
            other => {
                self.unsupported(&join(at.pointer, other), &format!("`{other}`"));
                (Kind::Set, None)
            }
        }
    }

    /// The list of a key.
    pub(crate) fn inner(
        &mut self,
        at: At<'_>,
        key: &str,
        segment: &str,
        inside: (usize, Option<&str>),
    ) -> super::model::ListId {
        let nothing = Located { line: 1, column: 1, span: 0..0, node: Node::Null };
        let pointer = join(at.pointer, key);
        let value = at.value.get(key).unwrap_or(&nothing);
        self.list(At { value, pointer: &pointer }, segment, Some(inside))
    }

    fn set(&mut self, at: At<'_>, enter: &mut Enter) -> Kind {
        let pointer = join(at.pointer, "set");
        enter.body = Plan::Value(match at.value.get("set").map(|v| &v.node) {
            Some(Node::String(text)) => {
                Template::Expr(self.jq(expressions::bare_or_strict(text), &pointer, Scope::Task))
            }
            Some(Node::Map(_)) => self.body(at, "set"),
            _ => {
                self.problem(&pointer, codes::SHAPE, "`set` is a mapping or an expression");
                Template::Value(Value::Null)
            }
        });
        Kind::Set
    }

    fn switch(&mut self, at: At<'_>, enter: &mut Enter, around: &Around<'_>) -> Kind {
        let pointer = join(at.pointer, "switch");
        let (mut conditions, mut thens) = (Vec::new(), Vec::new());
        let items = at.value.get("switch").map_or(&[][..], Located::items);
        if items.is_empty() {
            self.problem(&pointer, codes::SHAPE, "`switch` is a list of cases, with at least one");
        }
        for (i, item) in items.iter().enumerate() {
            let pointer = format!("{pointer}/{i}");
            let [(key, value)] = item.entries() else {
                self.problem(&pointer, codes::SHAPE, "a case is a mapping with one key, its name");
                continue;
            };
            let pointer = join(&pointer, &key.name);
            let case = At { value, pointer: &pointer };
            self.keys(case, &["when", "then"]);
            conditions.push(self.condition(case, "when", Scope::Task));
            let then = self.required(case, "then");
            thens.push(match then.as_str() {
                "" => Then::Continue,
                then => self.directive(then, &join(&pointer, "then"), around),
            });
        }
        if conditions.iter().filter(|c| c.is_none()).count() > 1 {
            self.problem(&pointer, codes::SHAPE, "a switch has at most one case without `when`");
        }
        enter.body = Plan::Cases(conditions);
        Kind::Switch(thens)
    }

    fn wait(&mut self, at: At<'_>, enter: &mut Enter) -> Kind {
        let pointer = join(at.pointer, "wait");
        if let Some(value) = at.value.get("wait") {
            enter.body = Plan::Value(self.duration(At { value, pointer: &pointer }, Scope::Task));
        }
        Kind::Wait
    }

    fn emit(&mut self, at: At<'_>, enter: &mut Enter) -> Kind {
        let pointer = join(at.pointer, "emit");
        let nothing = Located { line: 1, column: 1, span: 0..0, node: Node::Map(Vec::new()) };
        let emit = At { value: at.value.get("emit").unwrap_or(&nothing), pointer: &pointer };
        self.keys(emit, &["event"]);
        let pointer = join(&pointer, "event");
        let event = At { value: emit.value.get("event").unwrap_or(&nothing), pointer: &pointer };
        self.keys(event, &["with"]);
        if event.value.at("/with/type").is_none() {
            self.problem(&pointer, codes::KEY, "the event's `with.type` is missing");
        }
        let template = self.body(event, "with");
        enter.body = Plan::Event(template, Value::Null);
        Kind::Emit
    }

    fn listen(&mut self, at: At<'_>, enter: &mut Enter) -> Kind {
        let pointer = join(at.pointer, "listen");
        if at.value.get("foreach").is_some() {
            self.unsupported(&join(at.pointer, "foreach"), "`foreach`");
        }
        let nothing = Located { line: 1, column: 1, span: 0..0, node: Node::Map(Vec::new()) };
        let listen = At { value: at.value.get("listen").unwrap_or(&nothing), pointer: &pointer };
        self.keys(listen, &["to", "read"]);
        let envelope = match self.text(listen, "read").as_deref() {
            None | Some("data") => false,
            Some("envelope") => true,
            Some(other) => {
                self.unsupported(&join(&pointer, "read"), &format!("to read an event as `{other}`"));
                false
            }
        };
        let pointer = join(&pointer, "to");
        let Some(value) = listen.value.get("to") else {
            self.problem(listen.pointer, codes::KEY, "`to` is missing");
            return Kind::Wait;
        };
        match self.strategy(At { value, pointer: &pointer }, Scope::Task) {
            Some((strategy, template)) => {
                enter.body = Plan::Value(template);
                Kind::Listen { strategy, envelope }
            }
            None => Kind::Wait,
        }
    }

    fn raise(&mut self, at: At<'_>, enter: &mut Enter) -> Kind {
        let document = self.document;
        let pointer = join(at.pointer, "raise");
        let nothing = Located { line: 1, column: 1, span: 0..0, node: Node::Map(Vec::new()) };
        let raise = At { value: at.value.get("raise").unwrap_or(&nothing), pointer: &pointer };
        self.keys(raise, &["error"]);
        let pointer = join(&pointer, "error");
        let Some(value) = raise.value.get("error") else {
            self.problem(raise.pointer, codes::KEY, "`error` is missing");
            return Kind::Raise;
        };
        let (value, pointer) = match value.as_str() {
            None => (value, pointer),
            Some(name) => {
                let named = join("/use/errors", name);
                match document.root().at(&named) {
                    Some(value) => (value, named),
                    None => {
                        self.problem(&pointer, codes::NAME, format!("`use.errors` has no `{name}`"));
                        return Kind::Raise;
                    }
                }
            }
        };
        let error = At { value, pointer: &pointer };
        self.keys(error, &["type", "status", "instance", "title", "detail"]);
        self.required(error, "type");
        let status = value.get("status").map(Located::to_value);
        let good = status.as_ref().and_then(Value::as_u64).is_some_and(|s| (100..=599).contains(&s));
        let computed =
            status.as_ref().and_then(Value::as_str).is_some_and(|s| expressions::strict(s).is_some());
        if !good && !computed {
            self.problem(&pointer, codes::SHAPE, "the error's `status` is a number from 100 to 599");
        }
        enter.body = Plan::Value(self.template(error, Scope::Task));
        Kind::Raise
    }

    fn fork(&mut self, at: At<'_>, inside: (usize, Option<&str>)) -> Kind {
        let pointer = join(at.pointer, "fork");
        let nothing = Located { line: 1, column: 1, span: 0..0, node: Node::Map(Vec::new()) };
        let fork = At { value: at.value.get("fork").unwrap_or(&nothing), pointer: &pointer };
        self.keys(fork, &["branches", "compete"]);
        let compete = self.flag(fork, "compete");
        let branches = self.inner(fork, "branches", "fork/branches", inside);
        Kind::Fork { branches, compete }
    }

    fn loops(&mut self, at: At<'_>, enter: &mut Enter, ours: &Ours, inside: (usize, Option<&str>)) -> Kind {
        let pointer = join(at.pointer, "for");
        let nothing = Located { line: 1, column: 1, span: 0..0, node: Node::Map(Vec::new()) };
        let own = At { value: at.value.get("for").unwrap_or(&nothing), pointer: &pointer };
        self.keys(own, &["each", "in", "at"]);
        let each = self.variable(own, "each", "item");
        let index = self.variable(own, "at", "index");
        match self.transform(own, "in", Scope::Task) {
            Some(items) => enter.body = Plan::Value(items),
            None => self.problem(&pointer, codes::KEY, "`in` is missing"),
        }
        self.locals.extend([each.clone(), index.clone()]);
        let condition = self.condition(at, "while", Scope::Task);
        if ours.at_once && condition.is_some() {
            let message = "a loop whose iterations run together has no `while`";
            self.key_problem(&join(at.pointer, "while"), codes::SHAPE, message);
        }
        let body = self.inner(at, "do", "do", inside);
        self.locals.truncate(self.locals.len().saturating_sub(2));
        Kind::For(ForDef { each, at: index, condition, body, at_once: ours.at_once })
    }

    /// The name of a variable that a task makes.
    pub(crate) fn variable(&mut self, at: At<'_>, key: &str, default: &str) -> String {
        let name = self.text(at, key).unwrap_or_else(|| default.to_owned());
        let identifier = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !identifier || RESERVED.contains(&name.as_str()) {
            let message = format!("`{name}` cannot be the name of a variable");
            self.problem(&join(at.pointer, key), codes::NAME, message);
        }
        name
    }

    fn call(&mut self, at: At<'_>, enter: &mut Enter, ours: &Ours, inside: (usize, Option<&str>)) -> Kind {
        let pointer = join(at.pointer, "call");
        let text = self.required(at, "call");
        if let Some(with) = at.value.get("with")
            && !matches!(with.node, Node::Map(_))
        {
            self.problem(&join(at.pointer, "with"), codes::SHAPE, "`with` is a mapping");
        }
        enter.body = Plan::Value(self.body(at, "with"));
        let nobody = FunctionName { service: String::new(), action: String::new(), version: String::new() };
        if matches!(text.as_str(), "asyncapi" | "grpc" | "http" | "openapi" | "a2a" | "mcp") {
            self.problem(&pointer, codes::UNSUPPORTED, format!("`call: {text}` is not supported yet"));
        }
        if let Some(kind) = self.task_function(&text, at, ours, inside) {
            return kind;
        }
        let known = self.function(&text, &pointer);
        if let Some((function, _)) = &known
            && let Some(takes) = handed::of_action(&function.name())
        {
            self.handed(&function.name(), &takes, at);
        }
        let (function, effect) = known.unwrap_or((nobody, schemas::Effect::Observes));
        let dr = join(&join(at.pointer, "metadata"), "dr");
        let in_doubt = match ours.in_doubt.as_deref() {
            None | Some("ask") => InDoubt::Ask,
            Some("retry") => InDoubt::Retry,
            Some("pass") => {
                let place = join(&dr, "inDoubt");
                if effect == schemas::Effect::Opens {
                    self.problem(&place, codes::IN_DOUBT, "what opens a site is never passed over in doubt");
                } else if !self.tries.contains(&true) {
                    let message = "`pass` raises the error `in-doubt`, and nothing around catches it";
                    self.problem(&place, codes::IN_DOUBT, message);
                }
                InDoubt::Pass
            }
            Some(other) => {
                let message = format!("`{other}` is none of ask, retry, pass");
                self.problem(&join(&dr, "inDoubt"), codes::SHAPE, message);
                InDoubt::Ask
            }
        };
        let undo = ours.undo.as_ref().and_then(|undo| self.function(undo, &join(&dr, "undo")));
        let undo = undo.filter(|_| self.undoes);
        Kind::Call(CallDef { function, effect, in_doubt, undo })
    }

    /// A function of the catalog.
    fn function(&mut self, text: &str, pointer: &str) -> Option<(FunctionName, schemas::Effect)> {
        if matches!(text, "" | "asyncapi" | "grpc" | "http" | "openapi" | "a2a" | "mcp") {
            return None;
        }
        let Some((service, action, version, catalog)) = parts(text) else {
            let message = format!(
                "`{text}` is not of the form service.action:version@default, nor one of `use.functions`"
            );
            self.problem(pointer, codes::FUNCTION, message);
            return None;
        };
        if catalog != "default" {
            self.problem(
                pointer,
                codes::UNSUPPORTED,
                format!("the catalog `{catalog}` is not supported yet"),
            );
            return None;
        }
        let name = FunctionName { service: service.into(), action: action.into(), version: version.into() };
        match self.catalog.function(&name.name(), version) {
            Some(Function::Action { effect, .. }) => Some((name, effect)),
            Some(Function::Task { .. }) => {
                let message = format!("`{}` is made of several steps: name one of a service", name.name());
                self.problem(pointer, codes::FUNCTION, message);
                None
            }
            None => {
                let message = format!("the catalog has no `{}` in version {version}", name.name());
                let mut problem = self.document.error(pointer, codes::FUNCTION, message);
                problem.help = Some(format!("it has: {}", self.catalog.names().join(", ")));
                self.problems.push(problem);
                None
            }
        }
    }
}

/// `service.action:version@catalog`.
pub(super) fn parts(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (rest, catalog) = text.split_once('@')?;
    let (name, version) = rest.split_once(':')?;
    let (service, action) = name.split_once('.')?;
    Some((service, action, version, catalog))
}
