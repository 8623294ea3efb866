//! The durable record: sled, one writer, hash chains.
//!
//! **Disk first, then the world.** A caller submits entries together with effects (what may happen
//! because of them). The writer makes the entries durable and then hands the effects out as
//! [`Durable`] values, in order. Only this crate makes a `Durable`, so whoever sends takes one as
//! an argument and cannot be early.
//!
//! **Durable means that fdatasync returned.** sled's `flush` does not sync on Linux, so the writer
//! keeps its own handle on the store's file: a commit is one sled batch, one flush, one fdatasync.
//! What waits in the queue meanwhile goes into the next commit together. sled is pinned to 0.34.7
//! and seen by one file, `store.rs`. Values stay below 4 KiB, because sled writes large ones to
//! files that it never syncs; a longer body lies beside the store, under its digest, fsynced
//! before the commit that names it.
//!
//! **An entry is bytes.** Stored is the JSON `{v, stream, seq, at, prev, kind, …}`, preceded by
//! its SHA-256; `prev` is that of the entry before. The bytes are never serialised again. Reading
//! verifies checksum and chain; entries that are not durable yet are not shown to anybody.
//!
//! **Fail-stop.** A failed sync, a panic, a full disk, a commit that hangs, or an entry that does
//! not follow the one before it ends the process through [`Options::fail_stop`]. No effect of that
//! commit is handed out. A sync is never asked again: the kernel may have dropped the pages. The
//! next open shows what is there.
//!
//! # The folder
//!
//! | path | what |
//! |---|---|
//! | `lock` | held by the one process that has the journal open; has its number |
//! | `store/` | sled's files |
//! | `beside/` | long bodies and other contents, named by their SHA-256 |
//! | `reserve` | room for runs in flight when the disk is full ([`Space`]) |
//!
//! The store never shrinks. [`Journal::store_bytes`] says how large it is; to begin anew, export
//! it and import what is wanted into a new folder while no run is in flight.
//!
//! # At open
//!
//! Unfinished runs are verified from their first entry, groups from their latest entry of the kind
//! [`CHECKPOINT`]. Finished runs are found by an index and verified when they are read, exported
//! or by [`Journal::verify`]. A damaged snapshot of sled is moved aside and rebuilt from the log;
//! nothing is lost by that, and [`Opened::recovered`] says so.
//!
//! # When the record is broken
//!
//! [`OpenError::Broken`] names the first damaged entry of a run or group that a resume would
//! depend on. No run is resumed from it: what was asked of the world is not known. What to do:
//!
//! 1. Let nothing start the runner again, and make a copy of the whole folder. It is the evidence,
//!    and what follows reads it only.
//! 2. Look for the cause first: `dmesg`, the disk's own report, a file system that was full or
//!    was restored from a backup.
//! 3. `pointsman journal verify` ([`open_read_only`], [`ReadOnly::verify`]) lists all damage;
//!    `pointsman journal export` writes everything readable and says in place what is not. Both
//!    work on a copy of the store that they remove.
//! 4. If the damaged entry is in a run or group that no longer matters, cut the damaged stream's
//!    lines from the export, from the damaged entry on, correct the counts in the `end` line, and
//!    [`import`] it into a new folder. Otherwise begin with an empty folder.
//! 5. Start the runner there with `--take-over`. A journal that was imported ([`Opened::imported`])
//!    or is new never resumes in an old epoch: the new epoch fences whatever the old runs still
//!    have under way, and what the services have seen is asked of them.
//!
//! If the store itself cannot be opened ([`OpenError::Store`]) even without its snapshot, only step
//! 1, 2 and 5 are left, with the last export.
//!
//! # Example
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! use journal::{Batch, Durable, NewEntry, Options, StreamId};
//!
//! let (sender, received) = std::sync::mpsc::channel();
//! let sink = move |effects: Durable<Vec<&'static str>>| sender.send(effects).expect("it is received");
//! let options = Options { reserve_bytes: 0, ..Options::default() };
//! let (journal, opened) = journal::open(dir.path(), options, sink)?;
//! assert!(opened.unfinished.is_empty());
//!
//! let stream = StreamId::run("0192f0c1-7d1e-7000-8000-000000000001")?;
//! let at = chrono::DateTime::UNIX_EPOCH;
//! let entry = NewEntry { stream, seq: 1, at, kind: "started".into(), body: Default::default(), link: None };
//! journal.submit(Batch { entries: vec![entry], effects: vec!["request 1"], ended: vec![] })?;
//!
//! for effect in received.recv()?.each() {
//!     assert_eq!(*effect.get(), "request 1"); // It may be sent: the entry is on disk.
//! }
//! journal.close();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audit;
mod beside;
mod cursor;
mod digest;
mod disk;
mod durable;
mod entry;
mod error;
mod excerpt;
mod import;
mod journal;
pub mod memory;
mod options;
mod read;
mod readonly;
mod record;
mod reserve;
mod shared;
mod store;
mod stream;
mod writer;

pub use audit::{ExportError, Found, Verified};
pub use beside::{GetError, PUT_MAX, PutError};
pub use digest::{BadDigest, Digest};
pub use disk::{Disk, RealDisk};
pub use durable::Durable;
pub use entry::{
    BODY_MAX, BadEntry, Batch, CHECKPOINT, DEPTH_MAX, Damage, Entry, Head, KIND_MAX, Link, NewEntry,
    RESERVED, STORED_MAX, VERSION,
};
pub use error::{Closed, OpenError, ReadError};
pub use excerpt::{Excerpt, ExcerptError, Lines};
pub use import::{ImportError, Imported, import};
pub use journal::{Journal, Opened, Recovered, open};
pub use options::{FailStop, FailStopHook, Options};
pub use read::Entries;
pub use readonly::{ReadOnly, open_read_only, open_read_only_in};
pub use record::Record;
pub use reserve::Space;
pub use shared::{Listed, Which};
pub use stream::{BadStream, STREAM_MAX, StreamId, StreamKind};
