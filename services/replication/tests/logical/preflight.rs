//! What is said by day of what would stand in the way at night.

use std::time::Duration;

use replication::postgres::PostgresReplication;
use responder::Driver;
use schemas::{Action, CheckLine, Code, Level};
use serde_json::json;

use crate::pair::Pair;

async fn lines(driver: &PostgresReplication) -> Vec<CheckLine> {
    // A service gives all lines together this long.
    tokio::time::timeout(Duration::from_secs(3), driver.preflight()).await.unwrap()
}

async fn line(driver: &PostgresReplication, what: &str) -> CheckLine {
    let lines = lines(driver).await;
    lines.iter().find(|line| line.what == what).unwrap_or_else(|| panic!("{what}: {lines:?}")).clone()
}

/// What is said of the tables, each line at its level.
async fn differences(driver: &PostgresReplication) -> Vec<(Level, String)> {
    let lines = lines(driver).await;
    let told = lines.iter().filter(|line| line.what == "schema" && line.level != Level::Green);
    told.map(|line| {
        assert!(line.remedy.is_some(), "{line:?}");
        (line.level, line.text.clone())
    })
    .collect()
}

async fn alike(driver: &PostgresReplication) {
    let found = differences(driver).await;
    assert!(found.is_empty(), "{found:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_named() {
    let pair = Pair::start().await;
    let (source, receiver) = (pair.source(&pair.main), pair.receiver(&pair.sec));
    // As a server comes: a slot may keep without end.
    let found = line(&source, "wal-keep").await;
    assert!(found.level == Level::Red && found.remedy.is_some(), "{found:?}");
    for sql in ["ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'", "SELECT pg_reload_conf()"] {
        pair.main.psql(sql);
    }
    pair.main.until("SHOW max_slot_wal_keep_size", "1GB").await;
    for (driver, what) in [
        (&source, "setup-version"),
        (&source, "wal-keep"),
        (&source, "publication"),
        (&receiver, "setup-version"),
        (&receiver, "peer"),
        (&receiver, "schema"),
        (&receiver, "tables"),
        (&receiver, "credentials"),
    ] {
        let line = line(driver, what).await;
        assert_eq!(line.level, Level::Green, "{line:?}");
    }

    let soon = "(now() + interval '5 days')::text";
    pair.main
        .psql(&format!("DO $$ BEGIN EXECUTE format('ALTER ROLE replicator VALID UNTIL %L', {soon}); END $$"));
    let found = line(&receiver, "credentials").await;
    assert!(found.level == Level::Amber && found.text.contains("password of replicator"), "{found:?}");
    pair.main.psql("ALTER ROLE replicator VALID UNTIL 'infinity'");

    // Published later, and nobody told the subscription.
    for site in [&pair.main, &pair.sec] {
        site.psql("CREATE TABLE later (id int PRIMARY KEY); GRANT SELECT ON later TO replicator");
    }
    pair.main.psql("ALTER PUBLICATION pub_config ADD TABLE later");
    let found = line(&receiver, "tables").await;
    assert!(found.level == Level::Red && found.text.contains("public.later"), "{found:?}");
    pair.sec.psql("ALTER SUBSCRIPTION fwd_config REFRESH PUBLICATION");
    assert_eq!(line(&receiver, "tables").await.level, Level::Green);

    pair.sec.psql("ALTER TABLE t ALTER v TYPE varchar(10)");
    let found = line(&receiver, "schema").await;
    assert!(found.level == Level::Red && found.text.contains("public.t.v"), "{found:?}");
    pair.sec.psql("DROP TABLE u");
    let found = differences(&receiver).await;
    assert!(found.iter().any(|(_, text)| text.contains("public.u is missing at secondary")), "{found:?}");
}

/// What would stop the receiver is red, each with table, object and side, and does stop it; what bites after a move only
/// is amber. The half of the other direction, to which nothing comes, says of it what would stop that one later.
#[tokio::test(flavor = "multi_thread")]
async fn what_differs_of_the_tables_is_red_where_it_stops_the_receiver() {
    let pair = Pair::start().await;
    let receiver = pair.receiver(&pair.sec);
    alike(&receiver).await;
    pair.sec.psql(
        "ALTER TABLE t ADD CONSTRAINT short CHECK (length(v) < 9), ALTER v SET NOT NULL;
         CREATE UNIQUE INDEX t_once ON t (v);
         ALTER TABLE u ADD more int NOT NULL;
         CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE TRIGGER always BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION noted();
         ALTER TABLE t ENABLE ALWAYS TRIGGER always;
         CREATE TRIGGER plain BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION noted()",
    );
    pair.main.psql("CREATE INDEX t_both ON t (v, id); ALTER TABLE t ADD CONSTRAINT counted CHECK (id > 0)");
    let found = differences(&receiver).await;
    for (level, part) in [
        (Level::Red, "public.t: check constraint short is only at secondary"),
        (Level::Red, "public.t.v is NOT NULL only at secondary"),
        (Level::Red, "public.t: unique index t_once (v) is unique only at secondary"),
        (Level::Red, "public.t: trigger always fires for rows that come at secondary"),
        (Level::Red, "public.u.more at secondary is NOT NULL"),
        (Level::Amber, "public.t: trigger plain is only at secondary"),
        (Level::Amber, "public.t: index t_both (v, id) is only at the source"),
        (Level::Amber, "public.t: check constraint counted is only at the source"),
    ] {
        assert!(found.iter().any(|(at, text)| *at == level && text.starts_with(part)), "{part}: {found:#?}");
    }
    assert_eq!(found.len(), 8, "{found:#?}");
    let other = differences(&pair.receiver(&pair.main)).await;
    assert!(other.len() == 1 && other[0].1.starts_with("public.u.more is missing at main"), "{other:#?}");

    // It is as it was said.
    pair.main.cluster.psql_as("app", "config", "INSERT INTO t (v) VALUES ('much too long')").unwrap();
    pair.sec.until("SELECT apply_error_count > 0 FROM pg_stat_subscription_stats", "t").await;
    // Mended as the lines say, it goes on.
    pair.sec.psql(
        "ALTER TABLE t DROP CONSTRAINT short, ALTER v DROP NOT NULL, ADD CONSTRAINT counted CHECK (id > 0);
         DROP INDEX t_once; ALTER TABLE u DROP more; DROP TRIGGER always ON t; DROP TRIGGER plain ON t;
         CREATE INDEX t_both ON t (v, id)",
    );
    alike(&receiver).await;
    pair.same(&pair.main, &pair.sec).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_source_stands_against_nothing() {
    let pair = Pair::start().await;
    let receiver = pair.receiver(&pair.sec);
    // Connections succeed, and nothing answers: what a frozen site does.
    let frozen = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = frozen.local_addr().unwrap().port();
    pair.moves_peer(&pair.sec, &format!("postgresql://replicator@127.0.0.1:{port}/config"));
    let found = line(&receiver, "peer").await;
    assert_eq!(found.level, Level::Amber, "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_set_up_is_told_by_day_and_refused_before_a_copy() {
    let pair = Pair::bare();
    let (source, receiver) = (pair.source(&pair.main), pair.receiver(&pair.sec));
    pair.main
        .psql("CREATE OR REPLACE FUNCTION pointsman.setup_version() RETURNS int LANGUAGE sql AS 'SELECT 0'");
    pair.sec.psql("DROP FUNCTION pointsman.setup_version()");
    for driver in [&source, &receiver] {
        let found = line(driver, "setup-version").await;
        assert!(found.level == Level::Red && found.text.contains("version 0"), "{found:?}");
        assert!(found.remedy.unwrap().contains("pointsman setup postgres --print"));
    }
    let args = json!({ "resource": "csp", "site": "secondary" });
    let waived = json!({ "resource": "csp", "site": "secondary", "waived": "anna: a test" });
    for (action, args) in [(Action::Compare, args), (Action::Copy, waived)] {
        let problem = receiver.check(action, &args).await.unwrap_err();
        assert_eq!(problem.code, Code::BadConfiguration, "{problem}");
    }
}
