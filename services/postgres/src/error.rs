//! What went wrong with a server, and what that says about the statement.

use std::path::PathBuf;
use std::time::Duration;

use schemas::Code;
use thiserror::Error;

use crate::sqlstate;

/// What is known about a statement that did not answer well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It was never sent.
    NothingStarted,
    /// The server says that it ended without effect.
    Ended,
    /// It may have had its effect, or still have it.
    Unknown,
}

/// The server's own words where it spoke; else every cause. The driver's own text is `db error` alone.
fn said(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    text
}

/// Why a connection or a statement failed. Never holds a password.
#[derive(Debug, Error)]
pub enum PgError {
    /// The file with the connection string.
    #[error("the connection string in {path} cannot be read: {source}")]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What the file holds.
    #[error("the connection string in {path} is not usable: {why}")]
    Dsn {
        /// Its path.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What the host's file does not name, and is asked for.
    #[error("the host's file names no `{0}` for this resource")]
    NotNamed(&'static str),
    /// No session came about.
    #[error("no session on {server}: {}", said(.source))]
    Connect {
        /// Host and port.
        server: String,
        /// Why.
        source: tokio_postgres::Error,
    },
    /// No session within the bound: the server is down, frozen, or the network is cut.
    #[error("no session on {server} within {waited:?}")]
    ConnectTimeout {
        /// Host and port.
        server: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The server reached is not the one that was meant.
    #[error("{server} is not the server that this resource names: {why}")]
    WrongServer {
        /// Host and port.
        server: String,
        /// What was found.
        why: String,
    },
    /// The server answered the statement with an error.
    #[error("{message} ({sqlstate}){}{}", lead(.detail), lead(.hint))]
    Server {
        /// Its SQLSTATE.
        sqlstate: String,
        /// Its message.
        message: String,
        /// Its detail.
        detail: Option<String>,
        /// Its hint.
        hint: Option<String>,
    },
    /// The session broke while a statement was under way.
    #[error("the session broke: {0}")]
    Lost(String),
    /// The statement did not answer within the bound.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The answer is not what our functions give: another version of the set-up.
    #[error("the answer has another form than expected ({0}): run `pointsman setup postgres --print` again")]
    Shape(String),
}

fn lead(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!("; {text}")).unwrap_or_default()
}

impl PgError {
    /// What became of the statement.
    pub fn fate(&self) -> Fate {
        match self {
            PgError::File { .. } | PgError::Dsn { .. } | PgError::NotNamed(_) | PgError::Connect { .. } => {
                Fate::NothingStarted
            }
            PgError::ConnectTimeout { .. } | PgError::WrongServer { .. } => Fate::NothingStarted,
            // Ended by somebody, or by a shutdown: almost surely without effect, but a look is cheap.
            PgError::Server { sqlstate, .. }
                if sqlstate.starts_with("57P0") || sqlstate.starts_with("08") =>
            {
                Fate::Unknown
            }
            PgError::Server { sqlstate, .. } if sqlstate == "40003" => Fate::Unknown,
            PgError::Server { .. } => Fate::Ended,
            PgError::Lost(_) | PgError::Timeout(_) | PgError::Shape(_) => Fate::Unknown,
        }
    }

    /// The stable code for the bus.
    pub fn code(&self) -> Code {
        match self {
            PgError::File { .. } | PgError::Dsn { .. } | PgError::NotNamed(_) | PgError::Shape(_) => {
                Code::BadConfiguration
            }
            PgError::Connect { source, .. } if source.as_db_error().is_some_and(|e| is_refusal(e.code())) => {
                Code::BadConfiguration
            }
            PgError::Connect { .. } | PgError::ConnectTimeout { .. } | PgError::Lost(_) => Code::Unreachable,
            PgError::WrongServer { .. } => Code::WrongServer,
            PgError::Timeout(_) => Code::TimedOut,
            PgError::Server { sqlstate, .. } => match sqlstate.as_str() {
                sqlstate::STALE_EPOCH => Code::StaleEpoch,
                sqlstate::EPOCH_TAKEN => Code::EpochTaken,
                sqlstate::UNCLAIMED => Code::Unclaimed,
                sqlstate::TOO_LATE => Code::NotConfirmed,
                sqlstate::PRECONDITION => Code::Precondition,
                sqlstate::CANCELED | sqlstate::LOCK_NOT_AVAILABLE => Code::TimedOut,
                // Missing functions, schema or rights: the set-up was not run, or is an older one.
                sqlstate::NOT_SET_UP | "42883" | "3F000" | "42P01" | "42501" => Code::BadConfiguration,
                _ => Code::Failed,
            },
        }
    }

    /// The server's code, where it gave one.
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            PgError::Server { sqlstate, .. } => Some(sqlstate),
            PgError::Connect { source, .. } => source.code().map(tokio_postgres::error::SqlState::code),
            _ => None,
        }
    }

    /// Two sessions met in a catalogue: the same again will do (tried: both codes occur).
    pub fn is_collision(&self) -> bool {
        match self {
            PgError::Server { sqlstate, message, .. } => match sqlstate.as_str() {
                sqlstate::DEADLOCK | "40001" => true,
                sqlstate::INTERNAL => message.contains("concurrently"),
                _ => false,
            },
            _ => false,
        }
    }
}

fn is_refusal(state: &tokio_postgres::error::SqlState) -> bool {
    state.code().starts_with("28") || state.code() == "3D000" || state.code() == "42501"
}

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(answer) => PgError::Server {
                sqlstate: answer.code().code().into(),
                message: answer.message().into(),
                detail: answer.detail().map(Into::into),
                hint: answer.hint().map(Into::into),
            },
            None if error.is_closed() => PgError::Lost("it was closed by the other side".into()),
            None => PgError::Lost(chain(&error)),
        }
    }
}

/// An error and its sources in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let part = source.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        next = source.source();
    }
    text
}
