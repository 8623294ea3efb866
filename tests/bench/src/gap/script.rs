//! The floor: the statements of a planned move, one after the other, by a bare script that knows everything, looks at
//! nothing beforehand and keeps nothing.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::Utc;
use lab::postgres::Postgres;
use lab::system::databases::{REPLICATOR, RUN_TIME};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use tokio_postgres::{Client, NoTls};

use super::database::Servers;
use super::millis;

const EVERY: Duration = Duration::from_millis(1);
const WITHIN: Duration = Duration::from_secs(20);
/// Slot and subscription of each direction: from main, from secondary.
const STREAMS: [&str; 2] = ["lab_config_fwd", "lab_config_rev"];
const RUN: &str = "a-bare-script";

/// The gap of each of `times` moves, there and back in turn, in milliseconds.
pub(crate) async fn gaps(folder: &Path, times: usize) -> anyhow::Result<Vec<f64>> {
    let servers = tokio::task::block_in_place(|| Servers::start(folder, "nats://127.0.0.1:1"))?;
    let mut sites = Vec::new();
    for cluster in &servers.postgres {
        let (client, session) = tokio_postgres::connect(&cluster.dsn(RUN_TIME, "config"), NoTls).await?;
        tokio::spawn(session);
        client.batch_execute("SET synchronous_commit = local").await?;
        sites.push(client);
    }
    let sites: [Client; 2] = sites.try_into().ok().context("two sites")?;
    let acks = servers.client();
    let mut gaps = Vec::new();
    for (turn, epoch) in (0..times).zip(1_i64..) {
        acks.at_work().await?;
        let (from, to) = (turn % 2, 1 - turn % 2);
        for site in &sites {
            site.execute("SELECT pointsman.raise_epoch('cfg', $1, $2)", &[&epoch, &RUN]).await?;
        }
        let since = Utc::now();
        switch(&sites, from, epoch).await?;
        acks.at_work().await?;
        let (start, end) = acks.gap(since)?;
        gaps.push(millis(start, end));
        // Beside the gap: the other way round, and nothing kept for this one.
        tokio::task::block_in_place(|| receive(&servers.postgres[from], &servers.postgres[to], STREAMS[to]))?;
        sites[from].execute("SELECT pg_drop_replication_slot($1)", &[&STREAMS[from]]).await?;
    }
    Ok(gaps)
}

fn receive(receiver: &Postgres, source: &Postgres, stream: &str) -> anyhow::Result<()> {
    let known = format!("SELECT count(*) FROM pg_subscription WHERE subname = '{stream}'");
    let sql = match receiver.psql("config", &known)?.as_str() {
        "0" => format!(
            "CREATE SUBSCRIPTION {stream} CONNECTION '{}' PUBLICATION lab_config
               WITH (create_slot = false, slot_name = '{stream}', copy_data = false)",
            source.dsn(REPLICATOR, "config")
        ),
        _ => format!("ALTER SUBSCRIPTION {stream} ENABLE"),
    };
    receiver.psql("config", &sql).map(drop)
}

/// What the acts send, from the site that is live to the other one.
async fn switch(sites: &[Client; 2], from: usize, epoch: i64) -> anyhow::Result<()> {
    let (source, target) = (&sites[from], &sites[1 - from]);
    let (stream, back) = (STREAMS[from], STREAMS[1 - from]);
    source.execute("SELECT pointsman.close_access('cfg', $1, $2)", &[&epoch, &RUN]).await?;
    until(
        "its sessions end",
        source,
        "SELECT to_jsonb(pointsman.end_writers(clock_timestamp()))",
        &Value::from(0),
    )
    .await?;
    source.execute("SELECT pointsman.close_ended('cfg', $1, $2)", &[&epoch, &RUN]).await?;
    let mark: Value =
        source.query_one("SELECT pointsman.mark('cfg', $1, $2)", &[&epoch, &RUN]).await?.try_get(0)?;
    let (sentinel, lsn) = (&mark["sentinel"], mark["lsn"].as_str().context("a mark has a position")?);
    let drained = format!(
        "SELECT to_jsonb(coalesce((d ->> 'position')::pg_lsn >= '{lsn}', false))
           FROM pointsman.receiver_drained('{stream}', {sentinel}) d"
    );
    until("what was written has come", target, &drained, &Value::Bool(true)).await?;
    target.execute("SELECT pointsman.receiver_disable('cfg', $1, $2, $3)", &[&epoch, &RUN, &stream]).await?;
    let workers = format!("SELECT to_jsonb(pointsman.receiver_end_workers('{stream}'))");
    until("its worker is gone", target, &workers, &Value::from(0)).await?;
    target
        .execute(
            "SELECT pointsman.receiver_stopped('cfg', $1, $2, $3, 'drained', NULL)",
            &[&epoch, &RUN, &stream],
        )
        .await?;
    target
        .execute("SELECT pointsman.set_sequences('cfg', $1, $2, $3)", &[&epoch, &RUN, &mark["sequences"]])
        .await?;
    target.execute("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", &[&back]).await?;
    target
        .execute(
            "SELECT pointsman.open_access('cfg', $1, $2, clock_timestamp() + interval '2 s')",
            &[&epoch, &RUN],
        )
        .await?;
    Ok(())
}

/// Asks again until it answers `wanted`.
async fn until(what: &str, site: &Client, sql: &str, wanted: &Value) -> anyhow::Result<()> {
    let start = Instant::now();
    while site.query_one(sql, &[]).await?.try_get::<_, Value>(0)? != *wanted {
        ensure!(start.elapsed() < WITHIN, "not in time: {what}");
        sleep(EVERY).await;
    }
    Ok(())
}
