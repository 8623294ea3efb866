//! Generated and written files beside the types.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder `schemas/`.
pub(crate) fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares the file at `path` with `text`; with `UPDATE_GOLDEN=1` writes it.
pub(crate) fn golden(path: &str, text: &str) {
    let file = folder().join(path);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == text,
        "{path} is not what the types say; UPDATE_GOLDEN=1 cargo test -p schemas rewrites it"
    );
}

/// A JSON file of ours.
pub(crate) fn json(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The names of the files in `under` that end in `end`, without that end.
pub(crate) fn names(under: &str, end: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder().join(under)).unwrap();
    let files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(|p| p.is_file()).collect();
    files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap())
        .filter_map(|name| name.strip_suffix(end).map(str::to_owned))
        .collect()
}
