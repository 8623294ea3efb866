//! What a person types at a terminal.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::pointsman::Pointsman;

impl Pointsman {
    /// Runs it at a terminal, which `script` (util-linux) makes, and types `typed` and Enter there. No word may
    /// hold a quote.
    ///
    /// # Errors
    ///
    /// When it does not exit with 0; the message has what it said.
    pub fn typed(&self, host_file: &Path, words: &[&str], typed: &str) -> anyhow::Result<String> {
        let quoted: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let line =
            format!("'{}' --config '{}' {}", self.path.display(), host_file.display(), quoted.join(" "));
        let mut typing = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start `script` of util-linux")?;
        let mut keyboard = typing.stdin.take().context("no standard input")?;
        keyboard.write_all(format!("{typed}\n").as_bytes())?;
        drop(keyboard);
        let done = typing.wait_with_output()?;
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        if !done.status.success() {
            bail!("pointsman {}: {said}", words.join(" "));
        }
        Ok(said)
    }
}
