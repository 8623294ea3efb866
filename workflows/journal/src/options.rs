//! How a journal is opened, and how it ends the process.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::disk::{Disk, RealDisk};
use crate::entry::BadEntry;

/// What is called when the journal can no longer promise anything.
///
/// It should end the process. If it returns, the journal is closed: nothing more is written, and
/// no effect that waits is ever handed out.
pub type FailStopHook = Arc<dyn Fn(&FailStop) + Send + Sync>;

/// How to open a journal.
#[derive(Clone)]
pub struct Options {
    /// Bytes that are kept free for runs in flight: a file of this size is allocated, and given
    /// back to the file system when the disk fills up. 0: none. Default 64 MiB.
    pub reserve_bytes: u64,
    /// How many batches may wait; `submit` blocks beyond that. Default 1024.
    pub queue: usize,
    /// How many entries one commit may take from the queue. Default 512.
    pub group: usize,
    /// A commit that takes longer ends the process. Default 60 s.
    pub commit_within: Duration,
    /// What is called when the journal can no longer promise anything. Default: print and abort.
    pub fail_stop: FailStopHook,
    /// The disk. Another one than [`RealDisk`] is for tests.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            reserve_bytes: 64 << 20,
            queue: 1024,
            group: 512,
            commit_within: Duration::from_secs(60),
            fail_stop: Arc::new(|why| {
                eprintln!("the journal stops this process: {}", chain(why));
                std::process::abort();
            }),
            disk: Arc::new(RealDisk),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("reserve_bytes", &self.reserve_bytes)
            .field("queue", &self.queue)
            .field("group", &self.group)
            .finish_non_exhaustive()
    }
}

/// Why the journal can no longer promise anything. In each case nothing that waited for this
/// commit has left the process; what of it is on disk is seen at the next open.
#[derive(Debug, Error)]
pub enum FailStop {
    /// The caller's account of a stream and the journal's differ. Nothing was written.
    #[error("an entry cannot be written")]
    BadEntry(#[source] BadEntry),
    /// The disk is full, even without the reserve. Nothing was written.
    #[error("the disk is full: {free} bytes are free, {needed} are needed; make room and start again")]
    DiskFull {
        /// Bytes that are free.
        free: u64,
        /// Bytes that a commit may need.
        needed: u64,
    },
    /// A file beside the store could not be written.
    #[error("a body could not be written beside the store")]
    Beside(#[source] std::io::Error),
    /// An entry that the commit builds on could not be read back.
    #[error("an earlier entry could not be read")]
    Read(#[source] crate::error::ReadError),
    /// The store refused a write.
    #[error("the store failed")]
    Store(#[source] sled::Error),
    /// fdatasync failed. It is never asked again: the kernel may have dropped the pages.
    #[error("fdatasync failed")]
    Sync(#[source] std::io::Error),
    /// The writer panicked.
    #[error("the writer panicked: {0}")]
    Panic(String),
    /// A test ended the process here; only the twin in memory says this.
    #[error("the process was ended at write {write}")]
    Died {
        /// Which write of this life, from 1.
        write: u64,
    },
    /// A commit did not end within its bound.
    #[error("a commit has taken longer than {0:?}")]
    Stuck(Duration),
}

/// An error and its sources in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
