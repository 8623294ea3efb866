//! A journal whose runner does not run: exported and verified, also a damaged one.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use schemas::{Code, Problem};
use serde_json::json;

use crate::args::{Journal, JournalAsk};
use crate::exit::{Exit, Usage};
use crate::output::Output;

/// `journal`; 8 when `verify` finds a damage.
pub(crate) fn run(ask: &Journal, host: &Path, out: &Output) -> anyhow::Result<Exit> {
    match &ask.ask {
        JournalAsk::Export { to, journal } => export(&folder(journal.as_deref(), host)?, to.as_deref(), out),
        JournalAsk::Import { file, journal } => import(&folder(journal.as_deref(), host)?, file, out),
        JournalAsk::Verify { journal } => verify(&folder(journal.as_deref(), host)?, out),
    }
}

fn folder(said: Option<&Path>, host: &Path) -> anyhow::Result<PathBuf> {
    if let Some(said) = said {
        return Ok(said.to_owned());
    }
    let host = config::load_host(host)?;
    let runner =
        host.runner.ok_or_else(|| Usage("this host's file has no `runner`: use `--journal`".to_owned()))?;
    Ok(runner.journal)
}

fn open(folder: &Path) -> anyhow::Result<journal::ReadOnly> {
    journal::open_read_only(folder).map_err(|error| match &error {
        journal::OpenError::Locked { .. } => {
            let detail = format!("{}: a runner has it open", folder.display());
            Problem::new(Code::JournalLocked, detail).into()
        }
        _ => anyhow::Error::from(error).context(format!("could not open the journal {}", folder.display())),
    })
}

fn export(folder: &Path, to: Option<&Path>, out: &Output) -> anyhow::Result<Exit> {
    let journal = open(folder)?;
    match to {
        None => journal.export(BufWriter::new(std::io::stdout().lock()))?,
        Some(path) => {
            let context = || format!("could not write {}", path.display());
            let mut file = BufWriter::new(File::create_new(path).with_context(context)?);
            journal.export(&mut file).with_context(context)?;
            file.flush().and_then(|()| file.get_ref().sync_all()).with_context(context)?;
            out.line(format!("wrote {}", path.display()));
        }
    }
    Ok(Exit::Done)
}

fn import(folder: &Path, file: &Path, out: &Output) -> anyhow::Result<Exit> {
    let context = || format!("could not import {}", file.display());
    let opened = File::open(file).map_err(|error| Usage(error.to_string())).with_context(context)?;
    let imported = journal::import(folder, chrono::Utc::now(), BufReader::new(opened));
    let done = imported.map_err(anyhow::Error::from).map_err(|error| match error.downcast_ref() {
        Some(journal::ImportError::Open(_) | journal::ImportError::Store(_)) => error,
        _ => Usage(format!("{error:#}")).into(),
    });
    let done = done.with_context(context)?;
    out.value(&json!({ "journal": folder, "entries": done.entries, "contents": done.contents }));
    out.line(format!("{}: {} entries, {} contents", folder.display(), done.entries, done.contents));
    out.line("See that the runner that wrote it is stopped. Then: `pointsman runner --take-over`");
    Ok(Exit::Done)
}

fn verify(folder: &Path, out: &Output) -> anyhow::Result<Exit> {
    let verified = open(folder)?.verify()?;
    let damages: Vec<String> = verified.damages.iter().map(|found| format!("{found:?}")).collect();
    out.value(&json!({
        "streams": verified.streams, "entries": verified.entries, "contents": verified.contents, "damages": damages,
    }));
    out.line(format!(
        "{}: {} entries in {} streams, {} contents",
        folder.display(),
        verified.entries,
        verified.streams,
        verified.contents
    ));
    for damage in &damages {
        out.line(format!("  {} {damage}", out.warn("DAMAGED")));
    }
    if damages.is_empty() {
        out.line("  every chain is whole");
        Ok(Exit::Done)
    } else {
        Ok(Exit::NotNormal)
    }
}
