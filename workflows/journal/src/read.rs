//! Reading a stream: checksum and chain are verified as it goes.

use crate::beside::Beside;
use crate::entry::{self, Damage, Entry, Head};
use crate::error::ReadError;
use crate::store::Store;
use crate::{Digest, StreamId};

/// Entries in order, each verified. Ends after the last one, or after the first error.
pub type Entries<'a> = Box<dyn Iterator<Item = Result<Entry, ReadError>> + Send + 'a>;

/// Reads the entries `from..=upto` of a stream.
///
/// The first one's `prev` is compared with the stored hash of the entry before it, if `from` is
/// not 1 and `anchored`; the entries before it are not read otherwise.
pub(crate) fn entries<'a>(
    store: &'a Store,
    beside: &'a Beside,
    stream: &StreamId,
    from: u64,
    upto: Head,
    anchored: bool,
) -> Entries<'a> {
    let stream = stream.clone();
    let from = from.max(1);
    let mut next = Some(from);
    let mut prev = (from == 1).then_some(Digest::ZERO);
    Box::new(std::iter::from_fn(move || {
        let seq = next.filter(|seq| *seq <= upto.seq)?;
        next = None;
        let mut read = || {
            if prev.is_none() && anchored {
                prev = Some(raw(store, &stream, seq - 1)?.0);
            }
            let entry = one(store, beside, &stream, seq)?;
            let chained = prev.is_none_or(|prev| prev == entry.prev);
            let ends = seq != upto.seq || entry.hash == upto.hash;
            if !chained || !ends {
                return Err(ReadError::Broken { stream: stream.clone(), seq, why: Damage::Chain });
            }
            prev = Some(entry.hash);
            Ok(entry)
        };
        let entry = read();
        if entry.is_ok() {
            next = seq.checked_add(1);
        }
        Some(entry)
    }))
}

/// The stored bytes of one entry, and their hash.
pub(crate) fn raw(store: &Store, stream: &StreamId, seq: u64) -> Result<(Digest, sled::IVec), ReadError> {
    let broken = |why| ReadError::Broken { stream: stream.clone(), seq, why };
    store.entry(stream, seq).map_err(ReadError::Store)?.map_err(broken)
}

/// One entry, resolved; its chain is not looked at.
pub(crate) fn one(store: &Store, beside: &Beside, stream: &StreamId, seq: u64) -> Result<Entry, ReadError> {
    let (hash, json) = raw(store, stream, seq)?;
    let fetch =
        |digest| beside.get(&digest).map_err(|e| Damage::Beside { digest, why: crate::options::chain(&e) });
    entry::decode(&json, hash, stream, seq, fetch).map_err(|why| ReadError::Broken {
        stream: stream.clone(),
        seq,
        why,
    })
}

/// The last entry that is stored for a stream.
pub(crate) fn stored_head(store: &Store, stream: &StreamId) -> Result<Option<Head>, ReadError> {
    let Some(seq) = store.last_seq(stream).map_err(ReadError::Store)? else { return Ok(None) };
    Ok(Some(Head { seq, hash: raw(store, stream, seq)?.0 }))
}
