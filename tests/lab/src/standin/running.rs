//! Starts a stand-in for a test, and asks one from blocking code.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};

use crate::folder::Folder;
use crate::process::{Process, Program};

/// A running stand-in. Dropping it ends it.
#[derive(Debug)]
pub struct StandIn {
    process: Process,
    folder: Folder,
}

impl StandIn {
    /// Starts `lab-standin` with these words; says nothing yet about whether it is ready.
    ///
    /// # Errors
    ///
    /// When the program is not built.
    pub fn start(words: &[&str]) -> anyhow::Result<Self> {
        let folder = Folder::new("standin")?;
        let program = Program {
            path: program()?,
            args: words.iter().map(|word| (*word).to_owned()).collect(),
            env: Vec::new(),
            folder: folder.path().into(),
            log: folder.join("log"),
            account: None,
        };
        Ok(Self { process: Process::start(&program)?, folder })
    }

    /// Its process, to kill or freeze it.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// A path in its own folder.
    #[must_use]
    pub fn join(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Where `lab-standin` is: beside the program that runs, or one folder above a test's.
///
/// # Errors
///
/// When it is in neither place: `cargo build -p lab` makes it.
pub fn program() -> anyhow::Result<PathBuf> {
    let here = std::env::current_exe()?;
    here.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("lab-standin"))
        .find(|path| path.is_file())
        .context("no program `lab-standin`: cargo build -p lab")
}

/// Asks one line on a connection of its own; resets and silence are errors alike.
///
/// # Errors
///
/// When no whole line comes within `wait`.
pub fn ask(at: SocketAddr, line: &str, wait: Duration) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&at, wait)?;
    stream.set_read_timeout(Some(wait))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    BufReader::new(stream).take(1 << 20).read_line(&mut answer)?;
    match answer.strip_suffix('\n') {
        Some(answer) => Ok(answer.into()),
        None => bail!("no answer to {line}"),
    }
}
