//! Room on the disk.
//!
//! A full disk in the middle of a failover is a classic. A file of `reserve_bytes` is allocated
//! when the journal is opened. When a commit finds too little room, the file is removed and the
//! runs in flight go on in its place; [`Space::low`] then tells the caller to start no new run.
//! When even that is used up, the process is stopped before the commit touches the store, so
//! nothing is half written. The file comes back when there is room for it twice.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::Mutex;

use crate::disk::{Disk, sync_dir};
use crate::options::FailStop;

/// What the store may need at once: a few of its segments.
pub(crate) const FLOOR: u64 = 4 << 20;

/// How much room there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that can still be written, the reserve not counted.
    pub free_bytes: u64,
    /// Bytes that the reserve holds now.
    pub reserve_bytes: u64,
    /// Whether no new run should start: the reserve is in use, or there is not even the little
    /// that one commit needs.
    pub low: bool,
}

pub(crate) struct Reserve {
    dir: PathBuf,
    wanted: u64,
    disk: Arc<dyn Disk>,
    held: Mutex<u64>,
}

impl Reserve {
    pub(crate) fn open(dir: &Path, wanted: u64, disk: Arc<dyn Disk>) -> Self {
        let reserve = Self { dir: dir.to_owned(), wanted, disk, held: Mutex::new(0) };
        let mut held = reserve.held();
        if let Ok(file) = fs::metadata(reserve.path()) {
            *held = file.len();
        }
        if *held > wanted {
            reserve.release(&mut held);
        }
        reserve.take(&mut held);
        drop(held);
        reserve
    }

    fn path(&self) -> PathBuf {
        self.dir.join("reserve")
    }

    fn held(&self) -> std::sync::MutexGuard<'_, u64> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Allocates the file if it is not there and there is room for it twice.
    fn take(&self, held: &mut u64) {
        if self.wanted == *held {
            return;
        }
        let room = self.disk.free_bytes(&self.dir).unwrap_or(0);
        if room < self.wanted.saturating_sub(*held).saturating_mul(2).saturating_add(FLOOR) {
            return;
        }
        match allocate(&self.path(), self.wanted).and_then(|()| sync_dir(&self.dir)) {
            Ok(()) => *held = self.wanted,
            Err(e) => {
                tracing::warn!(error = %e, "no reserve could be kept on the journal's disk");
                drop(fs::remove_file(self.path()));
                *held = 0;
            }
        }
    }

    fn release(&self, held: &mut u64) {
        // The sync makes the file system give the blocks back now.
        match fs::remove_file(self.path()).and_then(|()| sync_dir(&self.dir)) {
            Ok(()) => *held = 0,
            Err(e) => tracing::warn!(error = %e, "the reserve on the journal's disk could not be released"),
        }
    }

    /// Makes sure that a commit of about `bytes` fits; releases the reserve if it must.
    pub(crate) fn ensure(&self, bytes: u64) -> Result<(), FailStop> {
        let needed = FLOOR.saturating_add(bytes);
        // A file system that does not say is no reason to stop.
        let free = || self.disk.free_bytes(&self.dir).unwrap_or(u64::MAX);
        if free() >= needed {
            return Ok(());
        }
        let mut held = self.held();
        if *held > 0 {
            tracing::warn!(
                reserve = *held,
                "the journal's disk is full: its reserve is given to the runs in flight"
            );
            self.release(&mut held);
        }
        match free() {
            free if free >= needed => Ok(()),
            free => Err(FailStop::DiskFull { free, needed }),
        }
    }

    /// Looks at the disk, and takes the reserve back if there is room for it.
    pub(crate) fn space(&self) -> io::Result<Space> {
        let mut held = self.held();
        self.take(&mut held);
        let free_bytes = self.disk.free_bytes(&self.dir)?;
        Ok(Space { free_bytes, reserve_bytes: *held, low: *held < self.wanted || free_bytes < FLOOR })
    }
}

fn allocate(path: &Path, bytes: u64) -> io::Result<()> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes)?;
    file.sync_all()
}
