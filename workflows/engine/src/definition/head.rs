//! The top of a definition: `document`, `input`, `output`, `use`, `schedule`, `evaluate`, `timeout`.

use document::Node;

use super::codes;
use super::model::Definition;
use super::reader::{At, Reader, Scope, join};
use crate::filter::{EventFilter, EventFilters, Strategy};
use crate::info::{Info, OnFault, Purpose};
use crate::job::{Enter, Exit, Plan};
use crate::template::Template;

const TOP: &[&str] = &["document", "input", "use", "do", "timeout", "output", "schedule", "evaluate"];

impl Reader<'_> {
    /// The whole file. Nothing where it has no tasks; problems are collected beside.
    pub(crate) fn workflow(&mut self) -> Option<Definition> {
        let document = self.document;
        let root = At { value: document.root(), pointer: "" };
        self.keys(root, TOP);
        let info = self.document_head(root);
        self.uses(root);
        self.evaluate(root);
        let schedule = self.schedule(root);
        let mut enter = Enter { body: Plan::Nothing, ..Enter::default() };
        if let Some(value) = root.value.get("input") {
            let at = At { value, pointer: "/input" };
            self.keys(at, &["schema", "from"]);
            enter.schema = self.schema(at);
            enter.from = self.transform(at, "from", Scope::WorkflowInput);
        }
        enter.timeout = self.timeout(root, Scope::WorkflowInput);
        let mut exit = Exit::default();
        if let Some(value) = root.value.get("output") {
            let at = At { value, pointer: "/output" };
            self.keys(at, &["schema", "as"]);
            exit.schema = self.schema(at);
            exit.output = self.transform(at, "as", Scope::WorkflowOutput);
        }
        let Some(value) = root.value.get("do") else {
            self.problem("", codes::KEY, "`do` is missing");
            return None;
        };
        let list = self.list(At { value, pointer: "/do" }, "do", None);
        if matches!(info.purpose, Purpose::Protect | Purpose::Tidy)
            && self.effect_since(0) == schemas::Effect::Opens
        {
            let message = "what only protects or tidies up opens nothing";
            self.problem("/document/metadata/dr/purpose", codes::EFFECT, message);
        }
        let tasks = std::mem::take(&mut self.tasks).into_iter().collect::<Option<Vec<_>>>()?;
        Some(Definition {
            info,
            schedule,
            steps: std::mem::take(&mut self.steps),
            sources: std::mem::take(&mut self.sources),
            functions: std::mem::take(&mut self.functions),
            tasks,
            lists: std::mem::take(&mut self.lists),
            root: list,
            enter,
            exit,
        })
    }

    fn document_head(&mut self, root: At<'_>) -> Info {
        let nobody = document::Located { line: 1, column: 1, span: 0..0, node: Node::Map(Vec::new()) };
        let at = At { value: root.value.get("document").unwrap_or(&nobody), pointer: "/document" };
        self.keys(at, &["dsl", "namespace", "name", "version", "title", "summary", "tags", "metadata"]);
        let dsl = self.required(at, "dsl");
        if !dsl.is_empty() && !dsl.starts_with("1.0.") {
            self.problem(
                "/document/dsl",
                codes::UNSUPPORTED,
                format!("the language's version is 1.0.x, not `{dsl}`"),
            );
        }
        let (mut moves_group, mut on_fault, mut purpose) = (false, None, Purpose::Move);
        let metadata = at.value.get("metadata").and_then(|m| m.get("dr"));
        if let Some(value) = metadata {
            let dr = At { value, pointer: "/document/metadata/dr" };
            self.keys(dr, &["moves", "onFault", "purpose"]);
            match self.text(dr, "moves").as_deref() {
                None => {}
                Some("group") => moves_group = true,
                Some(other) => {
                    self.problem(
                        "/document/metadata/dr/moves",
                        codes::SHAPE,
                        format!("`{other}` is not `group`"),
                    );
                }
            }
            purpose = match self.text(dr, "purpose").as_deref() {
                None | Some("move") => Purpose::Move,
                Some("return") => Purpose::Return,
                Some("establish") => Purpose::Establish,
                Some("protect") => Purpose::Protect,
                Some("tidy") => Purpose::Tidy,
                Some(other) => {
                    let message = format!("`{other}` is none of move, return, establish, protect, tidy");
                    self.problem("/document/metadata/dr/purpose", codes::SHAPE, message);
                    Purpose::Move
                }
            };
            on_fault = match self.text(dr, "onFault").as_deref() {
                None => None,
                Some("hold") => Some(OnFault::Hold),
                Some("back-out") => Some(OnFault::BackOut),
                Some("fault") => Some(OnFault::Fault),
                Some(other) => {
                    let message = format!("`{other}` is none of hold, back-out, fault");
                    self.problem("/document/metadata/dr/onFault", codes::SHAPE, message);
                    None
                }
            };
        }
        let otherwise = if moves_group { OnFault::Hold } else { OnFault::Fault };
        Info {
            namespace: self.required(at, "namespace"),
            name: self.required(at, "name"),
            version: self.required(at, "version"),
            title: self.text(at, "title"),
            summary: self.text(at, "summary"),
            moves_group,
            purpose,
            on_fault: on_fault.unwrap_or(otherwise),
        }
    }

    fn uses(&mut self, root: At<'_>) {
        let Some(value) = root.value.get("use") else { return };
        let at = At { value, pointer: "/use" };
        let known = [
            "authentications",
            "catalogs",
            "errors",
            "extensions",
            "functions",
            "retries",
            "secrets",
            "timeouts",
        ];
        self.keys(at, &known);
        for key in ["authentications", "catalogs", "extensions", "secrets"] {
            let empty = value.get(key).is_none_or(|v| v.entries().is_empty() && v.items().is_empty());
            if !empty {
                self.unsupported(&join("/use", key), &format!("`use.{key}`"));
            }
        }
    }

    fn evaluate(&mut self, root: At<'_>) {
        let Some(value) = root.value.get("evaluate") else { return };
        let at = At { value, pointer: "/evaluate" };
        self.keys(at, &["language", "mode"]);
        if self.text(at, "language").is_some_and(|l| l != "jq") {
            self.unsupported("/evaluate/language", "a language of expressions that is not jq");
        }
        if self.text(at, "mode").is_some_and(|m| m != "strict") {
            self.unsupported("/evaluate/mode", "a mode that is not `strict`");
        }
    }

    /// `timeout: { after: … }`, or the name of one of `use.timeouts`.
    pub(crate) fn timeout(&mut self, at: At<'_>, scope: Scope) -> Option<Template> {
        let document = self.document;
        let value = at.value.get("timeout")?;
        let own = join(at.pointer, "timeout");
        let (value, pointer) = match value.as_str() {
            None => (value, own),
            Some(name) => {
                let pointer = join("/use/timeouts", name);
                match document.root().at(&pointer) {
                    Some(value) => (value, pointer),
                    None => {
                        self.problem(&own, codes::NAME, format!("`use.timeouts` has no `{name}`"));
                        return None;
                    }
                }
            }
        };
        let timeout = At { value, pointer: &pointer };
        self.keys(timeout, &["after"]);
        match value.get("after") {
            Some(value) => Some(self.duration(At { value, pointer: &join(&pointer, "after") }, scope)),
            None => {
                self.problem(&pointer, codes::KEY, "`after` is missing");
                None
            }
        }
    }

    fn schedule(&mut self, root: At<'_>) -> Option<EventFilters> {
        let at = At { value: root.value.get("schedule")?, pointer: "/schedule" };
        self.keys(at, &["on", "every", "cron", "after", "read"]);
        for key in ["every", "cron", "after", "read"] {
            if at.value.get(key).is_some() {
                self.unsupported(&join("/schedule", key), &format!("`schedule.{key}`"));
            }
        }
        let on = At { value: at.value.get("on")?, pointer: "/schedule/on" };
        let (strategy, template) = self.strategy(on, Scope::WorkflowInput)?;
        if strategy == Strategy::All {
            self.unsupported("/schedule/on", "a schedule on several events");
        }
        match template {
            Template::Value(value) => {
                let filters: Vec<EventFilter> = serde_json::from_value(value).unwrap_or_default();
                Some(EventFilters { strategy: Strategy::Any, filters })
            }
            _ => {
                self.problem("/schedule/on", codes::SHAPE, "a schedule's filter holds no expressions");
                None
            }
        }
    }

    /// `one`, `any` or `all`, and a list of `with`.
    pub(crate) fn strategy(&mut self, at: At<'_>, scope: Scope) -> Option<(Strategy, Template)> {
        self.keys(at, &["one", "any", "all", "until"]);
        if at.value.get("until").is_some() {
            self.unsupported(&join(at.pointer, "until"), "`until`");
        }
        let present: Vec<&str> =
            ["one", "any", "all"].into_iter().filter(|k| at.value.get(k).is_some()).collect();
        let &[key] = present.as_slice() else {
            self.problem(at.pointer, codes::KEY, "one of `one`, `any`, `all` is wanted here");
            return None;
        };
        let pointer = join(at.pointer, key);
        let value = at.value.get(key)?;
        let mut filters = Vec::new();
        if key == "one" {
            filters.push(self.event_filter(At { value, pointer: &pointer }, scope));
        } else {
            for (i, value) in value.items().iter().enumerate() {
                filters.push(self.event_filter(At { value, pointer: &format!("{pointer}/{i}") }, scope));
            }
        }
        if filters.is_empty() {
            self.unsupported(&pointer, "to wait for any event at all");
        }
        let strategy = if key == "all" { Strategy::All } else { Strategy::Any };
        let literals: Option<Vec<_>> =
            filters.iter().map(|t| if let Template::Value(v) = t { Some(v.clone()) } else { None }).collect();
        Some((strategy, literals.map_or(Template::List(filters), |v| Template::Value(v.into()))))
    }

    fn event_filter(&mut self, at: At<'_>, scope: Scope) -> Template {
        self.keys(at, &["with", "correlate"]);
        if at.value.get("correlate").is_some() {
            self.unsupported(&join(at.pointer, "correlate"), "`correlate`");
        }
        let pointer = join(at.pointer, "with");
        match at.value.get("with") {
            Some(value) if !value.entries().is_empty() => {
                if value.get("data").is_some() {
                    self.unsupported(&join(&pointer, "data"), "a filter on an event's data");
                }
                self.template(At { value, pointer: &pointer }, scope)
            }
            _ => {
                self.problem(at.pointer, codes::KEY, "`with` is missing or empty");
                Template::Value(serde_json::json!({}))
            }
        }
    }
}
