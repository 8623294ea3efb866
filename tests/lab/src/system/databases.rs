//! The databases on the first day: tables, replication both ways, Pointsman's own set-up, the standby closed.

use std::time::Duration;

use anyhow::{Context, bail};

use super::files::{DATABASES, REPLICATIONS};
use super::plan::{Plan, Role, Site};
use super::pointsman::Pointsman;
use super::until;
use crate::postgres::Postgres;
use crate::standin::schema;

/// The role that replicates; no superuser.
pub const REPLICATOR: &str = "replicator";
/// Pointsman's role at run time; no superuser.
pub const RUN_TIME: &str = "pointsman";
const SYNCED_WITHIN: Duration = Duration::from_secs(20);

/// What a cluster of the lab is started with.
#[must_use]
pub fn settings() -> Vec<(String, String)> {
    let settings = [
        ("track_commit_timestamp", "on"), // Says what was committed after a freeze.
        ("track_functions", "all"),       // Says how often something was done.
        ("max_slot_wal_keep_size", "1GB"),
        ("wal_sender_timeout", "10s"),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// Roles, tables and publications of one site.
///
/// # Errors
///
/// What the server says.
pub fn prepare(site: Site, cluster: &Postgres) -> anyhow::Result<()> {
    cluster.psql("postgres", &roles())?;
    cluster.psql("config", &config())?;
    cluster.psql("log", &log(site))?;
    Ok(())
}

/// The SQL for the roles of a site, once a server.
#[must_use]
pub fn roles() -> String {
    format!(
        "CREATE ROLE cfg_db LOGIN; CREATE ROLE ms_db LOGIN; CREATE ROLE probe LOGIN;
         CREATE ROLE {REPLICATOR} LOGIN REPLICATION;"
    )
}

/// The SQL for a configuration database.
#[must_use]
pub fn config() -> String {
    format!(
        "{}
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {REPLICATOR};
         CREATE PUBLICATION lab_config FOR TABLE entry, master_session
           WITH (publish = 'insert, update, delete');",
        schema("cfg_db")
    )
}

/// The SQL for a site's log database. Each site writes rows of its own and sends only those: so nothing goes
/// round in circles.
#[must_use]
pub fn log(site: Site) -> String {
    format!(
        "CREATE TABLE message (site text NOT NULL, id bigint NOT NULL, text text NOT NULL,
           written_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (site, id));
         CREATE SEQUENCE message_id;
         GRANT SELECT, INSERT ON message TO ms_db; GRANT USAGE ON SEQUENCE message_id TO ms_db;
         GRANT SELECT ON message TO {REPLICATOR};
         CREATE PUBLICATION lab_log FOR TABLE message WHERE (site = '{}')
           WITH (publish = 'insert, update, delete');",
        site.name()
    )
}

/// What the DBA does once in each database: runs the SQL that `pointsman setup postgres` prints.
///
/// # Errors
///
/// What the command or the server says.
pub fn set_up(site: Site, cluster: &Postgres, plan: &Plan, pointsman: &Pointsman) -> anyhow::Result<()> {
    let file = plan.host_file(site.host(Role::Database));
    for database in DATABASES {
        let sql = pointsman
            .text(&file, &["setup", "postgres", "--print", "--database", database, "--role", RUN_TIME])?;
        cluster
            .psql(database, &sql)
            .with_context(|| format!("the set-up of {database} at {}", site.name()))?;
    }
    Ok(())
}

/// Starts every replication but the reverse one of the configuration database, and closes the standby.
///
/// # Errors
///
/// What a server says, or an initial copy that does not end.
pub fn replicate(clusters: &[Postgres; 2]) -> anyhow::Result<()> {
    let running = || REPLICATIONS.iter().filter(|replication| replication.name != "css");
    for replication in running() {
        let sql = format!("SELECT pg_create_logical_replication_slot('{}', 'pgoutput')", replication.stream);
        clusters[replication.from.index()].psql(replication.database, &sql)?;
    }
    for replication in running() {
        let source = &clusters[replication.from.index()];
        let sql = format!(
            "CREATE SUBSCRIPTION {stream} CONNECTION '{}' PUBLICATION lab_{database}
               WITH (create_slot = false, slot_name = '{stream}', copy_data = true)",
            source.dsn(REPLICATOR, replication.database),
            stream = replication.stream,
            database = replication.database,
        );
        clusters[replication.from.other().index()].psql(replication.database, &sql)?;
    }
    for replication in running() {
        let receiver = &clusters[replication.from.other().index()];
        let ready = "SELECT count(*) > 0 AND bool_and(srsubstate = 'r') FROM pg_subscription_rel";
        until(&format!("{} has copied", replication.name), SYNCED_WITHIN, || {
            Ok((receiver.psql(replication.database, ready)? == "t").then_some(()))
        })?;
    }
    clusters[Site::Secondary.index()].psql(
        "config",
        "ALTER ROLE cfg_db NOLOGIN;
         REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public FROM cfg_db",
    )?;
    Ok(())
}

/// The process at the source that sends a replication's changes.
///
/// # Errors
///
/// When there is none.
pub fn sender(cluster: &Postgres, stream: &str) -> anyhow::Result<u32> {
    let sql = format!("SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{stream}'");
    let pid = cluster.psql("postgres", &sql)?;
    if pid.is_empty() {
        bail!("nobody reads the slot {stream}");
    }
    Ok(pid.parse()?)
}
