//! The seam to the disk: what a test may make fail.

use std::fs::File;
use std::io;
use std::path::Path;

/// The calls on which durability rests.
pub trait Disk: Send + Sync {
    /// Returns once everything written to `file` survives a loss of power.
    ///
    /// # Errors
    ///
    /// The data may be lost; asking again proves nothing, so the journal never does.
    fn sync_data(&self, file: &File) -> io::Result<()>;

    /// The bytes that an ordinary user can still write below `dir`.
    ///
    /// # Errors
    ///
    /// The file system does not say.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Makes the names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes `dir` with its parents; their names are durable afterwards.
pub(crate) fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_dir(parent)?;
    }
    match std::fs::create_dir(dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    sync_dir(parent.unwrap_or(Path::new(".")))
}
