//! One database with an application's role, and the driver on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use database::postgres::PostgresAccess;
use database::{Place, PostgresSettings, Settings};
use lab::postgres::{Postgres, PostgresOptions};
use postgres::Life;
use postgres::settings::Access as Mode;
use postgres::setup::{self, SetupInput};
use responder::{Act, Driver, DriverError, Look};
use schemas::{Access, Action, Attempt, DatabaseSeen, Epoch, Key, Position, RunId, Seen};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const WITHIN: Duration = Duration::from_secs(10);
pub(crate) use schemas::Action::{DisableAccess as Close, EnableAccess as Open};

pub(crate) struct Site {
    pub(crate) cluster: Postgres,
    pub(crate) mode: Mode,
    folder: tempfile::TempDir,
}

impl Site {
    pub(crate) fn start(mode: Mode) -> Site {
        let cluster = Postgres::start(PostgresOptions {
            databases: vec!["config".into(), "log".into()],
            ..PostgresOptions::default()
        })
        .unwrap();
        cluster
            .psql(
                "config",
                "CREATE ROLE app LOGIN; CREATE ROLE config_rw; CREATE TABLE t (id bigserial PRIMARY KEY, n int);
                 CREATE TABLE u (id int PRIMARY KEY); GRANT SELECT ON ALL TABLES IN SCHEMA public TO app;
                 GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app;",
            )
            .unwrap();
        let grant = match &mode {
            Mode::Group(via) => {
                format!(
                    "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {via}; GRANT {via} TO app"
                )
            }
            _ => "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO app".into(),
        };
        cluster.psql("config", &grant).unwrap();
        let site = Site { cluster, mode, folder: tempfile::tempdir().unwrap() };
        site.set_up("app");
        std::fs::write(site.folder.path().join("config.dsn"), site.cluster.dsn("pointsman", "config"))
            .unwrap();
        site
    }

    pub(crate) fn set_up(&self, writer: &str) {
        let input = SetupInput {
            role: "pointsman".into(),
            site: "main".into(),
            resource: "config".into(),
            database: "config".into(),
            writers: vec![writer.into()],
            access: self.mode.clone(),
            schemas: vec!["public".into()],
            ..SetupInput::default()
        };
        self.cluster.psql("config", &setup::sql(&input)).unwrap();
    }

    pub(crate) fn psql(&self, sql: &str) -> String {
        self.cluster.psql("config", sql).unwrap()
    }

    /// The driver of one life of the service.
    pub(crate) fn driver(&self) -> Arc<PostgresAccess> {
        self.driver_for("app")
    }

    pub(crate) fn driver_for(&self, writer: &str) -> Arc<PostgresAccess> {
        let access = serde_json::to_value(&self.mode).unwrap();
        let text =
            json!({"driver": "postgres", "dsn": "file:config.dsn", "writers": [writer], "access": access});
        let Ok(Settings::Postgres(settings)) = serde_json::from_value::<Settings>(text) else {
            panic!("settings");
        };
        let settings: PostgresSettings = settings;
        let place = Place {
            site: "main".parse().unwrap(),
            resource: "config".parse().unwrap(),
            folder: self.folder.path().into(),
            state: self.folder.path().into(),
            life: Life::new(Uuid::new_v4()),
        };
        Arc::new(PostgresAccess::new(settings, &place, exec::Guard::this_program()))
    }

    /// A session of a role, for a test that drives it by hand.
    pub(crate) async fn session(&self, role: &str) -> tokio_postgres::Client {
        let dsn = self.cluster.dsn(role, "config");
        let (client, connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        client
    }

    /// Waits until a query answers `wanted`.
    pub(crate) async fn until(&self, query: &str, wanted: &str) {
        let start = Instant::now();
        while self.psql(query) != wanted {
            assert!(start.elapsed() < WITHIN, "{query}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) fn args() -> Value {
    json!({"resource": "config", "site": "main"})
}

pub(crate) fn act(action: Action, epoch: u64) -> Act {
    let run = RunId(Uuid::from_u128(u128::from(epoch)));
    Act {
        action,
        args: args(),
        group: "cfg".parse().unwrap(),
        epoch: Epoch(epoch),
        run,
        key: Key { run, position: Position::new("/do/0/a").unwrap() },
        attempt: Attempt::FIRST,
        within: WITHIN,
        not_after: None,
    }
}

pub(crate) async fn claim(driver: &PostgresAccess, epoch: u64) -> Result<(), DriverError> {
    let act = act(Close, epoch);
    driver.raise_epoch(&act.group, act.epoch, act.run).await
}

pub(crate) async fn seen(driver: &PostgresAccess) -> DatabaseSeen {
    match driver.observe().await.unwrap() {
        Seen::Database(seen) => seen,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn access(driver: &PostgresAccess) -> Access {
    seen(driver).await.access
}

pub(crate) async fn in_effect(driver: &PostgresAccess, action: Action) -> bool {
    match driver.look(action, &args()).await {
        Look::InEffect(_) => true,
        Look::NotInEffect(_) => false,
        Look::CannotTell(why) => panic!("{why}"),
    }
}
