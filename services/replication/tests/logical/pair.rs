//! Two sites with a configuration database each, and the drivers of both halves in both directions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lab::postgres::{Postgres, PostgresOptions};
use postgres::Life;
use postgres::setup::{self, SetupInput};
use replication::postgres::PostgresReplication;
use replication::{Own, Place, PostgresSettings, Settings, set_up};
use responder::{Act, Driver, DriverError, Look};
use schemas::{Action, Attempt, Epoch, Key, Position, ReplicationSeen, RunId, Seen};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) const WITHIN: Duration = Duration::from_secs(15);

pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) cluster: Postgres,
    /// The replication that leaves from here, and the one that arrives here.
    sends: &'static str,
    receives: &'static str,
}

pub(crate) struct Pair {
    pub(crate) main: Site,
    pub(crate) sec: Site,
    folder: tempfile::TempDir,
}

impl Site {
    fn start(name: &'static str, sends: &'static str, receives: &'static str) -> Site {
        let cluster = Postgres::start(PostgresOptions {
            databases: vec!["config".into(), "log".into()],
            settings: vec![("track_functions".into(), "all".into())],
            ..PostgresOptions::default()
        })
        .unwrap();
        let site = Site { name, cluster, sends, receives };
        site.prepare();
        site
    }

    pub(crate) fn prepare(&self) {
        self.psql(
            "CREATE ROLE app LOGIN; CREATE ROLE replicator LOGIN REPLICATION;
             CREATE TABLE t (id bigserial PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY);
             CREATE SEQUENCE loose; CREATE SEQUENCE down INCREMENT -1 MAXVALUE -1;
             GRANT ALL ON ALL TABLES IN SCHEMA public TO app; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO replicator;
             CREATE PUBLICATION pub_config FOR TABLE t, u WITH (publish = 'insert, update, delete')",
        );
        let halves = [self.source_settings().half, self.receiver_settings().half];
        let (receivers, publications) = set_up(halves.iter());
        let input = SetupInput {
            role: "pointsman".into(),
            site: self.name.into(),
            resource: "config".into(),
            database: "config".into(),
            writers: vec!["app".into()],
            schemas: vec!["public".into()],
            receivers,
            publications,
            ..SetupInput::default()
        };
        self.psql(&setup::sql(&input));
    }

    fn source_settings(&self) -> PostgresSettings {
        let slot = if self.sends == "csp" { "fwd_config" } else { "rev_config" };
        settings(json!({"slot": slot, "publication": "pub_config"}))
    }

    fn receiver_settings(&self) -> PostgresSettings {
        let name = if self.receives == "csp" { "fwd_config" } else { "rev_config" };
        settings(json!({ "subscription": name, "server_log": self.cluster.log() }))
    }

    pub(crate) fn psql(&self, sql: &str) -> String {
        self.cluster.psql("config", sql).unwrap()
    }

    /// Waits until a query answers `wanted`.
    pub(crate) async fn until(&self, query: &str, wanted: &str) {
        let start = Instant::now();
        loop {
            let found = self.psql(query);
            if found == wanted {
                return;
            }
            assert!(start.elapsed() < WITHIN, "{query}: {found}, not {wanted}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn close(&self, epoch: u64) {
        let run = run(epoch);
        self.psql(&format!(
            "SELECT pointsman.raise_epoch('cfg', {epoch}, '{run}');
             SELECT pointsman.close_access('cfg', {epoch}, '{run}'); SELECT pointsman.end_writers(now())"
        ));
    }

    pub(crate) fn open(&self, epoch: u64) {
        let run = run(epoch);
        self.psql(&format!(
            "SELECT pointsman.raise_epoch('cfg', {epoch}, '{run}');
             SELECT pointsman.open_access('cfg', {epoch}, '{run}', now() + '1 min')"
        ));
    }

    pub(crate) fn count(&self) -> u64 {
        self.psql("SELECT count(*) FROM t").parse().unwrap()
    }

    pub(crate) async fn session(&self, role: &str, database: &str) -> tokio_postgres::Client {
        let dsn = self.cluster.dsn(role, database);
        let (client, connection) = tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(async move { drop(connection.await) });
        client
    }
}

fn settings(half: Value) -> PostgresSettings {
    let mut text = json!({"driver": "postgres", "database": "config", "peer": "file:peer.dsn"});
    for (name, value) in half.as_object().unwrap() {
        text[name] = value.clone();
    }
    match serde_json::from_value::<Settings>(text).unwrap() {
        Settings::Postgres(settings) => settings,
        Settings::Memory(_) => panic!("memory"),
    }
}

impl Pair {
    /// Two sites, both open, nothing replicated yet.
    pub(crate) fn bare() -> Pair {
        let starting = std::thread::spawn(|| Site::start("secondary", "css", "csp"));
        let main = Site::start("main", "csp", "css");
        let sec = starting.join().unwrap();
        Pair { main, sec, folder: tempfile::tempdir().unwrap() }
    }

    /// Two sites in normal service: main open, replicated to secondary, which is closed. Epoch 1.
    pub(crate) async fn start() -> Pair {
        let pair = Pair::bare();
        pair.sec.close(1);
        pair.main.open(1);
        pair.source(&pair.main).act(&act(Action::Capture, 1, Value::Null)).await.unwrap();
        pair.receiver(&pair.sec).act(&act(Action::StartReplication, 1, Value::Null)).await.unwrap();
        pair
    }

    pub(crate) fn other<'a>(&'a self, site: &Site) -> &'a Site {
        if site.name == "main" { &self.sec } else { &self.main }
    }

    fn driver(&self, site: &Site, resource: &str, settings: PostgresSettings) -> Arc<PostgresReplication> {
        let folder = self.folder.path().join(site.name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("own.dsn"), site.cluster.dsn("pointsman", "config")).unwrap();
        let peer = self.other(site).cluster.dsn("replicator", "config");
        std::fs::write(folder.join("peer.dsn"), peer).unwrap();
        let own = Own { dsn: folder.join("own.dsn"), identity: None };
        let place = Place {
            site: site.name.parse().unwrap(),
            resource: resource.parse().unwrap(),
            state: folder.join("state"),
            folder,
            life: Life::new(Uuid::new_v4()),
        };
        Arc::new(PostgresReplication::new(settings, &own, &place))
    }

    /// From now on the service at `site` finds the other one by this connection string.
    pub(crate) fn moves_peer(&self, site: &Site, dsn: &str) {
        std::fs::write(self.folder.path().join(site.name).join("peer.dsn"), dsn).unwrap();
    }

    /// A new life of the service at the source's half of what leaves from `site`.
    pub(crate) fn source(&self, site: &Site) -> Arc<PostgresReplication> {
        self.driver(site, site.sends, site.source_settings())
    }

    pub(crate) fn source_with(
        &self,
        site: &Site,
        change: impl FnOnce(&mut PostgresSettings),
    ) -> Arc<PostgresReplication> {
        let mut settings = site.source_settings();
        change(&mut settings);
        self.driver(site, site.sends, settings)
    }

    /// A new life of the service at the receiver's half of what arrives at `site`.
    pub(crate) fn receiver(&self, site: &Site) -> Arc<PostgresReplication> {
        self.driver(site, site.receives, site.receiver_settings())
    }

    pub(crate) fn receiver_with(
        &self,
        site: &Site,
        change: impl FnOnce(&mut PostgresSettings),
    ) -> Arc<PostgresReplication> {
        let mut settings = site.receiver_settings();
        change(&mut settings);
        self.driver(site, site.receives, settings)
    }

    /// The part of a planned move between close and open: mark, drain, stop, sequences, capture.
    pub(crate) async fn hand_over(&self, from: &Site, to: &Site, epoch: u64) {
        let (source, receiver) = (self.source(from), self.receiver(to));
        let mark = source.act(&act(Action::Mark, epoch, Value::Null)).await.unwrap();
        for action in [Action::Drain, Action::StopReplication, Action::SetSequences] {
            receiver.act(&act(action, epoch, mark.clone())).await.unwrap();
        }
        self.source(to).act(&act(Action::Capture, epoch, Value::Null)).await.unwrap();
    }

    /// Waits until what is written at `from` is at `to`, and compares every row.
    pub(crate) async fn same(&self, from: &Site, to: &Site) {
        let sum =
            "SELECT count(*) || ' ' || coalesce(sum(hashtextextended(x::text, 0)::numeric), 0) FROM t x";
        to.until(sum, &from.psql(sum)).await;
    }
}

fn run(epoch: u64) -> RunId {
    RunId(Uuid::from_u128(u128::from(epoch)))
}

pub(crate) fn args(action: Action, mark: &Value) -> Value {
    let mut args = json!({"resource": "csp", "site": "main"});
    if !mark.is_null() && action != Action::Abandon {
        args["mark"] = mark.clone();
    }
    args
}

pub(crate) fn act(action: Action, epoch: u64, mark: Value) -> Act {
    let run = run(epoch);
    Act {
        action,
        args: args(action, &mark),
        group: "cfg".parse().unwrap(),
        epoch: Epoch(epoch),
        run,
        key: Key { run, position: Position::new("/do/0/a").unwrap() },
        attempt: Attempt::FIRST,
        within: WITHIN,
        not_after: None,
    }
}

pub(crate) async fn in_effect(driver: &PostgresReplication, action: Action, mark: &Value) -> bool {
    match driver.look(action, &args(action, mark)).await {
        Look::InEffect(_) => true,
        Look::NotInEffect(_) => false,
        Look::CannotTell(why) => panic!("{why}"),
    }
}

pub(crate) async fn seen(driver: &PostgresReplication) -> ReplicationSeen {
    match driver.observe().await.unwrap() {
        Seen::Replication(seen) => seen,
        other => panic!("{other:?}"),
    }
}

/// What a refused act says.
pub(crate) fn refusal(result: Result<Value, DriverError>) -> String {
    match result {
        Err(error @ DriverError::NotDone { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}
