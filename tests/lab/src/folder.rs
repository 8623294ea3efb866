//! One temporary folder a fixture, with the owner's process id in its name.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use tempfile::TempDir;

const PREFIX: &str = "pointsman-lab-";
/// Younger folders are left alone: their owner may live in another process namespace.
const LEFTOVER_AFTER: Duration = Duration::from_secs(600);

/// A folder that is removed with all it holds when this is dropped.
#[derive(Debug)]
pub struct Folder(TempDir);

impl Folder {
    /// Makes an empty folder that other users may enter, but not list or change.
    ///
    /// The first call of a process removes folders of processes that were killed.
    ///
    /// # Errors
    ///
    /// When the temporary folder of the machine cannot be written.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(remove_leftovers);
        let dir = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-{name}-", std::process::id()))
            .tempdir()
            .context("make a temporary folder")?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))?;
        Ok(Self(dir))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A path in it.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.path().join(name)
    }
}

fn remove_leftovers() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse::<u32>().ok());
        let age = entry
            .metadata()
            .and_then(|meta| meta.modified())
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        if let (Some(owner), Some(age)) = (owner, age)
            && age > LEFTOVER_AFTER
            && !Path::new(&format!("/proc/{owner}")).exists()
        {
            // Best effort: another process may be removing it too.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
