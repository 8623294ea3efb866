//! Boots of a database's server, judged as its service does it (`services/responder/src/booted.rs`): it stays open on the
//! runner's word, or the other site's where no runner is heard; else it is closed, and opened again on the runner's yes.

use std::time::Duration;

use schemas::{
    Action, Address, Attempt, ConfirmRequest, Epoch, Frame, GroupId, Key, MessageId, Position, RunId, Verb,
};
use serde_json::json;
use service_core::{Ask, Input};
use uuid::Uuid;

use crate::event::{Event, RequestId};
use crate::ground::Point;
use crate::host::Asker;
use crate::runner::Life;
use crate::world::{HOP, World};

/// Between two looks at what is not judged yet.
const EVERY: Duration = Duration::from_millis(500);
/// Between two questions whether what was kept closed may open.
const AGAIN: Duration = Duration::from_secs(3);
/// A yes or no has so long to come.
const CONFIRM_WITHIN: Duration = Duration::from_millis(500);
/// The bound of the close and of the opening.
const ACT_WITHIN: Duration = Duration::from_secs(15);
/// Ids of these questions and acts are counted from here: no other ones are like them.
const FIRST: u128 = 1 << 120;

/// Where a database stands whose server was started anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Booted {
    /// Nobody has judged this life yet.
    Unjudged,
    /// Nobody confirmed it: it is being closed.
    Closing,
    /// It is closed, and is to open as soon as it may.
    Kept,
}

/// Who holds a database.
struct Holder {
    host: (String, u32),
    group: GroupId,
    epoch: Epoch,
    run: RunId,
}

impl World {
    /// A database's server is started anew: no session outlives it, and its service judges it.
    pub fn boot(&mut self, database: &Address) {
        self.note(|| format!("the server of {database} is started anew"));
        self.ground.statements.retain(|_, s| s.address != *database || s.at == Point::Effect);
        if self.booted.get(database) != Some(&Booted::Closing) {
            self.booted.insert(database.clone(), Booted::Unjudged);
        }
        self.push(Event::Judge(database.clone()), HOP);
    }

    pub(crate) fn judge_boot(&mut self, database: Address) {
        let Some(state) = self.booted.get(&database).copied() else { return };
        let next = match (state, self.ground.is_open(&database)) {
            (Booted::Unjudged, false) | (Booted::Kept, true) => {
                self.booted.remove(&database);
                return;
            }
            (Booted::Closing, false) => Booted::Kept,
            (state, _) => state,
        };
        self.booted.insert(database.clone(), next);
        self.ask_after_boot(&database, next);
        self.push(Event::Judge(database), if next == Booted::Kept { AGAIN } else { EVERY });
    }

    fn holder_of(&self, database: &Address) -> Option<Holder> {
        let host = self.hosts.get(database.site.as_str())?;
        let (epoch, run) = host.core.as_ref()?.holder(database)?;
        let group = host.resources.iter().find(|r| r.address == *database)?.group.clone()?;
        Some(Holder { host: host.this(), group, epoch, run })
    }

    fn next_boot_id(&mut self) -> Uuid {
        self.boots += 1;
        Uuid::from_u128(FIRST + u128::from(self.boots))
    }

    fn ask_after_boot(&mut self, database: &Address, state: Booted) {
        let Some(Holder { host, group, epoch, run }) = self.holder_of(database) else { return };
        let id = self.next_boot_id();
        let request = ConfirmRequest {
            address: database.clone(),
            group,
            key: Key { run, position: Position::boot(id) },
            attempt: Attempt::FIRST,
            epoch,
            nonce: MessageId(id),
        };
        let mut heard = false;
        for runner in 0..self.runners.len() {
            let event = Event::MayI { from: host.clone(), runner, request: request.clone() };
            if self.runners[runner].alive.is_some() && !self.is_cut(&event) {
                heard = true;
                self.boot_asked.insert(request.nonce, (database.clone(), self.now + CONFIRM_WITHIN));
                self.send(event);
            }
        }
        // Every opening needs the runner's yes: the other site's word would not do.
        if !heard && state != Booted::Kept {
            let yes = self.others_say(database, epoch);
            self.boot_judged(database, yes);
        }
    }

    /// Whether the same database at each other site that is heard is closed and holds no later epoch.
    fn others_say(&self, database: &Address, epoch: Epoch) -> bool {
        let cut = |host: &str| self.cut.contains(&(host.to_owned(), None));
        let mut heard = false;
        for host in self.hosts.values().filter(|host| host.name != database.site.as_str()) {
            let other = Address { site: crate::scene::site(&host.name), ..database.clone() };
            let there = host.resources.iter().any(|r| r.address == other);
            let Some(core) = host.core.as_ref().filter(|_| there && !cut(&host.name)) else { continue };
            if core.holder(&other).is_some_and(|(held, _)| held > epoch) || self.ground.is_open(&other) {
                return false;
            }
            heard = true;
        }
        heard && !cut(database.site.as_str())
    }

    /// Somebody said whether a database may stay open, or open again.
    pub(crate) fn boot_judged(&mut self, database: &Address, yes: bool) {
        match (self.booted.get(database).copied(), yes) {
            (Some(Booted::Unjudged | Booted::Closing), true) => {
                self.booted.remove(database);
            }
            (Some(Booted::Unjudged | Booted::Closing), false) => {
                self.booted.insert(database.clone(), Booted::Closing);
                self.act_after_boot(database, Action::DisableAccess);
            }
            (Some(Booted::Kept), true) => self.act_after_boot(database, Action::EnableAccess),
            (Some(Booted::Kept), false) | (None, _) => {}
        }
    }

    /// The service asks its own core, like any other.
    fn act_after_boot(&mut self, database: &Address, action: Action) {
        let Some(Holder { host, group, epoch, run }) = self.holder_of(database) else { return };
        let id = self.next_boot_id();
        let frame = Frame {
            id: MessageId(id),
            source: format!("/boot/{}", host.0),
            group,
            key: Key { run, position: Position::boot(id) },
            attempt: Attempt::FIRST,
            epoch,
            act_within: ACT_WITHIN,
            expires: self.wall() + ACT_WITHIN,
            traceparent: None,
        };
        let args = json!({ "resource": database.resource, "site": database.site });
        // Nobody's life: the answer is heard by nobody, and the next look tells.
        let life = Life { runner: 0, life: 0 };
        let address = database.clone();
        let asker = Asker { life, id: RequestId(0), address: address.clone(), verb: Verb::Act(action) };
        let Some(own) = self.hosts.get_mut(&host.0) else { return };
        let (ticket, nonce) = (own.ticket(asker), own.nonce());
        self.to_host(&host.0, Input::Asked { ticket, address, ask: Ask::Act { frame, action, args }, nonce });
    }
}
