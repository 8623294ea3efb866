//! The streams of one life, rebuilt from the medium's frames.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::medium::{Frame, Line};
use crate::entry::Head;
use crate::{Digest, StreamId};

/// A stream as replaying the frames gives it.
#[derive(Default)]
pub(super) struct Stream {
    pub(super) entries: Vec<(Digest, String)>,
    /// How many of them are durable.
    pub(super) durable: usize,
    pub(super) started: DateTime<Utc>,
    pub(super) last: DateTime<Utc>,
    pub(super) ended: bool,
}

impl Stream {
    pub(super) fn push(&mut self, line: &Line) {
        if self.entries.is_empty() {
            self.started = line.at;
        }
        self.last = line.at;
        self.entries.push((Digest::of(line.json.as_bytes()), line.json.clone()));
    }

    pub(super) fn head(&self, count: usize) -> Option<Head> {
        let (hash, _) = self.entries.get(count.checked_sub(1)?)?;
        Some(Head { seq: count as u64, hash: *hash })
    }

    pub(super) fn written(&self) -> Option<Head> {
        self.head(self.entries.len())
    }
}

pub(super) fn end(streams: &mut BTreeMap<StreamId, Stream>, frame: &Frame) {
    for stream in &frame.ended {
        if let Some(stream) = streams.get_mut(stream) {
            stream.ended = true;
        }
    }
}

pub(super) fn replay(streams: &mut BTreeMap<StreamId, Stream>, frame: &Frame) {
    for line in &frame.entries {
        let stream = streams.entry(line.stream.clone()).or_default();
        stream.push(line);
        stream.durable = stream.entries.len();
    }
    end(streams, frame);
}
