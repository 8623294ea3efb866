//! How far each stream was published to others. Written with the next commit, so it costs no sync and may be
//! behind after a crash: what is published again keeps its id.

use crate::StreamId;
use crate::error::ReadError;
use crate::journal::Journal;

impl<E> Journal<E> {
    /// Remembers that a stream is published up to `seq`. Lazily durable: it goes with the next commit.
    pub fn published(&self, stream: &StreamId, seq: u64) {
        self.shared.cursors().insert(stream.clone(), seq);
    }

    /// The streams with durable entries that were not published, and up to which number they were.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn unpublished(&self) -> Result<Vec<(StreamId, u64)>, ReadError> {
        let mut found = self.shared.store.cursors().map_err(ReadError::Store)?;
        found.retain(|(stream, seq)| self.head(stream).is_some_and(|head| head.seq > *seq));
        Ok(found)
    }

    /// The number of a group's latest checkpoint entry; reading may start there.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn checkpoint(&self, stream: &StreamId) -> Result<Option<u64>, ReadError> {
        self.shared.store.checkpoint(stream).map_err(ReadError::Store)
    }
}
