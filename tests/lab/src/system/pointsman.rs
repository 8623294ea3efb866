//! The program itself, used as its users do.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail};
use serde::de::DeserializeOwned;

/// Exit codes of looks that are no failure: done, needs a person, faulted, cancelled, not normal.
const LOOKED: [i32; 5] = [0, 4, 5, 6, 8];

/// Where `pointsman` is.
#[derive(Debug, Clone)]
pub struct Pointsman {
    /// The program.
    pub path: PathBuf,
}

impl Pointsman {
    /// What `POINTSMAN_BIN` names, else the program beside this one, else that of the workspace.
    ///
    /// # Errors
    ///
    /// When it is not built.
    pub fn find() -> anyhow::Result<Self> {
        if let Some(path) = std::env::var_os("POINTSMAN_BIN") {
            let path = PathBuf::from(path);
            let path = path.canonicalize().with_context(|| format!("POINTSMAN_BIN: {}", path.display()))?;
            return Ok(Self { path });
        }
        let here = std::env::current_exe()?;
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target");
        here.ancestors()
            .skip(1)
            .take(2)
            .map(Path::to_path_buf)
            .chain([target.join("debug"), target.join("release")])
            .map(|folder| folder.join("pointsman"))
            .find(|path| path.is_file())
            .and_then(|path| path.canonicalize().ok())
            .map(|path| Self { path })
            .context("no program `pointsman`: cargo build -p pointsman, or set POINTSMAN_BIN")
    }

    /// Runs it with a host's file; answers what it printed.
    ///
    /// # Errors
    ///
    /// When it does not exit with 0; the message has what it said.
    pub fn text(&self, host_file: &Path, words: &[&str]) -> anyhow::Result<String> {
        let done = self.run(host_file, words)?;
        if !done.status.success() {
            bail!("pointsman {}: {}{}", words.join(" "), text(&done.stdout), text(&done.stderr));
        }
        Ok(text(&done.stdout))
    }

    /// Runs a look with `--output json`; answers what it printed.
    ///
    /// # Errors
    ///
    /// When nobody answers, or something else than a `T`.
    pub fn look<T: DeserializeOwned>(&self, host_file: &Path, words: &[&str]) -> anyhow::Result<T> {
        let mut words = words.to_vec();
        words.extend(["--output", "json"]);
        let done = self.run(host_file, &words)?;
        if !done.status.code().is_some_and(|code| LOOKED.contains(&code)) {
            bail!("pointsman {}: {}{}", words.join(" "), text(&done.stdout), text(&done.stderr));
        }
        serde_json::from_slice(&done.stdout)
            .with_context(|| format!("pointsman {} printed {}", words.join(" "), text(&done.stdout)))
    }

    fn run(&self, host_file: &Path, words: &[&str]) -> anyhow::Result<Output> {
        Command::new(&self.path)
            .arg("--config")
            .arg(host_file)
            .args(words)
            .output()
            .with_context(|| format!("start {}", self.path.display()))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end().to_owned()
}
