//! Functions that are tasks: those of `use.functions`, and those of the catalog. Each call is read as if the task
//! stood there, so that everything is checked in its place, and positions say where a run is.
//!
//! What a function sees is its own: `.` and `$context` begin as the arguments, and what it exports stays within.

use document::{Diagnostics, Document, Located, Node};
use schemas::Effect;

use super::codes;
use super::kinds::parts;
use super::model::{FunctionDef, Kind, List, ListId};
use super::reader::{At, Reader, join};
use super::tasks::{Around, BODY, Ours, TASKS_MAX};
use crate::catalog::VERSION;
use crate::{Catalog, Function};

/// A function of a catalog, in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionFile {
    /// The worst that it does to a site.
    pub effect: Effect,
    /// How many tasks it is made of, those of the functions that it calls included.
    pub tasks: usize,
    /// What it says that it takes.
    pub takes: Vec<String>,
}

impl FunctionFile {
    /// Reads and checks one by itself, as what `name` is to be; `path` is for messages only. What depends on its callers is
    /// checked with them: an error that it raises and they have to catch.
    ///
    /// # Errors
    ///
    /// Everything that is wrong or not supported, each with line and column.
    pub fn load(
        text: &str,
        path: &str,
        name: &str,
        catalog: &dyn Catalog,
    ) -> Result<FunctionFile, Diagnostics> {
        let document = Document::parse(text, path)?;
        let mut reader = Reader::new(&document, catalog);
        let key = format!("{name}:{VERSION}");
        reader.inside.push(key.clone());
        reader.tries.push(true);
        let at = At { value: document.root(), pointer: "" };
        let body = Body { document: &document, source: 0, at, name, key, declares: true };
        reader.body_list(at, name, 0, None);
        let effect = reader.effect_since(0);
        if reader.problems.is_empty() {
            reader.declared(&body, effect);
        }
        let takes = |part: &str| document.root().at(&format!("/input/schema/document/{part}"));
        let members =
            takes("properties").map_or(&[][..], Located::entries).iter().map(|(key, _)| key.name.as_str());
        let required = takes("required").map_or(&[][..], Located::items).iter().filter_map(Located::as_str);
        let mut names: Vec<String> = members.chain(required).map(str::to_owned).collect();
        names.sort_unstable();
        names.dedup();
        Diagnostics(reader.problems).or(FunctionFile { effect, tasks: reader.steps.len(), takes: names })
    }
}

/// A function's one task, and where it is written.
struct Body<'d> {
    document: &'d Document,
    source: usize,
    at: At<'d>,
    name: &'d str,
    /// What tells it from others, and what it is called.
    key: String,
    /// Whether it says itself what it does to a site.
    declares: bool,
}

impl Reader<'_> {
    /// A call of a function that is a task; nothing where `text` names none.
    pub(super) fn task_function(
        &mut self,
        text: &str,
        at: At<'_>,
        ours: &Ours,
        inside: (usize, Option<&str>),
    ) -> Option<Kind> {
        let own = join("/use/functions", text);
        let document = self.document;
        if let Some(value) = document.root().at(&own) {
            let at_body = At { value, pointer: &own };
            let (source, key) = (self.source, text.to_owned());
            let body = Body { document, source, at: at_body, name: text, key, declares: false };
            return Some(self.read_body(&body, at, ours, inside));
        }
        let (service, action, version, catalog) = parts(text)?;
        let name = format!("{service}.{action}");
        let Some(Function::Task { path, text }) =
            self.catalog.function(&name, version).filter(|_| catalog == "default")
        else {
            return None;
        };
        let key = format!("{name}:{version}");
        let nobody = Kind::Set;
        let document = match Document::parse(&text, &path) {
            Ok(document) => document,
            Err(problems) => {
                self.problems.extend(problems.0);
                return Some(nobody);
            }
        };
        self.functions.insert(key.clone(), text);
        self.sources.push(document.value().clone());
        let source = self.sources.len() - 1;
        let at_body = At { value: document.root(), pointer: "" };
        let body = Body { document: &document, source, at: at_body, name: action, key, declares: true };
        Some(self.read_body(&body, at, ours, inside))
    }

    fn read_body(
        &mut self,
        body: &Body<'_>,
        call: At<'_>,
        ours: &Ours,
        (length, phase): (usize, Option<&str>),
    ) -> Kind {
        let place = join(call.pointer, "call");
        let dr = join(&join(call.pointer, "metadata"), "dr");
        // `undo: none`: what stands within stays done when the run backs out.
        let none = ours.undo.as_deref() == Some("none");
        for (key, wrong) in [("inDoubt", ours.in_doubt.is_some()), ("undo", ours.undo.is_some() && !none)] {
            if wrong {
                let message = format!("`{key}` stands at the calls of services within `{}`", body.key);
                self.key_problem(&join(&dr, key), codes::KEY, message);
            }
        }
        let refused = if self.inside.contains(&body.key) {
            Some((codes::FUNCTION, format!("`{}` calls itself", body.key)))
        } else if self.tasks.len() >= TASKS_MAX {
            let message =
                format!("a definition has at most {TASKS_MAX} tasks, those of its functions included");
            Some((codes::SIZE, message))
        } else if !matches!(body.at.value.node, Node::Map(_)) {
            Some((codes::SHAPE, format!("`{}` is no task", body.key)))
        } else {
            None
        };
        if let Some((code, message)) = refused {
            self.problem(&place, code, message);
            return Kind::Set;
        }
        if let Some(takes) = body.at.value.at("/input/schema/document") {
            let name = body.key.split(':').next().unwrap_or_default();
            self.handed(name, &takes.to_value(), call);
        }
        let first = self.tasks.len();
        let whole = self.whole(&place);
        let mut within = self.reader_of(body, whole);
        within.undoes &= !none;
        let found = within.problems.len();
        let list = within.body_list(body.at, body.name, length, phase);
        let effect = within.effect_since(first);
        // What is wrong within has to be mended first.
        if within.problems.len() == found {
            within.declared(body, effect);
        }
        self.take_back(within);
        Kind::Function(FunctionDef { name: body.key.clone(), effect, body: list })
    }

    /// A reader of the body, with all that was read so far.
    fn reader_of<'d>(&mut self, body: &Body<'d>, whole: String) -> Reader<'d>
    where
        Self: 'd,
    {
        let mut inside = std::mem::take(&mut self.inside);
        inside.push(body.key.clone());
        Reader {
            document: body.document,
            catalog: self.catalog,
            problems: std::mem::take(&mut self.problems),
            tasks: std::mem::take(&mut self.tasks),
            lists: std::mem::take(&mut self.lists),
            steps: std::mem::take(&mut self.steps),
            locals: Vec::new(),
            tries: self.tries.clone(),
            depth: self.depth,
            sources: std::mem::take(&mut self.sources),
            source: body.source,
            rebase: (body.at.pointer.to_owned(), whole),
            inside,
            undoes: self.undoes,
            functions: std::mem::take(&mut self.functions),
        }
    }

    fn take_back(&mut self, within: Reader<'_>) {
        self.problems = within.problems;
        self.tasks = within.tasks;
        self.lists = within.lists;
        self.steps = within.steps;
        self.sources = within.sources;
        self.inside = within.inside;
        self.inside.pop();
        self.functions = within.functions;
    }

    /// The list that holds the one task.
    fn body_list(&mut self, at: At<'_>, name: &str, length: usize, phase: Option<&str>) -> ListId {
        let id = ListId(self.lists.len());
        self.lists.push(List { tasks: Vec::new() });
        let around = Around { names: &[], list: id, index: 0, segment: BODY, length, phase };
        let task = self.task(at, name, &around);
        if let Some(list) = self.lists.get_mut(id.0) {
            list.tasks.push(task);
        }
        id
    }

    /// The worst that the tasks from this number on do to a site.
    pub(super) fn effect_since(&self, first: usize) -> Effect {
        let effects = self.tasks.iter().skip(first).flatten().filter_map(|task| match &task.kind {
            Kind::Call(call) => Some(call.effect),
            _ => None,
        });
        effects.min().unwrap_or(Effect::Observes)
    }

    /// What a function says that it does is what it does.
    fn declared(&mut self, body: &Body<'_>, effect: Effect) {
        let pointer = format!("{}/metadata/dr/effect", body.at.pointer);
        let Some(told) = body.document.root().at(&pointer) else {
            if body.declares {
                let message = format!("`metadata.dr.effect` is missing: `{}` {effect}", body.key);
                self.problem(body.at.pointer, codes::EFFECT, message);
            }
            return;
        };
        if told.as_str() != Some(&effect.to_string()) {
            self.problem(&pointer, codes::EFFECT, format!("the parts of `{}` say: {effect}", body.key));
        }
    }
}
