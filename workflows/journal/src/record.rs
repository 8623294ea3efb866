//! What the journal on disk and its twin in memory have in common.

use crate::beside::{GetError, PutError};
use crate::entry::{Batch, Head};
use crate::error::{Closed, ReadError};
use crate::read::Entries;
use crate::shared::{Listed, Which};
use crate::{Digest, StreamId};

/// A durable record: [`Journal`](crate::Journal) on disk, [`Memory`](crate::memory::Memory) in
/// tests and simulations. The methods are described at `Journal`.
#[expect(clippy::missing_errors_doc, reason = "described at Journal")]
pub trait Record<E>: Send + Sync {
    /// See [`Journal::submit`](crate::Journal::submit).
    fn submit(&self, batch: Batch<E>) -> Result<(), Closed>;
    /// See [`Journal::read`](crate::Journal::read).
    fn read(&self, stream: &StreamId, from_seq: u64) -> Result<Entries<'_>, ReadError>;
    /// See [`Journal::head`](crate::Journal::head).
    fn head(&self, stream: &StreamId) -> Option<Head>;
    /// See [`Journal::streams`](crate::Journal::streams).
    fn streams(&self, which: Which, limit: usize) -> Result<Vec<Listed>, ReadError>;
    /// See [`Journal::put`](crate::Journal::put).
    fn put(&self, bytes: &[u8]) -> Result<Digest, PutError>;
    /// See [`Journal::get`](crate::Journal::get).
    fn get(&self, digest: &Digest) -> Result<Vec<u8>, GetError>;
}
