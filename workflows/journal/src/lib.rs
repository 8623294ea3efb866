//! The durable record: sled, one writer, hash chains.
mod audit;
mod beside;
mod cursor;
mod digest;
mod disk;
mod durable;
mod entry;
mod error;
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
pub use import::{ImportError, Imported, import};
pub use journal::{Journal, Opened, Recovered, open};
pub use options::{FailStop, FailStopHook, Options};
pub use read::Entries;
pub use readonly::{ReadOnly, open_read_only, open_read_only_in};
pub use record::Record;
pub use reserve::Space;
pub use shared::{Listed, Which};
pub use stream::{BadStream, STREAM_MAX, StreamId, StreamKind};
