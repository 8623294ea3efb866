//! Reading with places: the small steps that all of loading is made of.

use std::collections::BTreeMap;

use document::{Diagnostic, Document, Located, Node};
use serde_json::Value;

use super::codes;
use super::model::{List, Task};
use crate::Catalog;
use crate::duration::millis;
use crate::info::StepInfo;
use crate::schema;
use crate::template::{Expr, Template};

/// A value and where it stands: what each reading function takes.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) value: &'a Located,
    pub(crate) pointer: &'a str,
}

/// Which variables an expression may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// `input.from` of the workflow.
    WorkflowInput,
    /// `output.as` of the workflow.
    WorkflowOutput,
    /// `if` and `input.from` of a task.
    TaskInput,
    /// A task itself, and its `output.as`.
    Task,
    /// `export.as` of a task.
    Export,
}

/// What loading knows while it goes through the file.
pub(crate) struct Reader<'a> {
    pub(crate) document: &'a Document,
    pub(crate) catalog: &'a dyn Catalog,
    pub(crate) problems: Vec<Diagnostic>,
    pub(crate) tasks: Vec<Option<Task>>,
    pub(crate) lists: Vec<List>,
    pub(crate) steps: Vec<StepInfo>,
    /// Loop and error variables that are visible.
    pub(crate) locals: Vec<String>,
    /// Of the `try` blocks around: whether they may catch `in-doubt`.
    pub(crate) tries: Vec<bool>,
    pub(crate) depth: usize,
    /// The file itself, then one for each call of a catalog's task.
    pub(crate) sources: Vec<Value>,
    /// Which of them is being read.
    pub(crate) source: usize,
    /// A pointer of the document that begins with the first begins with the second in the whole.
    pub(crate) rebase: (String, String),
    /// The functions that are being read, outermost first.
    pub(crate) inside: Vec<String>,
    /// Whether calls that say what undoes them are undone.
    pub(crate) undoes: bool,
    /// The texts of the catalog's tasks.
    pub(crate) functions: BTreeMap<String, String>,
}

/// The value below a pointer.
pub(crate) fn join(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", document::escape(key))
}

impl<'a> Reader<'a> {
    /// Nothing is read yet.
    pub(crate) fn new(document: &'a Document, catalog: &'a dyn Catalog) -> Reader<'a> {
        Reader {
            document,
            catalog,
            problems: Vec::new(),
            tasks: Vec::new(),
            lists: Vec::new(),
            steps: Vec::new(),
            locals: Vec::new(),
            tries: Vec::new(),
            depth: 0,
            sources: vec![document.value().clone()],
            source: 0,
            rebase: (String::new(), String::new()),
            inside: Vec::new(),
            undoes: true,
            functions: BTreeMap::new(),
        }
    }

    pub(crate) fn problem(&mut self, pointer: &str, code: &str, message: impl Into<String>) {
        let problem = self.document.error(pointer, code, message);
        self.problems.push(problem);
    }

    /// A pointer of this document, from the root of the whole.
    pub(crate) fn whole(&self, pointer: &str) -> String {
        let (here, there) = &self.rebase;
        format!("{there}{}", pointer.strip_prefix(here.as_str()).unwrap_or(pointer))
    }

    pub(crate) fn key_problem(&mut self, pointer: &str, code: &str, message: impl Into<String>) {
        let problem = self.document.key_error(pointer, code, message);
        self.problems.push(problem);
    }

    pub(crate) fn unsupported(&mut self, pointer: &str, what: &str) {
        self.key_problem(pointer, codes::UNSUPPORTED, format!("{what} is not supported yet"));
    }

    /// Each key must be one of these.
    pub(crate) fn keys(&mut self, at: At<'_>, known: &[&str]) {
        if !matches!(at.value.node, Node::Map(_)) {
            self.problem(at.pointer, codes::SHAPE, "a mapping is wanted here");
            return;
        }
        for (key, _) in at.value.entries() {
            if !known.contains(&key.name.as_str()) {
                let pointer = join(at.pointer, &key.name);
                let mut problem = self.document.key_error(
                    &pointer,
                    codes::KEY,
                    format!("`{}` is not a key of the language here", key.name),
                );
                problem.help = Some(format!("known here: {}", known.join(", ")));
                self.problems.push(problem);
            }
        }
    }

    /// A text, if the key is there.
    pub(crate) fn text(&mut self, at: At<'_>, key: &str) -> Option<String> {
        let value = at.value.get(key)?;
        match value.as_str() {
            Some(text) => Some(text.to_owned()),
            None => {
                self.problem(&join(at.pointer, key), codes::SHAPE, format!("`{key}` must be a text"));
                None
            }
        }
    }

    /// A text that must be there.
    pub(crate) fn required(&mut self, at: At<'_>, key: &str) -> String {
        if at.value.get(key).is_none() {
            self.problem(at.pointer, codes::KEY, format!("`{key}` is missing"));
        }
        self.text(at, key).unwrap_or_default()
    }

    /// Yes or no, if the key is there.
    pub(crate) fn flag(&mut self, at: At<'_>, key: &str) -> bool {
        match at.value.get(key).map(|v| &v.node) {
            None => false,
            Some(Node::Bool(flag)) => *flag,
            Some(_) => {
                self.problem(&join(at.pointer, key), codes::SHAPE, format!("`{key}` must be true or false"));
                false
            }
        }
    }

    /// The variables of a scope.
    fn variables(&self, scope: Scope) -> Vec<&str> {
        let mut names = vec!["workflow", "runtime"];
        if scope != Scope::WorkflowInput {
            names.push("context");
        }
        if matches!(scope, Scope::TaskInput | Scope::Task | Scope::Export) {
            names.push("task");
            names.extend(self.locals.iter().map(String::as_str));
        }
        if matches!(scope, Scope::Task | Scope::Export) {
            names.push("input");
        }
        if scope == Scope::Export {
            names.push("output");
        }
        names
    }

    /// An expression, without `${ }`.
    pub(crate) fn jq(&mut self, source: &str, pointer: &str, scope: Scope) -> Expr {
        let result = expressions::check(source, &self.variables(scope));
        let uses = match result {
            Ok(checked) => checked.uses.into_iter().collect(),
            Err(error) => {
                let secret = ["$secrets", "$authorization"].into_iter().find(|s| error.message.contains(s));
                let (code, message) = match secret {
                    Some(name) => (codes::SECRET, format!("`{name}` may not be used in an expression")),
                    None => (codes::EXPRESSION, error.message.clone()),
                };
                let mut problem = self.document.error(pointer, code, message);
                if let Some(part) = error.span.and_then(|span| source.get(span)).filter(|p| !p.is_empty()) {
                    let clipped: String = part.chars().take(60).collect();
                    problem.help = Some(format!("at `{clipped}`"));
                }
                self.problems.push(problem);
                Vec::new()
            }
        };
        Expr { jq: source.to_owned(), uses }
    }

    /// A field that is always an expression, with or without `${ }`.
    pub(crate) fn condition(&mut self, at: At<'_>, key: &str, scope: Scope) -> Option<Expr> {
        let text = self.text(at, key)?;
        Some(self.jq(expressions::bare_or_strict(&text), &join(at.pointer, key), scope))
    }

    /// A value in which texts of the form `${ … }` are expressions.
    pub(crate) fn template(&mut self, at: At<'_>, scope: Scope) -> Template {
        match &at.value.node {
            Node::String(text) => match expressions::strict(text) {
                Some(source) => Template::Expr(self.jq(source, at.pointer, scope)),
                None => Template::Value(Value::String(text.clone())),
            },
            Node::List(items) => {
                let mut all = Vec::new();
                for (i, value) in items.iter().enumerate() {
                    all.push(self.template(At { value, pointer: &format!("{}/{i}", at.pointer) }, scope));
                }
                if all.iter().all(|t| matches!(t, Template::Value(_))) {
                    return Template::Value(at.value.to_value());
                }
                Template::List(all)
            }
            Node::Map(members) => {
                let mut all = Vec::new();
                for (key, value) in members {
                    let pointer = join(at.pointer, &key.name);
                    all.push((key.name.clone(), self.template(At { value, pointer: &pointer }, scope)));
                }
                if all.iter().all(|(_, t)| matches!(t, Template::Value(_))) {
                    return Template::Value(at.value.to_value());
                }
                Template::Map(all)
            }
            _ => Template::Value(at.value.to_value()),
        }
    }

    /// A field that is an expression where it is a text, and a template where it is not.
    pub(crate) fn transform(&mut self, at: At<'_>, key: &str, scope: Scope) -> Option<Template> {
        let value = at.value.get(key)?;
        let pointer = join(at.pointer, key);
        Some(match value.as_str() {
            Some(text) => Template::Expr(self.jq(expressions::bare_or_strict(text), &pointer, scope)),
            None => self.template(At { value, pointer: &pointer }, scope),
        })
    }

    /// A duration: a literal, which is checked now, or an expression.
    pub(crate) fn duration(&mut self, at: At<'_>, scope: Scope) -> Template {
        let template = self.template(at, scope);
        if let Template::Value(value) = &template
            && let Err(error) = millis(value)
        {
            self.problem(at.pointer, codes::DURATION, error.detail.unwrap_or_default());
        }
        template
    }

    /// A duration that must be a literal, in milliseconds.
    pub(crate) fn fixed_duration(&mut self, at: At<'_>) -> Option<u64> {
        match self.duration(at, Scope::Task) {
            Template::Value(value) => millis(&value).ok(),
            _ => {
                self.unsupported(at.pointer, "an expression as this duration");
                None
            }
        }
    }

    /// `schema: { format: json, document: … }`.
    pub(crate) fn schema(&mut self, at: At<'_>) -> Option<Value> {
        let pointer = join(at.pointer, "schema");
        let schema = At { value: at.value.get("schema")?, pointer: &pointer };
        self.keys(schema, &["format", "document", "resource"]);
        if let Some(format) = self.text(schema, "format")
            && format.split(':').next() != Some("json")
        {
            self.unsupported(&join(&pointer, "format"), "a schema that is not JSON Schema");
        }
        if schema.value.get("resource").is_some() {
            self.unsupported(&join(&pointer, "resource"), "a schema in another file");
        }
        let document = schema.value.get("document").map(Located::to_value)?;
        if let Err(error) = schema::check(&document) {
            self.problem(&join(&pointer, "document"), codes::SCHEMA, error);
        }
        Some(document)
    }
}
