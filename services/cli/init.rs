//! Beginnings of the files.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use config::init::{self, HostKind};
use serde_json::json;

use crate::args::{Init, InitKind};
use crate::exit::{Exit, Usage};
use crate::output::Output;

/// `init`; 2 when one of the files is already there. Then the others are written all the same.
pub(crate) fn run(ask: &Init, out: &Output) -> anyhow::Result<Exit> {
    let kinds: Vec<HostKind> = if ask.kinds.is_empty() {
        vec![HostKind::Runner]
    } else {
        ask.kinds.iter().map(|kind| of(*kind)).collect()
    };
    let mut files = vec![("host.yaml", init::host(&kinds, ask.site.as_ref()))];
    if kinds.contains(&HostKind::Runner) {
        files.push(("defaults.yaml", init::defaults()));
        files.push(("groups/cfg.yaml", init::group()));
    }
    if ask.print {
        for (name, text) in &files {
            out.raw(&format!("# ---- {name}\n{text}\n"));
        }
        return Ok(Exit::Done);
    }
    let mut kept = Vec::new();
    let mut written = Vec::new();
    for (name, text) in &files {
        let path = ask.folder.join(name);
        if create(&path, text)? {
            out.line(format!("wrote {}", path.display()));
            written.push(path);
        } else {
            kept.push(path.display().to_string());
        }
    }
    out.value(&json!({ "written": written, "kept": kept }));
    if !kept.is_empty() {
        return Err(Usage(format!("already there, and left as it is: {}", kept.join(", "))).into());
    }
    out.line("Next: change the examples, then `pointsman config check`.");
    Ok(Exit::Done)
}

fn of(kind: InitKind) -> HostKind {
    match kind {
        InitKind::Database => HostKind::Database,
        InitKind::Process => HostKind::Process,
        InitKind::Dns => HostKind::Dns,
        InitKind::Client => HostKind::Client,
        InitKind::Runner => HostKind::Runner,
    }
}

/// Whether the file is new; one that exists is never touched.
fn create(path: &Path, text: &str) -> anyhow::Result<bool> {
    let context = || format!("could not write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(context)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes()).with_context(context)?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(context),
    }
}
