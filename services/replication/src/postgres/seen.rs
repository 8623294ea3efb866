//! What a half looks like now.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use postgres::{Lsn, PgError, Session};
use schemas::{CopyProgress, Half, ReplicationSeen, ReplicationState};
use serde::Deserialize;
use serde_json::{Value, json};

/// The source's half: its slot, who reads it, and what would spoil it.
#[derive(Debug, Deserialize)]
pub(super) struct Source {
    pub(super) exists: bool,
    pub(super) plugin: Option<String>,
    pub(super) active: bool,
    pub(super) active_pid: Option<i32>,
    pub(super) wal_status: Option<String>,
    pub(super) confirmed: Option<Lsn>,
    /// The end of the log.
    #[serde(default)]
    pub(super) at: Option<Lsn>,
    undelivered: Option<i64>,
    retained: Option<i64>,
    /// Its position is beyond the log's end: the server was rebuilt under it.
    pub(super) ahead: bool,
    pub(super) receiver: Option<Walsender>,
    pub(super) publication: bool,
    pub(super) all_tables: bool,
    truncate: bool,
    sentinel: bool,
    pub(super) ours: u64,
    unfiltered: u64,
    no_identity: Option<Vec<String>>,
    pub(super) foreign: Option<BTreeMap<String, Foreign>>,
    keep: String,
    safe_wal_size: Option<i64>,
}

/// The session that reads a slot.
#[derive(Debug, Deserialize)]
pub(super) struct Walsender {
    pub(super) state: Option<String>,
    replay_lag: Option<f64>,
    pub(super) heard_ago: Option<f64>,
}

/// A subscription of the same database: what it applies is captured too.
#[derive(Debug, Deserialize)]
pub(super) struct Foreign {
    enabled: bool,
    worker: bool,
    /// Our own position of the last that it applied; unknown after a restart.
    applied_at: Option<Lsn>,
    /// Whether it ever applied anything.
    position: Option<Lsn>,
    /// Our own position when it was stopped by an act.
    stopped_at: Option<Lsn>,
}

/// Whether a slot keeps only what was written here.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Purity {
    /// Nothing that came from the other site would be sent back.
    Own,
    /// Rows that came by this subscription would be.
    Foreign(String),
    /// Nobody noted where this subscription stopped.
    Unknown(String),
}

/// A sentinel that is stamped regularly is never older than this.
const FRESH: f64 = 30.0;

impl Source {
    pub(super) async fn see(session: &Session, slot: &str, publication: &str) -> Result<Self, PgError> {
        session.json("SELECT pointsman.seen_source($1, $2)", &[&slot, &publication]).await
    }

    /// Whether the slot, if there is one, can be read from: made to its end, not lost, not of another life
    /// of the server.
    pub(super) fn usable(&self) -> bool {
        self.confirmed.is_some()
            && self.wal_status.as_deref().is_some_and(|status| status != "lost")
            && !self.ahead
    }

    /// Whether what the slot keeps is our own (with row filters on every table it always is).
    pub(super) fn purity(&self) -> Purity {
        if self.unfiltered == 0 && self.publication {
            return Purity::Own;
        }
        let from = self.confirmed.unwrap_or(Lsn(0));
        for (name, foreign) in self.foreign.iter().flatten() {
            if foreign.enabled || foreign.worker {
                return Purity::Foreign(name.clone());
            }
            match (foreign.applied_at.or(foreign.stopped_at), foreign.position) {
                (Some(at), _) if at > from => return Purity::Foreign(name.clone()),
                (None, Some(_)) => return Purity::Unknown(name.clone()),
                (Some(_), _) | (None, None) => {}
            }
        }
        Purity::Own
    }

    /// A subscription that applies to this database now.
    pub(super) fn applying(&self) -> Option<&str> {
        let mut all = self.foreign.iter().flatten();
        all.find(|(_, foreign)| foreign.enabled || foreign.worker).map(|(name, _)| name.as_str())
    }

    /// What would keep the publication from doing its work.
    pub(super) fn publication_problems(&self, name: &str) -> Vec<String> {
        let mut problems = Vec::new();
        let mut say = |wrong: bool, text: String| {
            if wrong {
                problems.push(text);
            }
        };
        say(!self.publication, format!("publication {name} is missing"));
        say(
            self.all_tables,
            format!("publication {name} is FOR ALL TABLES: it would replicate Pointsman's own"),
        );
        say(!self.all_tables && self.ours > 0, format!("publication {name} has tables of Pointsman's own"));
        problems
    }

    pub(super) fn told(&self, slot: &str) -> ReplicationSeen {
        let state = match (self.exists, self.active) {
            (false, _) => ReplicationState::Stopped,
            (true, false) => ReplicationState::Capturing,
            (true, true) => ReplicationState::Running,
        };
        let mut trouble = self.publication_problems("of this slot");
        let mut say = |wrong: bool, text: String| {
            if wrong {
                trouble.push(text);
            }
        };
        // First of all: a lost slot still says how much is undelivered, and looks well.
        let status = self.wal_status.as_deref().unwrap_or_default();
        say(status == "lost", format!("slot {slot} is lost: its log was removed, only a copy helps"));
        say(status == "unreserved", format!("slot {slot} loses its log at the next checkpoint"));
        say(self.ahead, format!("slot {slot} is beyond the end of the log: the server was rebuilt"));
        say(self.truncate, "the publication sends TRUNCATE: two-way it goes round for ever".into());
        say(self.publication && !self.sentinel, "the publication does not have pointsman.sentinel".into());
        if let Some(tables) = &self.no_identity {
            say(true, format!("tables without replica identity: updates fail ({})", tables.join(", ")));
        }
        if self.exists && !self.active {
            match self.purity() {
                Purity::Own => {}
                Purity::Foreign(name) => say(true, foreign(slot, "keeps", &name)),
                Purity::Unknown(name) => say(true, foreign(slot, "may keep", &name)),
            }
        }
        let known = self.active && self.usable();
        ReplicationSeen {
            half: Half::Source,
            state,
            lag_bytes: self.undelivered.filter(|_| known).and_then(|bytes| u64::try_from(bytes).ok()),
            lag_seconds: self.receiver.as_ref().and_then(|r| r.replay_lag).filter(|_| known),
            heartbeat: None,
            copy: None,
            kept_bytes: self.retained.and_then(|bytes| u64::try_from(bytes).ok()),
            orphans: None,
            aside: None,
            trouble: (!trouble.is_empty()).then(|| trouble.join("; ")),
            detail: json!({
                "slot": slot, "exists": self.exists, "active": self.active, "walStatus": self.wal_status,
                "undeliveredBytes": self.undelivered, "retainedBytes": self.retained,
                "safeWalBytes": self.safe_wal_size, "maxSlotWalKeepSize": self.keep,
                "confirmed": self.confirmed, "receiver": self.receiver.as_ref().map_or(
                    // No row in pg_stat_replication means unknown, not "no lag".
                    json!("unknown"),
                    |r| json!({"state": r.state, "heardSecondsAgo": r.heard_ago})),
            }),
        }
    }
}

fn foreign(slot: &str, keeps: &str, subscription: &str) -> String {
    format!(
        "slot {slot} {keeps} rows that came by {subscription} and would be sent back: a planned move makes it anew; \
         by hand, while nothing that it keeps is needed at the other site, \
         SELECT pg_drop_replication_slot('{slot}')"
    )
}

/// The receiver's half.
#[derive(Debug, Deserialize)]
pub(super) struct Receiver {
    pub(super) exists: bool,
    pub(super) enabled: bool,
    disable_on_error: Option<bool>,
    pub(super) workers: u64,
    pub(super) pid: Option<i32>,
    pub(super) received: Option<Lsn>,
    reported: Option<Lsn>,
    pub(super) heard_ago: Option<f64>,
    wait: Option<String>,
    wait_type: Option<String>,
    blocked_by: Option<Vec<i32>>,
    applying: bool,
    pub(super) position: Option<Lsn>,
    heartbeat_ago: Option<f64>,
    heartbeat: Option<DateTime<Utc>>,
    tables: u64,
    ready: u64,
    pub(super) sentinel: bool,
    pub(super) apply_errors: Option<i64>,
    pub(super) sync_errors: Option<i64>,
    pub(super) stopped: Option<String>,
    kept: Option<Lsn>,
    pub(super) gap: Option<i64>,
    pub(super) peer: Option<String>,
    pub(super) uuid: String,
    pub(super) publication: String,
    pub(super) wanted_slot: String,
}

impl Receiver {
    pub(super) async fn see(session: &Session, subscription: &str) -> Result<Self, PgError> {
        session.json("SELECT pointsman.seen_receiver($1)", &[&subscription]).await
    }

    /// Nothing is applied, and nothing will be.
    pub(super) fn still(&self) -> bool {
        !self.enabled && self.workers == 0
    }

    /// The note of the last stop is of this stop: nothing was applied since.
    pub(super) fn noted(&self) -> bool {
        self.stopped.is_some() && self.kept == self.position
    }

    /// How many tables are there, of how many.
    pub(super) fn tables(&self) -> (u64, u64) {
        (self.ready, self.tables)
    }

    /// Tables are missing, whoever began their copy: at the first start, by an act, by a REFRESH. A receiver that was
    /// stopped in the middle is as unfinished.
    fn copying(&self) -> Option<CopyProgress> {
        (self.ready < self.tables).then_some(CopyProgress {
            tables: self.tables,
            tables_ready: self.ready,
            rows: 0,
            bytes: 0,
            bytes_total: 0,
            left: None,
        })
    }

    /// Its worker lives and has heard from the source.
    pub(super) fn applies(&self) -> bool {
        self.enabled && self.pid.is_some() && self.heard_ago.is_some()
    }

    /// Its worker waits for the source, with nothing in hand.
    pub(super) fn idle(&self) -> bool {
        self.pid.is_some() && self.wait.as_deref() == Some("LogicalApplyMain") && !self.applying
    }

    /// Errors so far; they vanish with a crash.
    pub(super) fn errors(&self) -> i64 {
        self.apply_errors.unwrap_or(0) + self.sync_errors.unwrap_or(0)
    }

    /// Why nothing comes, as far as the server's tables tell.
    pub(super) fn trouble(&self) -> Option<String> {
        let errors = self.errors();
        if !self.exists || !self.enabled {
            return None;
        }
        if !self.sentinel {
            return Some(
                "it does not have pointsman.sentinel: ALTER SUBSCRIPTION … REFRESH PUBLICATION WITH (copy_data = false)"
                    .into(),
            );
        }
        if let Some(by) = self.blocked_by.as_ref().filter(|by| !by.is_empty()) {
            return Some(format!("its worker waits for a lock of session {by:?}"));
        }
        if self.pid.is_none() {
            return Some(format!(
                "it has no worker: between two tries, or none is free; {errors} errors so far"
            ));
        }
        (self.disable_on_error == Some(true))
            .then(|| "disable_on_error is set: stopped would not mean drained".into())
    }

    pub(super) fn told(&self, trouble: Option<String>) -> ReplicationSeen {
        // A worker that waits for the source has applied all that came. (What it last reported to the source
        // stays behind while the source asks for nothing.)
        let lag = match (self.received, self.position) {
            _ if self.pid.is_none() => None,
            _ if self.idle() => Some(0),
            (Some(received), Some(applied)) => Some(received.0.saturating_sub(applied.0)),
            _ => None,
        };
        let state = if !self.exists || !self.enabled {
            ReplicationState::Stopped
        } else if self.applies() && self.idle() && self.ready == self.tables {
            ReplicationState::Running
        } else {
            ReplicationState::Draining
        };
        ReplicationSeen {
            half: Half::Receiver,
            state,
            lag_bytes: lag,
            // A sentinel of long ago says nothing where all that came is applied: nobody stamps one now.
            lag_seconds: self.heartbeat_ago.filter(|ago| self.enabled && (*ago <= FRESH || lag != Some(0))),
            heartbeat: self.heartbeat,
            copy: self.copying(),
            kept_bytes: None,
            orphans: None,
            aside: None,
            trouble,
            detail: self.words(),
        }
    }

    pub(super) fn words(&self) -> Value {
        json!({
            "exists": self.exists, "enabled": self.enabled, "workers": self.workers, "applied": self.position,
            "received": self.received, "reported": self.reported, "heardSecondsAgo": self.heard_ago,
            "waitsFor": self.wait, "waitType": self.wait_type, "tables": self.tables, "tablesReady": self.ready,
            "applyErrors": self.apply_errors, "syncErrors": self.sync_errors, "stopped": self.stopped,
            "keptPosition": self.kept, "gap": self.gap, "lastHeartbeat": self.heartbeat,
        })
    }
}
