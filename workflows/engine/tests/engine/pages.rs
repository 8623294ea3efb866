//! The pages of the shipped workflows: their steps are those of the definitions, each with the way to do it by hand.

use std::path::PathBuf;

use engine::{Definition, StepInfo};
use schemas::Effect;

const NAMES: [&str; 6] = ["cleanup", "establish", "failback", "failover", "reprotect", "switchover"];
const BEGIN: &str = "<!-- generated: UPDATE_GOLDEN=1 cargo test -p engine --test engine pages -->\n";
const END: &str = "<!-- end -->\n";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn steps(name: &str) -> Vec<StepInfo> {
    let text = read(&format!("workflows/definitions/{name}.yaml"));
    let definition = Definition::load(&text, name, &engine::catalog::default());
    definition.unwrap_or_else(|problems| panic!("{}", problems.render(&text))).steps()
}

/// The phases, in order, as a picture.
fn picture(steps: &[StepInfo]) -> String {
    let mut phases: Vec<&str> = Vec::new();
    for phase in steps.iter().filter(|s| s.function.is_some()).filter_map(|s| s.phase.as_deref()) {
        if phases.last() != Some(&phase) {
            phases.push(phase);
        }
    }
    let mut lines = vec![String::new()];
    for phase in phases {
        let line = lines.last_mut().unwrap();
        if line.len() + phase.len() > 100 {
            lines.push(format!("  -> {phase}"));
        } else if line.is_empty() {
            line.push_str(phase);
        } else {
            line.push_str(&format!(" -> {phase}"));
        }
    }
    format!("```text\n{}\n```\n\n", lines.join("\n"))
}

/// A path or bound as a person reads it: without the expression around it.
fn plain(text: &str) -> String {
    let inner = text.trim().trim_start_matches("${").trim_end_matches('}').trim();
    inner.replace("$workflow.input.group.", "").replace("$context.g.", "").replace("$context.", "")
}

fn line(number: usize, step: &StepInfo, around: &[&StepInfo]) -> String {
    let function = step.function.as_deref().unwrap().split(':').next().unwrap();
    let anchor = function.replace('.', "");
    let phase = step.phase.as_deref().unwrap_or("-");
    let mut notes = Vec::new();
    match step.effect {
        Some(Effect::Opens) => notes.push("**opens**".to_owned()),
        Some(Effect::Closes) => notes.push("closes".to_owned()),
        _ => {}
    }
    if let Some(within) = &step.within {
        let within = plain(within);
        // Within a function the bound is its argument: the call says which.
        let passed = around.iter().rev().find_map(|s| s.with.as_ref()?.get("within")?.as_str());
        let within = passed.filter(|_| within == "within").map_or(within, plain);
        notes.push(format!("within `{within}`"));
    }
    if let Some(undo) = &step.undo {
        notes.push(format!("undone by {}", undo.split(':').next().unwrap()));
    }
    let each = around.iter().filter(|s| s.kind == "for").count();
    if each > 0 {
        let together = around.iter().any(|s| s.at_once);
        notes.push(if together { "for each, at once" } else { "for each" }.into());
    }
    // Whoever follows the page must not do what belongs to another way through it.
    let only: Vec<&str> = around.iter().copied().chain([step]).filter_map(|s| s.only.as_deref()).collect();
    let only = if only.is_empty() { String::new() } else { format!("**Only {}.** ", only.join(", ")) };
    format!(
        "| {number} | {phase} | [{function}](by-hand.md#{anchor}) | {only}{} | {} |\n",
        step.manual.as_deref().unwrap_or("-"),
        notes.join(", ")
    )
}

fn generated(name: &str) -> String {
    let steps = steps(name);
    let mut text = picture(&steps);
    text.push_str("| | phase | function | by hand | |\n|---|---|---|---|---|\n");
    let mut around: Vec<&StepInfo> = Vec::new();
    let mut number = 0;
    for step in &steps {
        around.retain(|s| s.depth < step.depth);
        if step.function.is_some() {
            number += 1;
            text.push_str(&line(number, step, &around));
        }
        around.push(step);
    }
    text
}

#[test]
fn pages_show_the_steps_of_the_definitions() {
    for name in NAMES {
        let path = format!("docs/workflows/{name}.md");
        let page = read(&path);
        let (head, rest) =
            page.split_once(BEGIN).unwrap_or_else(|| panic!("{path} has no place for its steps"));
        let (_, tail) = rest.split_once(END).unwrap_or_else(|| panic!("{path}: the place has no end"));
        let wanted = format!("{head}{BEGIN}{}{END}{tail}", generated(name));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(root().join(&path), wanted).unwrap();
        } else {
            assert!(page == wanted, "{path} is not what the definition says; UPDATE_GOLDEN=1 rewrites it");
        }
    }
}

#[test]
fn every_function_of_a_workflow_can_be_done_by_hand() {
    let page = read("docs/workflows/by-hand.md");
    for name in NAMES {
        for function in steps(name).iter().filter_map(|s| s.function.as_deref()) {
            let heading = format!("\n## {}\n", function.split(':').next().unwrap());
            assert!(page.contains(&heading), "by-hand.md does not say how to do {function}");
        }
    }
}
