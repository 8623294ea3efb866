//! The brake of this host: a flag in its state folder. Before it is there, services change nothing.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context;
use chrono::Utc;
use serde_json::json;

use crate::args::Arm;
use crate::exit::Exit;
use crate::output::Output;
use crate::person;

/// `arm`; may be repeated. It is durable when it returns.
pub(crate) fn run(ask: &Arm, host: &Path, out: &Output) -> anyhow::Result<Exit> {
    let host = config::load_host(host)?;
    let flag = host.armed_flag();
    let changed = if ask.off { pull(&flag)? } else { let_go(&flag, &host.state, &person::here(&host.bus))? };
    let state = if ask.off { "The brake is on" } else { "The brake is off" };
    let how = if changed { "" } else { ", as before" };
    out.line(format!("{state}{how}: {}", flag.display()));
    out.value(&json!({ "armed": !ask.off, "changed": changed, "flag": flag }));
    Ok(Exit::Done)
}

fn let_go(flag: &Path, folder: &Path, by: &str) -> anyhow::Result<bool> {
    let context = || format!("could not write {}", flag.display());
    std::fs::create_dir_all(folder).with_context(context)?;
    match File::create_new(flag) {
        Ok(mut file) => {
            let line = json!({ "by": by, "at": Utc::now() });
            writeln!(file, "{line}").and_then(|()| file.sync_all()).with_context(context)?;
            sync(folder).with_context(context)?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(context),
    }
}

fn pull(flag: &Path) -> anyhow::Result<bool> {
    let context = || format!("could not remove {}", flag.display());
    match std::fs::remove_file(flag) {
        Ok(()) => {
            flag.parent().map_or(Ok(()), sync).with_context(context)?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(context),
    }
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
