//! The floor: the statements of a planned move, by a bare script that knows everything and checks nothing.

use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::Utc;
use lab::postgres::{Postgres, PostgresOptions};
use lab::standin::schema;
use lab::system::databases;
use lab::system::plan::Site;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use super::client::Acks;
use super::millis;

const EVERY: Duration = Duration::from_millis(2);
const WITHIN: Duration = Duration::from_secs(20);
/// Slot and subscription of each direction: from main, from secondary.
const STREAMS: [&str; 2] = ["fwd", "rev"];

/// The gap of each of `times` moves, there and back in turn, in milliseconds.
pub(crate) async fn gaps(times: usize) -> anyhow::Result<Vec<f64>> {
    let pair = [start(Site::Main)?, start(Site::Secondary)?];
    let mut sites = Vec::new();
    for cluster in &pair {
        let (client, session) = tokio_postgres::connect(&cluster.superuser_dsn("config"), NoTls).await?;
        tokio::spawn(session);
        client.batch_execute(&schema("cfg_db")).await?;
        client
            .batch_execute(
                "CREATE TABLE sentinel (site int PRIMARY KEY, n int NOT NULL);
                 CREATE PUBLICATION pub FOR TABLE entry, sentinel WITH (publish = 'insert, update, delete');
                 SET synchronous_commit = local",
            )
            .await?;
        sites.push(client);
    }
    let sites: [Client; 2] = sites.try_into().ok().context("two sites")?;
    for site in [0, 1] {
        let sql = format!("INSERT INTO sentinel VALUES ({site}, 0)");
        for client in &sites {
            client.batch_execute(&sql).await?;
        }
    }
    close(&sites[1]).await?;
    slot(&sites[0], STREAMS[0]).await?;
    subscribe(&sites[1], &pair[0], STREAMS[0]).await?;
    let acks = Acks::of_databases([pair[0].dsn("cfg_db", "config"), pair[1].dsn("cfg_db", "config")]);
    let mut gaps = Vec::new();
    for turn in 0..times {
        acks.at_work().await?;
        let (from, to) = (turn % 2, 1 - turn % 2);
        let since = Utc::now();
        switch(&sites, from).await?;
        acks.at_work().await?;
        let (start, end) = acks.gap(since)?;
        gaps.push(millis(start, end));
        // Beside the gap: the other way round, and nothing kept for this one.
        subscribe(&sites[from], &pair[to], STREAMS[to]).await?;
        sites[to].batch_execute(&format!("DROP SUBSCRIPTION {}", STREAMS[from])).await?;
    }
    Ok(gaps)
}

fn start(site: Site) -> anyhow::Result<Postgres> {
    let options = PostgresOptions {
        address: site.ip(2),
        databases: vec!["config".into()],
        settings: databases::settings(),
        hba: Vec::new(),
    };
    let cluster = Postgres::start(options)?;
    cluster.psql("postgres", "CREATE ROLE cfg_db LOGIN")?;
    Ok(cluster)
}

async fn slot(site: &Client, stream: &str) -> anyhow::Result<()> {
    let sql = "SELECT pg_create_logical_replication_slot($1, 'pgoutput')";
    site.execute(sql, &[&stream]).await?;
    Ok(())
}

async fn subscribe(site: &Client, source: &Postgres, stream: &str) -> anyhow::Result<()> {
    let sql = format!(
        "CREATE SUBSCRIPTION {stream} CONNECTION '{}' PUBLICATION pub
           WITH (create_slot = false, slot_name = '{stream}', copy_data = false)",
        source.superuser_dsn("config")
    );
    site.batch_execute(&sql).await?;
    Ok(())
}

async fn close(site: &Client) -> anyhow::Result<()> {
    site.batch_execute(
        "BEGIN; ALTER ROLE cfg_db NOLOGIN;
         REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public FROM cfg_db; COMMIT",
    )
    .await?;
    until(
        "its sessions end",
        site,
        "SELECT count(*) = 0 FROM (SELECT pg_terminate_backend(pid)
        FROM pg_stat_activity WHERE usename = 'cfg_db' AND datname = 'config') s",
    )
    .await
}

/// Asks again until it is true.
async fn until(what: &str, site: &Client, sql: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    while !site.query_one(sql, &[]).await?.try_get::<_, bool>(0)? {
        ensure!(start.elapsed() < WITHIN, "not in time: {what}");
        sleep(EVERY).await;
    }
    Ok(())
}

/// What a runbook says, from the site that is live to the other one.
async fn switch(sites: &[Client; 2], from: usize) -> anyhow::Result<()> {
    let (source, target, stream) = (&sites[from], &sites[1 - from], STREAMS[from]);
    close(source).await?;
    let n: i32 = source
        .query_one(&format!("UPDATE sentinel SET n = n + 1 WHERE site = {from} RETURNING n"), &[])
        .await?
        .try_get(0)?;
    let lsn: String = source.query_one("SELECT pg_current_wal_flush_lsn()::text", &[]).await?.try_get(0)?;
    let came = format!("SELECT n >= {n} FROM sentinel WHERE site = {from}");
    until("the mark has come", target, &came).await?;
    let durable = format!(
        "SELECT coalesce(pg_replication_origin_progress('pg_' || oid, true) >= '{lsn}'::pg_lsn, false)
           FROM pg_subscription WHERE subname = '{stream}'"
    );
    until("what came is durable", target, &durable).await?;
    target.batch_execute(&format!("ALTER SUBSCRIPTION {stream} DISABLE")).await?;
    let ended = format!(
        "SELECT count(*) = 0 FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_subscription
           WHERE subname = '{stream}' AND pid IS NOT NULL) s"
    );
    until("its worker is gone", target, &ended).await?;
    let last: Option<i64> = source
        .query_one("SELECT last_value FROM pg_sequences WHERE sequencename = 'entry_id_seq'", &[])
        .await?
        .try_get(0)?;
    target.execute("SELECT setval('entry_id_seq', greatest($1, 1))", &[&last.unwrap_or(1)]).await?;
    slot(target, STREAMS[1 - from]).await?;
    target
        .batch_execute(
            "BEGIN; GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO cfg_db;
             ALTER ROLE cfg_db LOGIN; COMMIT",
        )
        .await?;
    Ok(())
}
