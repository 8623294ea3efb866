//! What is said by day of what would stand in the way at night.

use std::time::Duration;

use replication::postgres::PostgresReplication;
use responder::Driver;
use schemas::{CheckLine, Level};

use crate::pair::Pair;

async fn line(driver: &PostgresReplication, what: &str) -> CheckLine {
    // A service gives all lines together this long.
    let lines = tokio::time::timeout(Duration::from_secs(3), driver.preflight()).await.unwrap();
    lines.iter().find(|line| line.what == what).unwrap_or_else(|| panic!("{what}: {lines:?}")).clone()
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
        (&source, "wal-keep"),
        (&source, "publication"),
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
    let found = line(&receiver, "schema").await;
    assert!(found.text.contains("public.u is missing"), "{found:?}");
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
