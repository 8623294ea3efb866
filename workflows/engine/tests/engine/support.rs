//! A run without an outside: evaluations are done at once, and a test answers the rest.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use engine::{
    Call, Catalog, Change, Definition, Entry, Error, Function, Input, Machine, Outcome, Resolution, RunFacts,
    Want,
};
use expressions::Inline;
use schemas::{Effect, Position};
use serde_json::Value;

/// The default catalog and some functions that do nothing.
pub(crate) struct TestCatalog;

impl Catalog for TestCatalog {
    fn function(&self, name: &str, version: &str) -> Option<Function> {
        let effect = match name {
            "test.look" => Effect::Observes,
            "test.change" | "test.back" => Effect::Changes,
            "test.open" => Effect::Opens,
            _ => {
                let task = TASKS.iter().find(|(own, _)| *own == name && version == "1.0.0");
                let Some((_, text)) = task else { return engine::catalog::default().function(name, version) };
                return Some(Function::Task { path: format!("{name}.yaml"), text: (*text).into() });
            }
        };
        Some(Function::Action { effect, summary: name.into() })
    }
}

/// Functions that are tasks.
const TASKS: &[(&str, &str)] = &[
    (
        "part.twice",
        "metadata: { dr: { effect: changes, phase: twice } }
do:
  - one:
      call: test.change:1.0.0@default
      with: { n: '${ $context.n }' }
      metadata: { dr: { undo: 'test.back:1.0.0@default' } }
      export: { as: '${ $context + { first: . } }' }
  - two: { call: 'test.change:1.0.0@default', with: { n: '${ $context.n + 1 }', first: '${ $context.first }' } }
",
    ),
    ("part.nested", "metadata: { dr: { effect: changes } }\ncall: part.twice:1.0.0@default\nwith: { n: '${ .n * 10 }' }\n"),
    ("part.itself", "metadata: { dr: { effect: changes } }\ndo: [ a: { call: 'part.itself:1.0.0@default' } ]\n"),
    ("part.modest", "metadata: { dr: { effect: changes } }\ndo: [ a: { call: 'test.open:1.0.0@default' } ]\n"),
    ("part.silent", "do: [ a: { call: 'test.open:1.0.0@default' } ]\n"),
    ("part.wrong", "metadata: { dr: { effect: changes } }\ndo:\n  - a: { call: 'test.change:1.0.0@default', with: { n: '${ $n }' } }\n  - b: { set: { a: 1 }, then: end }\n"),
    ("part.passing", "metadata: { dr: { effect: changes } }\ncall: test.change:1.0.0@default\nmetadata2: 1\n"),
    ("part.tenfold", "metadata: { dr: { effect: changes } }\nfor: { each: i, in: '${ [range(0; .n)] }' }\ndo: [ a: { call: 'test.change:1.0.0@default', with: { i: '${ $i }' } } ]\n"),
];

/// A run and what it has recorded.
pub(crate) struct Run {
    pub(crate) machine: Machine,
    pub(crate) entries: Vec<Entry>,
    pub(crate) now: DateTime<Utc>,
    pub(crate) wanted: Vec<Want>,
    evaluator: Inline,
}

pub(crate) fn load(text: &str) -> Arc<Definition> {
    match Definition::load(text, "test.yaml", &TestCatalog) {
        Ok(definition) => Arc::new(definition),
        Err(problems) => panic!("{}", problems.render(text)),
    }
}

/// What is wrong with a definition, one line each: `line:column code message`.
pub(crate) fn problems(text: &str) -> Vec<String> {
    let Err(problems) = Definition::load(text, "test.yaml", &TestCatalog) else {
        return Vec::new();
    };
    let line = |d: document::Diagnostic| {
        let place = d.place.map_or(String::new(), |p| format!("{}:{} ", p.line, p.column));
        format!("{place}{} {}", d.code, d.message)
    };
    problems.0.into_iter().map(line).collect()
}

pub(crate) fn at(text: &str) -> Position {
    text.parse().unwrap()
}

pub(crate) fn start() -> DateTime<Utc> {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

impl Run {
    pub(crate) fn new(definition: Arc<Definition>, input: Value) -> Run {
        let machine = Machine::new(definition);
        let facts = RunFacts { id: "run-1".into(), started_at: start(), input };
        let mut run =
            Run { machine, entries: vec![], now: start(), wanted: vec![], evaluator: Inline::new() };
        let first = run.machine.begin(facts);
        run.record(first);
        run.settle();
        run
    }

    pub(crate) fn of(text: &str, input: Value) -> Run {
        Run::new(load(text), input)
    }

    fn record(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            let text = serde_json::to_string(&entry).unwrap();
            let entry: Entry = serde_json::from_str(&text).unwrap();
            self.machine.apply(&entry).unwrap();
            self.entries.push(entry);
        }
        for change in self.machine.take_changes() {
            match change {
                Change::Wanted(want) => {
                    assert!(self.wanted.iter().all(|w| w.id() != want.id()), "wanted twice: {want:?}");
                    self.wanted.push(want);
                }
                Change::Dropped(id) => {
                    let before = self.wanted.len();
                    self.wanted.retain(|w| w.id() != id);
                    assert_eq!(before, self.wanted.len() + 1, "dropped, but not wanted: {id:?}");
                }
            }
        }
        let mut told: Vec<_> = self.wanted.iter().map(Want::id).collect();
        told.sort();
        let mut all: Vec<_> = self.machine.outstanding().iter().map(Want::id).collect();
        all.sort();
        assert_eq!(told, all);
    }

    /// Does all evaluations.
    pub(crate) fn settle(&mut self) {
        for _ in 0..10_000 {
            let next = self.wanted.iter().find_map(|w| match w {
                Want::Evaluate { at, job } => Some((at.clone(), job.clone())),
                _ => None,
            });
            let Some((at, job)) = next else { return };
            let result = job.run(&mut self.evaluator);
            let entries = self.machine.decide(Input::Evaluated { at, result }, self.now).unwrap();
            self.record(entries);
        }
        panic!("it does not come to rest");
    }

    pub(crate) fn give(&mut self, input: Input) {
        let before = self.machine.clone();
        let entries = self.machine.decide(input, self.now).unwrap();
        assert!(before == self.machine, "deciding changed something");
        self.record(entries);
        self.settle();
    }

    pub(crate) fn pass(&mut self, seconds: i64) {
        self.now += TimeDelta::seconds(seconds);
    }

    pub(crate) fn calls(&self) -> Vec<(String, Call)> {
        self.wanted
            .iter()
            .filter_map(|w| match w {
                Want::Call { at, call } => Some((at.to_string(), call.clone())),
                _ => None,
            })
            .collect()
    }

    /// The positions of what is wanted, with its kind: `call /do/0/x`.
    pub(crate) fn wants(&self) -> Vec<String> {
        let kind = |w: &Want| serde_json::to_value(w.id().kind).unwrap().as_str().unwrap().to_owned();
        let mut all: Vec<_> = self.wanted.iter().map(|w| format!("{} {}", kind(w), w.id().at)).collect();
        all.sort();
        all
    }

    pub(crate) fn ok(&mut self, position: &str, output: Value) {
        self.give(Input::CallEnded { at: at(position), result: Ok(output) });
    }

    pub(crate) fn err(&mut self, position: &str, error: Error) {
        self.give(Input::CallEnded { at: at(position), result: Err(error) });
    }

    pub(crate) fn wake(&mut self, position: &str) {
        self.give(Input::Woke { at: at(position) });
    }

    pub(crate) fn resolve(&mut self, position: &str, how: Resolution) {
        self.give(Input::Resolve { at: at(position), how });
    }

    pub(crate) fn output(&self) -> Value {
        match self.machine.outcome() {
            Some(Outcome::Completed { output }) => output.clone(),
            other => panic!("{other:?}, wants {:?}", self.wanted),
        }
    }

    /// Replays the entries: the same place, the same wants.
    pub(crate) fn check_replay(&self) {
        let mut again = Machine::new(self.machine.definition().clone());
        for entry in &self.entries {
            again.apply(entry).unwrap();
        }
        assert!(again == self.machine);
        assert_eq!(again.outstanding(), self.machine.outstanding());
        let wanted: Vec<Change> = self.machine.outstanding().into_iter().map(Change::Wanted).collect();
        assert_eq!(again.take_changes(), wanted);
    }
}
