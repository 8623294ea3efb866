//! Checking definitions.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use document::{Diagnostics, MAX_BYTES};
use engine::Definition;
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
        match Definition::load(&read(path)?, &name, &engine::catalog::default()) {
            Ok(definition) => {
                let info = definition.info();
                out.line(format!(
                    "{name}: valid, {} {} with {} tasks",
                    info.name,
                    info.version,
                    definition.steps().len()
                ));
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
