//! Which way a replication flows, in letters that every terminal has.

use schemas::view::ResourceView;
use schemas::{Half, ReplicationSeen, ReplicationState, Seen, SiteId};

/// What comes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// What is written at its source arrives.
    Current,
    /// It arrives, and is behind.
    Behind,
    /// It should come, and does not.
    Broken,
    /// It is kept until somebody reads it.
    Kept,
    /// Nothing is kept and nothing comes.
    Nothing,
}

/// A replication as its two ends see it, as far as they answer.
pub(super) struct Flow<'v> {
    source: Option<(&'v SiteId, &'v ReplicationSeen)>,
    receiver: Option<(&'v SiteId, &'v ReplicationSeen)>,
}

impl<'v> Flow<'v> {
    /// Of its halves; nothing where none of them is seen.
    pub(super) fn of(halves: impl IntoIterator<Item = &'v ResourceView>) -> Option<Flow<'v>> {
        let mut flow = Flow { source: None, receiver: None };
        for view in halves.into_iter().filter(|view| !view.silent) {
            if let Some(Seen::Replication(seen)) = view.observation.as_ref().map(|o| &o.seen) {
                let half = Some((&view.address.site, seen));
                match seen.half {
                    Half::Source => flow.source = half,
                    Half::Receiver => flow.receiver = half,
                }
            }
        }
        (flow.source.is_some() || flow.receiver.is_some()).then_some(flow)
    }

    /// Whether it leaves this site. The source is known by its own word, or by the receiver's: it is where that is not.
    pub(super) fn leaves(&self, site: &SiteId) -> bool {
        match (self.source, self.receiver) {
            (Some((source, _)), _) => source == site,
            (None, receiver) => receiver.is_some_and(|(receiver, _)| receiver != site),
        }
    }

    /// What its source says, if that answers.
    pub(super) fn source(&self) -> Option<&'v ReplicationSeen> {
        self.source.map(|(_, seen)| seen)
    }

    /// What its receiver says, if that answers.
    pub(super) fn receiver(&self) -> Option<&'v ReplicationSeen> {
        self.receiver.map(|(_, seen)| seen)
    }

    pub(super) fn stream(&self) -> Stream {
        let broken =
            [self.source(), self.receiver()].into_iter().flatten().any(|seen| seen.trouble.is_some());
        let kept = self.source().is_some_and(|seen| seen.state == ReplicationState::Capturing);
        match self.receiver().or(self.source()).map(|seen| seen.state) {
            Some(ReplicationState::Running | ReplicationState::Draining) if broken => Stream::Broken,
            Some(ReplicationState::Running) => Stream::Current,
            Some(ReplicationState::Draining) => Stream::Behind,
            _ if kept => Stream::Kept,
            _ => Stream::Nothing,
        }
    }

    /// `===>` what is written here arrives there; `--->` it arrives and is behind; `-x->` it should come and does not; `--|` it
    /// is kept until somebody reads it; a dot: nothing is kept and nothing comes. The other way round where it does not
    /// leave the `left` one.
    pub(super) fn arrow(&self, left: &SiteId) -> &'static str {
        match (self.stream(), self.leaves(left)) {
            (Stream::Current, true) => "===>",
            (Stream::Current, false) => "<===",
            (Stream::Behind, true) => "--->",
            (Stream::Behind, false) => "<---",
            (Stream::Broken, true) => "-x->",
            (Stream::Broken, false) => "<-x-",
            (Stream::Kept, true) => "--|",
            (Stream::Kept, false) => "|--",
            (Stream::Nothing, _) => ".",
        }
    }
}
