//! Checking definitions.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use document::{Diagnostics, Document, MAX_BYTES};
use engine::{Definition, FunctionFile};
use serde_json::json;

use crate::args::Validate;
use crate::exit::{Exit, Usage};
use crate::files;
use crate::output::Output;

/// `validate`; 2 when a file is not valid.
pub(crate) fn run(ask: &Validate, out: &Output) -> anyhow::Result<Exit> {
    let mut found = Diagnostics::default();
    let mut valid = Vec::new();
    for path in &ask.files {
        let name = path.display().to_string();
        match check(&read(path)?, path, &name) {
            Ok(what) => {
                out.line(format!("{name}: valid, {what}"));
                valid.push(name);
            }
            Err(wrong) => found.append(wrong),
        }
    }
    if found.is_empty() {
        out.value(&json!({ "valid": valid }));
        return Ok(Exit::Done);
    }
    if out.json() {
        out.value(&json!({ "valid": valid, "errors": files::as_json(&found) }));
    } else {
        out.diagnostics(&found);
    }
    Ok(Exit::Usage)
}

/// A definition, or a function of a catalog: a task without a head. Says which it is.
fn check(text: &str, path: &Path, name: &str) -> Result<String, Diagnostics> {
    let catalog = engine::catalog::default();
    if is_function(text, name) {
        // `site.open.yaml` is called `site.open`.
        let called = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let FunctionFile { effect, tasks, takes } = FunctionFile::load(text, name, called, &catalog)?;
        let takes = if takes.is_empty() { "no arguments".to_owned() } else { takes.join(", ") };
        return Ok(format!("{called}, a function that {effect}, with {tasks} tasks; it takes {takes}"));
    }
    let definition = Definition::load(text, name, &catalog)?;
    let info = definition.info();
    Ok(format!("{} {} with {} tasks", info.name, info.version, definition.steps().len()))
}

/// Whether nothing of it belongs to a definition alone.
fn is_function(text: &str, name: &str) -> bool {
    let Ok(document) = Document::parse(text, name) else { return false };
    let keys = document.root().entries();
    let of_definitions = ["document", "use", "schedule", "evaluate"];
    !keys.is_empty() && !keys.iter().any(|(key, _)| of_definitions.contains(&key.name.as_str()))
}

/// A file as text; what is too large is cut where the reader refuses it.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes))
        .map_err(|error| Usage(format!("could not read {}: {error}", path.display())))?;
    String::from_utf8(bytes)
        .map_err(|_| Usage("it is not text in UTF-8".to_owned()))
        .with_context(|| format!("could not read {}", path.display()))
}
