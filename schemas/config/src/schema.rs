//! A JSON Schema for each file, for editors and for whoever writes the files by program.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use crate::file::{DefaultsFile, GroupFile};
use crate::host::HostFile;

/// The files that have a schema: `group`, `defaults`, `host`.
pub const FILES: &[&str] = &["group", "defaults", "host"];

/// The JSON Schema (draft 2020-12) of one of [`FILES`]; `None` for another name.
pub fn json_schema(file: &str) -> Option<Value> {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let schema = match file {
        "group" => generator.into_root_schema_for::<GroupFile>(),
        "defaults" => generator.into_root_schema_for::<DefaultsFile>(),
        "host" => generator.into_root_schema_for::<HostFile>(),
        _ => return None,
    };
    Some(schema.to_value())
}
