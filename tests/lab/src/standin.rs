//! Small programs that stand for the parts of the model system, and its users.
//!
//! They are honest about being stand-ins: each does only what matters for a move between sites.
//! All speak lines of text over TCP, so a health check can be one line of shell. The program
//! `lab-standin` runs each of them by its name.

pub mod control;
pub mod heard;
pub mod host;
pub mod line;
pub mod master;
pub mod message;
pub mod prober;
pub mod proxy;
pub mod reader;
pub mod resolver;
pub mod running;
pub mod writer;

/// What the stand-ins need in a configuration database, for the given role.
///
/// May be run again. Rows have numbers of their own (`n`) and ids from a sequence, so that a
/// move which forgets the sequence is seen.
#[must_use]
pub fn schema(role: &str) -> String {
    format!(
        "CREATE TABLE IF NOT EXISTS entry (
           id bigserial PRIMARY KEY,
           n bigint NOT NULL UNIQUE,
           text text NOT NULL,
           written_at timestamptz NOT NULL DEFAULT now());
         CREATE TABLE IF NOT EXISTS master_session (
           slot int PRIMARY KEY,
           holder text NOT NULL,
           beat timestamptz NOT NULL DEFAULT now());
         GRANT SELECT, INSERT, UPDATE, DELETE ON entry, master_session TO {role};
         GRANT USAGE ON SEQUENCE entry_id_seq TO {role};"
    )
}

/// The key of the advisory lock that makes a session the master session of its database.
pub const MASTER_LOCK: i64 = 0x504f_494e_5453;

/// How a server asks for it. Who asks and is not given it is the backup, and asks again until it is.
pub const MASTER_ASKS: &str = "SELECT pg_try_advisory_lock($1)";

/// Milliseconds since 1970, for the files of writer and reader.
#[must_use]
pub fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
