//! What the named roles can do now.

use postgres::settings::Access as Mode;
use postgres::{PgError, Session, identifier, literal};
use schemas::Access;
use serde::Deserialize;
use serde_json::{Value, json};

/// What the roles can do: all that an act has to know of its own doors.
const DOORS: &str = "
SELECT jsonb_build_object(
  'in_recovery', pg_is_in_recovery(),
  'version', current_setting('server_version'),
  'uuid', (SELECT uuid FROM pointsman.identity),
  'lsn', (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END)::text,
  'last', (SELECT to_jsonb(a) FROM pointsman.access a),
  'roles', (SELECT coalesce(jsonb_agg(s ORDER BY s.role), '[]') FROM pointsman.seen_access() s))";

/// Beside it: what would keep a close from holding. Dearer, and the same from one act to the next.
const BESIDE: &str = "
SELECT jsonb_build_object(
  'cannot_close', (SELECT coalesce(jsonb_agg(c.role || ': ' || c.reason), '[]') FROM pointsman.cannot_close() c),
  'other_writers', (SELECT coalesce(jsonb_agg(o.role), '[]') FROM pointsman.other_writers() o))";

/// What an act must know before it begins, cheaply: the gap of a move waits for it.
const ASKED: &str = "
SELECT jsonb_build_object('in_recovery', pg_is_in_recovery(),
  'set_up', to_regprocedure('pointsman.shut_out(timestamptz)') IS NOT NULL,
  'roles', (SELECT coalesce(jsonb_agg(jsonb_build_object('role', role, 'mode', mode, 'via', via)), '[]')
     FROM pointsman.writer))";

/// Some of the tables to which a role can write, with what it may do there; a direct grant is shown, and what
/// it has through others counts as well.
const GRANTS: &str = "
SELECT coalesce(jsonb_agg(jsonb_build_array(g.privileges, g.name)), '[]') FROM (
  SELECT string_agg(p.privilege, ', ' ORDER BY p.privilege) AS privileges, c.oid::regclass::text AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
         (VALUES ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) p(privilege)
   WHERE c.relkind IN ('r','p','v','f','m') AND n.nspname NOT IN ('pg_catalog','information_schema','pointsman')
     AND n.nspname !~ '^pg_t' AND has_table_privilege($1::text, c.oid, p.privilege)
   GROUP BY c.oid ORDER BY c.oid LIMIT 3) g";

/// How one role is closed, as the database was set up.
#[derive(Debug, Deserialize)]
struct Named {
    role: String,
    mode: String,
    via: Option<String>,
}

/// What an act must know before it begins.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    pub(super) in_recovery: bool,
    /// All functions that the acts call are there.
    pub(super) set_up: bool,
    roles: Vec<Named>,
}

/// One role, as the server sees it.
#[derive(Debug, Deserialize)]
struct Seen {
    #[serde(flatten)]
    named: Named,
    /// It can start a session here.
    enters: bool,
    /// It has the grants that an opening gives.
    granted: bool,
    /// Tables to which it can write something.
    writable: u64,
    sessions: u64,
    /// Sessions whose transaction has written.
    writing: u64,
    prepared: u64,
}

/// What was last done by an act.
#[derive(Debug, Deserialize)]
struct Last {
    state: String,
    ended: bool,
}

/// All named roles together, with what else matters.
#[derive(Debug, Deserialize)]
pub(super) struct State {
    pub(super) in_recovery: bool,
    version: String,
    uuid: Option<String>,
    pub(super) lsn: Option<String>,
    last: Option<Last>,
    roles: Vec<Seen>,
}

/// What is the same from one act to the next, unless somebody changes roles or grants.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Beside {
    cannot_close: Vec<String>,
    other_writers: Vec<String>,
}

impl Beside {
    pub(super) async fn see(session: &Session) -> Result<Beside, PgError> {
        session.json(BESIDE, &[]).await
    }

    /// Why a close would not hold; none if it would.
    pub(super) fn cannot_close(&self, writers: &[String]) -> Option<String> {
        match (writers.is_empty(), self.cannot_close.is_empty()) {
            (true, _) => Some("no role is named".into()),
            (false, true) => None,
            (false, false) => Some(self.cannot_close.join("; ")),
        }
    }
}

impl Asked {
    /// Looks, and compares with the host's file, as [`State::see`] does.
    pub(super) async fn see(session: &Session, writers: &[String], mode: &Mode) -> Result<Asked, PgError> {
        let asked: Asked = session.json(ASKED, &[]).await?;
        as_in_file(asked.roles.iter(), writers, mode)?;
        Ok(asked)
    }
}

/// A database closes the roles that *it* was set up for: those must be the ones of the host's file.
fn as_in_file<'a>(
    found: impl Iterator<Item = &'a Named> + Clone,
    writers: &[String],
    mode: &Mode,
) -> Result<(), PgError> {
    let (name, via) = match mode {
        Mode::Login => ("login", None),
        Mode::Connect => ("connect", None),
        Mode::Group(via) => ("group", Some(via.as_str())),
    };
    let mut wanted: Vec<&str> = writers.iter().map(String::as_str).collect();
    wanted.sort_unstable();
    let mut roles: Vec<&str> = found.clone().map(|role| role.role.as_str()).collect();
    roles.sort_unstable();
    let same = found.clone().all(|role| role.mode == name && role.via.as_deref() == via);
    if wanted != roles || !same {
        return Err(PgError::Shape(format!(
            "set up for {roles:?}, the host's file names {wanted:?} with access `{name}`"
        )));
    }
    Ok(())
}

impl State {
    /// Looks, and compares with the host's file: the database closes the roles that *it* was set up for.
    pub(super) async fn see(session: &Session, writers: &[String], mode: &Mode) -> Result<State, PgError> {
        let state: State = session.json(DOORS, &[]).await?;
        as_in_file(state.roles.iter().map(|role| &role.named), writers, mode)?;
        Ok(state)
    }

    /// Closed if all are, open if all are, else partly.
    pub(super) fn access(&self) -> Access {
        let ended = self.last.as_ref().is_some_and(|last| last.state == "closed" && last.ended);
        if !self.roles.is_empty() && self.roles.iter().all(|role| role.closed(ended)) {
            Access::Closed
        } else if !self.roles.is_empty() && self.roles.iter().all(|role| role.enters && role.granted) {
            Access::Open
        } else {
            Access::Partly
        }
    }

    /// Sessions of the roles.
    pub(super) fn sessions(&self) -> u64 {
        self.roles.iter().map(|role| role.sessions).sum()
    }

    /// What keeps it from being closed, a sentence each, with the statement that ends it.
    pub(super) async fn left_open(&self, session: &Session) -> Result<Vec<String>, PgError> {
        let mut open = Vec::new();
        for role in &self.roles {
            let name = identifier(&role.named.role);
            if role.enters && role.named.mode == "login" {
                open.push(format!("{name} can log in: ALTER ROLE {name} NOLOGIN"));
            } else if role.enters && role.named.mode == "connect" {
                open.push(format!("{name} can connect: REVOKE CONNECT ON DATABASE … FROM PUBLIC, {name}"));
            }
            if let Some(via) = role.named.via.as_ref().filter(|_| role.granted) {
                open.push(format!("{name} is a member: REVOKE {} FROM {name}", identifier(via)));
            }
            if role.writable > 0 {
                let grants: Vec<[String; 2]> = session.json(GRANTS, &[&role.named.role]).await?;
                for [privilege, table] in &grants {
                    let statement = format!("REVOKE {privilege} ON {table} FROM {name}");
                    open.push(format!("{name} has {privilege} on {table}: {statement}"));
                }
                let more = role.writable.saturating_sub(grants.len() as u64);
                if more > 0 && !grants.is_empty() {
                    open.push(format!("… and on {more} tables more"));
                }
            }
            if role.sessions > 0 {
                let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename =";
                open.push(format!(
                    "{name} has {} sessions: {end} {}",
                    role.sessions,
                    literal(&role.named.role)
                ));
            }
            if role.prepared > 0 {
                let look = "see pg_prepared_xacts, then ROLLBACK PREPARED each";
                open.push(format!("{name} has {} prepared transactions: {look}", role.prepared));
            }
        }
        Ok(open)
    }

    /// For `observe`.
    pub(super) fn detail(&self, beside: &Beside, server: &str) -> Value {
        json!({
            "server": server, "version": self.version, "identity": self.uuid, "lsn": self.lsn,
            "inRecovery": self.in_recovery, "roles": self.words(),
            "cannotClose": beside.cannot_close, "otherWriters": beside.other_writers,
        })
    }

    /// What each role can do.
    pub(super) fn words(&self) -> Value {
        self.roles
            .iter()
            .map(|role| {
                let words = json!({
                    "enters": role.enters, "writable": role.writable, "granted": role.granted,
                    "sessions": role.sessions, "writing": role.writing, "prepared": role.prepared,
                });
                (role.named.role.clone(), words)
            })
            .collect()
    }
}

impl Seen {
    /// `ended`: the last close saw every session of before it gone. Where the role may still log in to
    /// read, that and no write under way must do.
    fn closed(&self, ended: bool) -> bool {
        let quiet = if self.named.mode == "group" {
            ended && self.writing == 0
        } else {
            !self.enters && self.sessions == 0
        };
        quiet && self.writable == 0 && self.prepared == 0
    }
}
