//! `database.<resource>` in a host's file.

use std::path::PathBuf;

use config::Span;
use postgres::Life;
use postgres::settings::{Access, SecretFile};
use schemas::{ResourceId, SiteId};
use serde::Deserialize;
use uuid::Uuid;

/// One database beside which a host stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "driver", rename_all = "kebab-case")]
pub enum Settings {
    /// Roles of a PostgreSQL database.
    Postgres(PostgresSettings),
    /// The operator's scripts.
    Exec(ExecSettings),
    /// A value in memory: rehearsals only.
    Memory(MemorySettings),
}

/// `driver: postgres`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresSettings {
    /// The file with the run-time role's connection string; read anew for each session.
    pub dsn: SecretFile,
    /// The roles that write for the application.
    pub writers: Vec<String>,
    /// How they are closed; `setup postgres --print` writes it into the database.
    #[serde(default)]
    pub access: Access,
    /// The schemas of the application's tables.
    #[serde(default = "public")]
    pub schemas: Vec<String>,
    /// What happens to an open database after a boot.
    #[serde(default)]
    pub boot: Boot,
    /// The cluster's own identity, where it is pinned (`pointsman.identity.uuid`).
    #[serde(default)]
    pub identity: Option<Uuid>,
    /// How long a look may take.
    #[serde(default = "look_within")]
    pub look_within: Span,
}

/// What happens to an open database after a boot of host or server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Boot {
    /// It is closed as soon as it is seen open, unless its epoch is confirmed.
    #[default]
    CloseOnSight,
    /// Nothing: for a database that is live at both sites, where two that are open are as it should be.
    LeaveOpen,
    /// As [`Boot::CloseOnSight`]; and after a boot of the host this script starts the server, with the writers shut out
    /// before anybody can connect (they stand in `POINTSMAN_WRITERS`). The system's own start of it is switched off.
    Closed(PathBuf),
}

/// `driver: exec`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecSettings {
    /// Run to close; exit 0 when it is done.
    pub close: PathBuf,
    /// Run to open; exit 0 when it is done.
    pub open: PathBuf,
    /// Run as `check closed` and `check open`: exit 0 it is, 1 it is not, else it cannot tell. Without it
    /// nothing is ever repeated, and a close is never proved.
    #[serde(default)]
    pub check: Option<PathBuf>,
    /// Run to see that a write arrives: writes as the application does, exit 0 if it did. Without it a check that says
    /// `open` must do.
    #[serde(default)]
    pub write: Option<PathBuf>,
    /// How long a check may take.
    #[serde(default = "look_within")]
    pub look_within: Span,
}

/// `driver: memory`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemorySettings {
    /// How it stands when the rehearsal begins; open, if not said.
    #[serde(default)]
    pub access: Option<schemas::Access>,
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
    /// The folder for locks.
    pub state: PathBuf,
    /// This start of the service.
    pub life: Life,
}

fn public() -> Vec<String> {
    vec!["public".into()]
}

fn look_within() -> Span {
    Span::seconds(3)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::{Boot, Settings};
    use postgres::settings::Access;

    #[test]
    fn reads_what_operators_write() {
        let read = |text: &str| serde_json::from_str::<Settings>(text);
        let short =
            r#"{"driver":"postgres","dsn":"file:config.dsn","writers":["cfg_db"],"boot":"close-on-sight"}"#;
        let Settings::Postgres(pg) = read(short).unwrap() else { panic!("another driver") };
        assert_eq!(
            (pg.access, pg.boot, pg.schemas),
            (Access::Login, Boot::CloseOnSight, vec!["public".to_owned()])
        );
        let log = r#"{"driver":"postgres","dsn":"file:log.dsn","writers":["ms_db"],"boot":"leave-open"}"#;
        assert!(matches!(read(log).unwrap(), Settings::Postgres(pg) if pg.boot == Boot::LeaveOpen));
        let shut =
            r#"{"driver":"postgres","dsn":"file:a","writers":["a"],"boot":{"closed":"/dr/start-closed.sh"}}"#;
        assert!(
            matches!(read(shut).unwrap(), Settings::Postgres(pg) if pg.boot == Boot::Closed("/dr/start-closed.sh".into()))
        );
        read(r#"{"driver":"exec","close":"/dr/close.sh","open":"/dr/open.sh","check":"/dr/check.sh"}"#)
            .unwrap();
        for bad in [
            r#"{"driver":"postgres","dsn":"host=a password=b","writers":["a"]}"#,
            r#"{"driver":"postgres","dsn":"file:a","writers":["a"],"wrtiers":[]}"#,
            r#"{"driver":"exec","close":"/a"}"#,
            r#"{"driver":"postgres","dsn":"file:a","writers":["a"],"boot":"closed"}"#,
            r#"{"driver":"oracle"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
