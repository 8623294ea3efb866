//! Randomness, and the journal's names for streams.

use journal::{NewEntry, StreamId};
use runner_core::{Append, Ids, Now, Stream};
use schemas::{MessageId, RunId};
use uuid::Uuid;

/// Random ids.
pub(crate) struct RandomIds;

impl Ids for RandomIds {
    fn run(&mut self, now: Now) -> RunId {
        let millis = now.wall.timestamp_subsec_millis();
        let seconds = u64::try_from(now.wall.timestamp()).unwrap_or(0);
        let time = uuid::Timestamp::from_unix(uuid::NoContext, seconds, millis * 1_000_000);
        RunId(Uuid::new_v7(time))
    }

    fn message(&mut self) -> MessageId {
        MessageId(Uuid::new_v4())
    }
}

/// The stream's name in the journal.
pub(crate) fn stream_id(stream: &Stream) -> Result<StreamId, journal::BadStream> {
    match stream {
        Stream::Run(run) => StreamId::run(run),
        Stream::Group(group) => StreamId::group(group),
    }
}

/// The core's entry as the journal takes it.
pub(crate) fn new_entry(append: Append) -> Result<NewEntry, journal::BadStream> {
    Ok(NewEntry {
        stream: stream_id(&append.stream)?,
        seq: append.seq,
        at: append.at,
        kind: append.kind,
        body: append.body,
        link: append.link.as_ref().map(stream_id).transpose()?,
    })
}
