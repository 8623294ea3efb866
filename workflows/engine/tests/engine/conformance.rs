//! The conformance kit of the Open Workflow Specification, unedited: every scenario that needs no
//! HTTP. The kit is not part of this repository: its folder is `POINTSMAN_OWS`, by default
//! `../shared/ows` beside the checkout.

/// Past the test runner's capture: a count that nobody sees is no count.
macro_rules! say {
    ($($text:tt)*) => {{
        // Fails where nobody listens.
        let _ = std::io::Write::write_all(&mut std::io::stderr(), format!($($text)*).as_bytes());
        let _ = std::io::Write::write_all(&mut std::io::stderr(), b"\n");
    }};
}

use std::path::PathBuf;

use engine::{Definition, Entry, Error, Outcome, Resolution, Want};
use gherkin::{Feature, GherkinEnv, Scenario};
use serde_json::{Value, json};

use crate::support::{Run, TestCatalog};

fn kit() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("POINTSMAN_OWS").map_or_else(|| root.join("../shared/ows"), |p| root.join(p)).join("ctk")
}

fn yaml(text: &str) -> Value {
    document::Document::parse(text, "docstring.yaml").unwrap().value().clone()
}

/// A docstring without its media type, which the parser keeps as the first line.
fn docstring(text: &str) -> &str {
    let text = text.strip_prefix('\n').unwrap_or(text);
    text.strip_prefix("yaml\n").unwrap_or(text)
}

fn at_path<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |v, key| v.get(key))
}

fn quoted(text: &str) -> Vec<&str> {
    text.split('\'').skip(1).step_by(2).collect()
}

/// What a run came to: its output or its error, and the tasks that ran, in order.
struct Came {
    result: Result<Value, Error>,
    ran: Vec<String>,
}

fn run(text: &str, input: Value) -> Came {
    let mut run = Run::of(text, input);
    // Without `moves`, an error that nothing catches faults.
    while let Some(at) = run.wanted.iter().find_map(|w| match w {
        Want::Decide { at, .. } => Some(at.to_string()),
        _ => None,
    }) {
        run.resolve(&at, Resolution::Fault);
    }
    run.check_replay();
    let result = match run.machine.outcome() {
        Some(Outcome::Completed { output }) => Ok(output.clone()),
        Some(Outcome::Faulted { error }) => Err(error.clone()),
        other => panic!("{other:?}"),
    };
    let entered = |e: &Entry| match e {
        Entry::Entered { at, .. } | Entry::Ran { at, .. } => {
            at.as_str().rsplit('/').next().map(str::to_owned)
        }
        _ => None,
    };
    let mut ran: Vec<String> = run.entries.iter().filter_map(entered).filter(|n| !n.is_empty()).collect();
    ran.dedup();
    Came { result, ran }
}

/// Runs one scenario; says why it cannot be run here, if so.
fn scenario(scenario: &Scenario) -> Result<(), String> {
    let (mut text, mut input, mut came) = (String::new(), json!({}), None);
    for step in &scenario.steps {
        let said = step.value.trim();
        let body = step.docstring.as_deref().map(docstring).unwrap_or_default();
        let it = || came.as_ref().unwrap_or_else(|| panic!("`{said}` before the run"));
        let output = |came: &Came| came.result.clone().unwrap();
        if said == "a workflow with definition:" {
            if let Err(problems) = Definition::load(body, "kit.yaml", &TestCatalog) {
                let http = |d: &document::Diagnostic| d.message.contains("`call: ");
                return match problems.0.iter().find(|d| http(d)) {
                    Some(call) => Err(call.message.clone()),
                    None => panic!("{}", problems.render(body)),
                };
            }
            body.clone_into(&mut text);
        } else if said == "given the workflow input is:" {
            input = yaml(body);
        } else if said == "the workflow is executed" {
            came = Some(run(&text, input.clone()));
        } else if said == "the workflow should complete" {
            output(it());
        } else if said == "the workflow should complete with output:" {
            assert_eq!(output(it()), yaml(body));
        } else if said == "the workflow should fault" {
            it().result.clone().unwrap_err();
        } else if said == "the workflow should fault with error:" {
            let error = serde_json::to_value(it().result.clone().unwrap_err()).unwrap();
            assert_eq!(error, yaml(body));
        } else if said.starts_with("the workflow output should have properties") {
            let (output, names) = (output(it()), quoted(said));
            assert!(!names.is_empty());
            names.iter().for_each(|name| assert!(at_path(&output, name).is_some(), "{name}: {output}"));
        } else if said.starts_with("the workflow output should have a")
            && said.ends_with("property with value:")
        {
            assert_eq!(at_path(&output(it()), quoted(said)[0]), Some(&yaml(body)));
        } else if said.starts_with("the workflow output should have a") && said.ends_with("items") {
            let count: usize = said.split(' ').rev().nth(1).unwrap().parse().unwrap();
            let output = output(it());
            assert_eq!(at_path(&output, quoted(said)[0]).unwrap().as_array().unwrap().len(), count);
        } else if let Some((task, other)) = said.split_once(" should run after ") {
            let place = |name: &str| it().ran.iter().position(|n| n == name).unwrap();
            assert!(place(task) > place(other));
        } else if let Some(task) = said.strip_suffix(" should run first") {
            assert_eq!(it().ran.first().map(String::as_str), Some(task));
        } else if let Some(task) = said.strip_suffix(" should run last") {
            assert_eq!(it().ran.last().map(String::as_str), Some(task));
        } else {
            panic!("a step that nobody knows: {said}");
        }
    }
    assert!(came.is_some());
    Ok(())
}

#[test]
fn the_kit_passes_where_it_needs_no_http() {
    let folder = kit();
    let Ok(files) = std::fs::read_dir(&folder) else {
        say!("NOT RUN: there is no conformance kit at {} (POINTSMAN_OWS)", folder.display());
        return;
    };
    let mut files: Vec<_> = files.map(|f| f.unwrap().path()).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "feature"));
    files.sort();
    let (mut passed, mut left_out) = (0, Vec::new());
    for file in files {
        let feature = Feature::parse_path(&file, GherkinEnv::default()).unwrap();
        for one in &feature.scenarios {
            match scenario(one) {
                Ok(()) => passed += 1,
                Err(why) => left_out.push(format!("{}: {why}", one.name)),
            }
        }
    }
    say!("conformance kit: {passed} scenarios passed, {} need HTTP and were not run:", left_out.len());
    left_out.iter().for_each(|l| say!("  {l}"));
    assert_eq!((passed, left_out.len()), (12, 9));
}

#[test]
fn our_choices_are_what_the_page_says() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/choices.feature");
    let feature = Feature::parse_path(&file, GherkinEnv::default()).unwrap();
    assert_eq!(feature.scenarios.len(), 13);
    feature.scenarios.iter().for_each(|one| scenario(one).unwrap());
}
