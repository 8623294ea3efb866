//! `replication.<resource>` in a host's file.

use std::path::PathBuf;

use config::Span;
use postgres::Life;
use postgres::settings::SecretFile;
use postgres::setup::Receiver;
use schemas::{ResourceId, SiteId};
use serde::Deserialize;
use uuid::Uuid;

/// One half of a replication, beside whose database a host stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub enum Settings {
    /// Logical replication of PostgreSQL.
    Postgres(PostgresSettings),
    /// A value in memory: rehearsals only.
    Memory(MemorySettings),
}

/// `driver: postgres`. The source's half names slot and publication, the receiver's half its subscription.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Written")]
pub struct PostgresSettings {
    /// The database resource of the same host's file whose data it is.
    pub database: ResourceId,
    /// The file with the connection string to the other site: the receiver's server reads from there.
    pub peer: Option<SecretFile>,
    /// Which half, with its names.
    pub half: Half,
    /// The receiver's half: its server's own log, where the reason of an error stands. In the file's name `*`, and `%` with
    /// the letter after it, stand for anything; the newest file that fits is read. A relative path counts from the folder
    /// of the host's file.
    pub server_log: Option<PathBuf>,
    /// What is done with transactions that hold up the making of a slot.
    pub blockers: Blockers,
    /// Transactions older than this are ended, where they may be.
    pub blockers_older_than: Span,
    /// How long a look may take.
    pub look_within: Span,
}

/// Which half, with its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Half {
    /// Where changes are made and kept.
    Source {
        /// The slot.
        slot: String,
        /// The publication.
        publication: String,
        /// Tables, as `schema.table`, that no publication sends on purpose: they stay behind at a move.
        local_tables: Vec<String>,
    },
    /// Where they are applied.
    Receiver {
        /// The subscription.
        subscription: String,
        /// The slot at the source; the subscription's name if left out.
        slot: Option<String>,
        /// The publication at the source; that of the database's other replication if left out.
        publication: Option<String>,
    },
}

/// What is done with transactions that hold up the making of a slot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blockers {
    /// They are waited for, within the act's bound, and named.
    #[default]
    Wait,
    /// Clients' sessions among them are ended, and named.
    End,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    database: ResourceId,
    #[serde(default)]
    peer: Option<SecretFile>,
    #[serde(default)]
    slot: Option<String>,
    #[serde(default)]
    publication: Option<String>,
    #[serde(default)]
    subscription: Option<String>,
    #[serde(default)]
    local_tables: Vec<String>,
    #[serde(default)]
    server_log: Option<PathBuf>,
    #[serde(default)]
    blockers: Blockers,
    #[serde(default = "older_than")]
    blockers_older_than: Span,
    #[serde(default = "look_within")]
    look_within: Span,
}

/// The keys do not make one half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadSettings {
    /// Neither half.
    #[error("the source's half has `slot` and `publication`, the receiver's half `subscription` and `peer`")]
    NoHalf,
    /// A name that PostgreSQL would cut or refuse.
    #[error("a slot's name has lower-case letters, digits and `_`, at most 63")]
    BadSlot,
    /// A log that has nothing to tell here.
    #[error(
        "`server_log` belongs beside `subscription`: the server that applies says in its log why it cannot"
    )]
    LogOfSource,
}

impl TryFrom<Written> for PostgresSettings {
    type Error = BadSettings;
    fn try_from(written: Written) -> Result<Self, BadSettings> {
        let good = |name: &String| {
            (1..=63).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        let half = match (written.subscription, written.slot, written.publication) {
            (Some(subscription), slot, publication) if written.peer.is_some() => {
                if !good(slot.as_ref().unwrap_or(&subscription)) {
                    return Err(BadSettings::BadSlot);
                }
                Half::Receiver { subscription, slot, publication }
            }
            (None, Some(slot), Some(publication)) => {
                if !good(&slot) {
                    return Err(BadSettings::BadSlot);
                }
                if written.server_log.is_some() {
                    return Err(BadSettings::LogOfSource);
                }
                Half::Source { slot, publication, local_tables: written.local_tables }
            }
            _ => return Err(BadSettings::NoHalf),
        };
        Ok(Self {
            database: written.database,
            peer: written.peer,
            half,
            server_log: written.server_log,
            blockers: written.blockers,
            blockers_older_than: written.blockers_older_than,
            look_within: written.look_within,
        })
    }
}

/// `driver: memory`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemorySettings {
    /// Whether this is the source's half or the receiver's.
    pub half: schemas::Half,
}

/// The database whose data it is, as the same host's file names it.
#[derive(Debug, Clone)]
pub struct Own {
    /// The file with its connection string.
    pub dsn: PathBuf,
    /// Its pinned identity, if any.
    pub identity: Option<Uuid>,
}

/// Where a service runs; the same for each of its resources.
#[derive(Debug, Clone)]
pub struct Place {
    /// The host's site.
    pub site: SiteId,
    /// The resource.
    pub resource: ResourceId,
    /// The folder of the host's file: relative paths count from it.
    pub folder: PathBuf,
    /// The host's state folder: ledgers of orphans are kept there.
    pub state: PathBuf,
    /// This start of the service.
    pub life: Life,
}

/// What `setup postgres` needs of one database's replications: the receivers and the publications.
/// A receiver that names no publication has the first one of the same database.
#[must_use]
pub fn set_up<'a>(halves: impl Iterator<Item = &'a Half>) -> (Vec<Receiver>, Vec<String>) {
    let (mut receivers, mut publications) = (Vec::new(), Vec::new());
    for half in halves {
        match half {
            Half::Source { publication, .. } if publications.contains(publication) => {}
            Half::Source { publication, .. } => publications.push(publication.clone()),
            Half::Receiver { subscription, slot, publication } => receivers.push(Receiver {
                subscription: subscription.clone(),
                slot: slot.clone().unwrap_or_else(|| subscription.clone()),
                publication: publication.clone().unwrap_or_default(),
            }),
        }
    }
    let first = publications.first().cloned().unwrap_or_default();
    for receiver in receivers.iter_mut().filter(|receiver| receiver.publication.is_empty()) {
        receiver.publication = first.clone();
    }
    (receivers, publications)
}

fn older_than() -> Span {
    Span::seconds(2)
}

fn look_within() -> Span {
    Span::seconds(3)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{Half, PostgresSettings, Settings, set_up};

    fn read(text: &str) -> Result<PostgresSettings, String> {
        match serde_json::from_str::<Settings>(text).map_err(|e| e.to_string())? {
            Settings::Postgres(settings) => Ok(settings),
            Settings::Memory(_) => Err("memory".into()),
        }
    }

    #[test]
    fn the_two_halves() {
        let csp = r#"{"driver":"postgres","database":"config","peer":"file:s2.dsn","slot":"fwd_config","publication":"pub_config"}"#;
        let css =
            r#"{"driver":"postgres","database":"config","peer":"file:s2.dsn","subscription":"rev_config"}"#;
        let (csp, css) = (read(csp).unwrap(), read(css).unwrap());
        assert!(matches!(&csp.half, Half::Source { slot, .. } if slot == "fwd_config"));
        let (receivers, publications) = set_up([&css.half, &csp.half].into_iter());
        assert_eq!(publications, ["pub_config"]);
        assert_eq!(receivers[0].slot, "rev_config");
        assert_eq!(receivers[0].publication, "pub_config");
    }

    #[test]
    fn what_is_no_half() {
        for bad in [
            r#"{"driver":"postgres","database":"config","slot":"fwd_config"}"#,
            r#"{"driver":"postgres","database":"config","subscription":"rev"}"#,
            r#"{"driver":"postgres","database":"config","slot":"Fwd","publication":"p"}"#,
            r#"{"driver":"postgres","database":"config","slot":"fwd","publication":"p","subscripton":"x"}"#,
            r#"{"driver":"postgres","database":"config","slot":"fwd","publication":"p","server_log":"/l"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
