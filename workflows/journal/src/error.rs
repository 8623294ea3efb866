//! Errors of opening, reading and submitting.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::StreamId;
use crate::beside::GetError;
use crate::entry::Damage;

/// The journal takes nothing any more: it was closed, or it stopped the process.
#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
#[error("the journal is closed")]
pub struct Closed;

/// A journal could not be opened. Nothing in it was changed, a snapshot moved aside apart.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "the journal in {dir} is in use{}: stop that runner first, or ask it over the bus", 
        .pid.map(|pid| format!(" by process {pid}")).unwrap_or_default()
    )]
    Locked {
        /// The journal's folder.
        dir: PathBuf,
        /// Who has it, as far as is known.
        pid: Option<u32>,
    },
    /// An entry that the next resume depends on is damaged. The crate's documentation says what to do.
    #[error(
        "entry {seq} of {stream} is damaged ({why}): no run is resumed from a broken record; \
         keep a copy of the folder, export what is readable, and take over with a new epoch"
    )]
    Broken {
        /// The stream.
        stream: StreamId,
        /// The first entry that is damaged.
        seq: u64,
        /// What is wrong with it.
        why: Damage,
    },
    /// The folder or a file in it could not be made, read or synced.
    #[error("{path} could not be used")]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The store could not be opened, even without its snapshot.
    #[error("the store in {path} could not be opened")]
    Store {
        /// The store's folder.
        path: PathBuf,
        /// Why.
        source: sled::Error,
    },
}

/// Entries could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There is no such stream, or none of its entries is durable yet.
    #[error("there is no stream {0}")]
    Unknown(StreamId),
    /// An entry is damaged.
    #[error("entry {seq} of {stream} is damaged: {why}")]
    Broken {
        /// The stream.
        stream: StreamId,
        /// The entry.
        seq: u64,
        /// What is wrong with it.
        why: Damage,
    },
    /// Content beside the store could not be read.
    #[error("content beside the store could not be read")]
    Content(#[source] GetError),
    /// The folder beside the store could not be listed.
    #[error("the folder beside the store could not be read")]
    Beside(#[source] io::Error),
    /// The store could not be read.
    #[error("the store could not be read")]
    Store(#[source] sled::Error),
}
