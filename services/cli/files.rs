//! Errors in files, with the lines around them.

use std::collections::BTreeMap;

use document::{Diagnostic, Diagnostics};
use serde_json::{Value, json};

/// As a compiler shows them; files that cannot be read again are named only.
pub(crate) fn rendered(found: &Diagnostics) -> String {
    let mut sources: BTreeMap<&str, String> = BTreeMap::new();
    for diagnostic in &found.0 {
        sources
            .entry(&diagnostic.path)
            .or_insert_with(|| std::fs::read_to_string(&diagnostic.path).unwrap_or_default());
    }
    let parts: Vec<String> = found.0.iter().map(|d| d.render(&sources[d.path.as_str()])).collect();
    let count = match found.0.len() {
        1 => "1 error".to_owned(),
        n => format!("{n} errors"),
    };
    format!("{}\n\n{count}", parts.join("\n\n"))
}

/// For programs.
pub(crate) fn as_json(found: &Diagnostics) -> Vec<Value> {
    let one = |d: &Diagnostic| {
        json!({
            "path": d.path, "code": d.code, "message": d.message, "help": d.help,
            "line": d.place.as_ref().map(|place| place.line),
            "column": d.place.as_ref().map(|place| place.column),
        })
    };
    found.0.iter().map(one).collect()
}
