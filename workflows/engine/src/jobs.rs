//! Which evaluation a frame wants, with everything that it needs.

use chrono::{DateTime, SecondsFormat, Utc};
use schemas::Position;
use serde_json::{Value, json};

use crate::definition::Definition;
use crate::definition::model::{Kind, RetryDef, Task, TryDef};
use crate::job::{Catch, Enter, Exit, Job, Plan, Retry, Work, event_defaults};
use crate::state::{Frame, Head, Place, ROOT, What};
use crate::template::{Expr, Vars};

/// Whether a frame's evaluation holds nothing but literals and plain paths. Copies nothing.
pub(crate) fn is_simple(definition: &Definition, frame: &Frame) -> bool {
    let simple = |exprs: Vec<&Expr>| exprs.iter().all(|e| expressions::is_plain(&e.jq));
    let task = |id| definition.task(id);
    match (&frame.place, frame.what) {
        (Place::Arriving, What::Root) => simple(definition.enter.exprs()),
        (Place::Exiting { .. }, What::Root) => simple(definition.exit.all()),
        (Place::Arriving, What::Task(id)) => task(id).is_some_and(|t| simple(t.enter.exprs())),
        (Place::Exiting { .. }, What::Task(id)) => task(id).is_some_and(|t| simple(t.exit.all())),
        (Place::Catching { .. }, What::Task(id)) => match task(id).map(|t| &t.kind) {
            Some(Kind::Try(def)) => simple(catch_of(def, None).exprs()),
            _ => false,
        },
        _ => false,
    }
}

/// The evaluation that a frame wants.
pub(crate) fn job(
    definition: &Definition,
    head: &Head,
    context: &Value,
    at: &Position,
    frame: &Frame,
) -> Option<Job> {
    let raw = || Value::clone(&frame.raw);
    let (work, input, task) = match (&frame.place, frame.what) {
        (Place::Arriving, What::Root) => (Work::Enter(Box::new(definition.enter.clone())), raw(), None),
        (Place::Exiting { output }, What::Root) => {
            (Work::Exit(definition.exit.clone()), Value::clone(output), None)
        }
        (Place::Arriving, What::Task(id)) => {
            let task = definition.task(id)?;
            (Work::Enter(Box::new(enter(definition, head, at, task))), raw(), Some(task))
        }
        (Place::Exiting { output }, What::Task(id)) => {
            let task = definition.task(id)?;
            (Work::Exit(task.exit.clone()), Value::clone(output), Some(task))
        }
        (Place::Arriving, What::Iteration(id, _)) => {
            let task = definition.task(id)?;
            let Kind::For(def) = &task.kind else {
                return None;
            };
            (Work::While { condition: def.condition.clone()? }, raw(), Some(task))
        }
        (Place::Catching { .. }, What::Task(id)) => {
            let task = definition.task(id)?;
            let Kind::Try(def) = &task.kind else {
                return None;
            };
            let catch = catch_of(def, Some((head, at, frame)));
            (Work::Catch(Box::new(catch)), Value::clone(&frame.input), Some(task))
        }
        _ => return None,
    };
    let vars = variables(definition, head, context, frame, task, &work);
    Some(Job { input, vars, work })
}

fn enter(definition: &Definition, head: &Head, at: &Position, task: &Task) -> Enter {
    let mut enter = task.enter.clone();
    if let Plan::Event(_, defaults) = &mut enter.body {
        let run = head.facts.as_ref().map_or("", |f| &f.id);
        let info = &definition.info;
        let source = format!("/workflows/{}/{}", info.namespace, info.name);
        *defaults = event_defaults(&format!("{run}:{at}"), &source, &iso(head.clock));
    }
    enter
}

/// The job of a `catch`; without a place, its expressions only.
fn catch_of(def: &TryDef, place: Option<(&Head, &Position, &Frame)>) -> Catch {
    let retry = def.retry.as_ref().and_then(|policy| match place {
        None => Some(retry_of(policy, 1, 0)),
        Some((head, at, frame)) => {
            let spent = (head.clock - frame.started).num_milliseconds();
            let in_time = policy.within_ms.is_none_or(|ms| i64::try_from(ms).is_ok_and(|ms| spent < ms));
            let left = frame.tries < policy.count && in_time;
            left.then(|| retry_of(policy, frame.tries.saturating_add(1), draw(head, at, frame.tries)))
        }
    });
    Catch {
        when: def.when.clone(),
        except_when: def.except_when.clone(),
        retry,
        handles: def.handler.is_some() || def.retry.is_none(),
    }
}

fn retry_of(policy: &RetryDef, n: u32, draw: u16) -> Retry {
    Retry {
        when: policy.when.clone(),
        except_when: policy.except_when.clone(),
        delay: policy.delay.clone(),
        factor: policy.backoff.factor(n),
        jitter: policy.jitter.clone(),
        draw,
    }
}

/// A number that looks random and is always the same for this try of this run (FNV-1a).
fn draw(head: &Head, at: &Position, tries: u32) -> u16 {
    let run = head.facts.as_ref().map_or("", |f| &f.id);
    let text = format!("{run}:{at}:{tries}");
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    u16::try_from((hash >> 32) & 0xffff).unwrap_or(0)
}

/// The variables that the work uses, and no others.
fn variables(
    definition: &Definition,
    head: &Head,
    context: &Value,
    frame: &Frame,
    task: Option<&Task>,
    work: &Work,
) -> Vars {
    let mut vars = Vars::new();
    let exprs = work.exprs();
    let mentions = |word: &str| exprs.iter().any(|e| e.jq.contains(word));
    for name in exprs.iter().flat_map(|e| &e.uses) {
        if vars.contains_key(name) {
            continue;
        }
        let value = match name.as_str() {
            "context" => context.clone(),
            "input" => Value::clone(&frame.input),
            "runtime" => json!({ "name": "Pointsman", "version": env!("CARGO_PKG_VERSION"), "metadata": {} }),
            "workflow" => workflow(definition, head, mentions("definition")),
            "task" => descriptor(definition, frame, task, mentions("definition")),
            local => match (&frame.place, task.map(|t| &t.kind)) {
                (Place::Catching { error, .. }, Some(Kind::Try(def))) if def.variable == local => {
                    serde_json::to_value(error).unwrap_or_default()
                }
                _ => frame.locals.get(local).cloned().unwrap_or_default(),
            },
        };
        vars.insert(name.clone(), value);
    }
    vars
}

fn workflow(definition: &Definition, head: &Head, whole: bool) -> Value {
    let Some(facts) = &head.facts else {
        return Value::Null;
    };
    let mut value = json!({ "id": facts.id, "input": facts.input, "startedAt": moment(facts.started_at) });
    if whole {
        value["definition"] = definition.sources.first().cloned().unwrap_or_default();
    }
    value
}

fn descriptor(definition: &Definition, frame: &Frame, task: Option<&Task>, whole: bool) -> Value {
    let Some(task) = task else {
        return Value::Null;
    };
    let mut value = json!({
        "name": task.name,
        "reference": task.pointer,
        "input": *frame.raw,
        "startedAt": moment(frame.started),
    });
    if whole {
        let (source, pointer) = &task.written;
        let written = definition.sources.get(*source).and_then(|whole| whole.pointer(pointer));
        value["definition"] = written.cloned().unwrap_or_default();
    }
    value
}

fn moment(time: DateTime<Utc>) -> Value {
    let epoch = json!({ "seconds": time.timestamp(), "milliseconds": time.timestamp_millis() });
    json!({ "iso8601": iso(time), "epoch": epoch })
}

fn iso(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Where an error of this frame happened, as the language writes it.
pub(crate) fn instance(definition: &Definition, frame: &Frame) -> String {
    match frame.what {
        What::Task(id) | What::Iteration(id, _) => definition.task(id).map(|t| t.pointer.clone()),
        What::Root | What::Undo(_) => None,
    }
    .unwrap_or_else(|| ROOT.to_owned())
}

impl Exit {
    fn all(&self) -> Vec<&Expr> {
        let mut all = Vec::new();
        self.exprs(&mut all);
        all
    }
}
