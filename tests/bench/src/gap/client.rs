//! Clients that write every 10 ms and note when they were acknowledged.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use chrono::{DateTime, Utc};
use lab::standin::line::Lines;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_postgres::NoTls;

const EVERY: Duration = Duration::from_millis(10);
const SILENCE: Duration = Duration::from_secs(1);
/// One try in so many is at the place where the client was last.
const LEFT_EVERY: usize = 8;
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
/// Acknowledgements in a row, without a gap, after which a client is at work.
const AT_WORK: usize = 20;
/// A pause that is none yet.
const NO_GAP_MS: f64 = 100.0;

/// When writes were acknowledged. The clients end with it.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    times: Arc<Mutex<Vec<DateTime<Utc>>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Drop for Acks {
    fn drop(&mut self) {
        for client in &self.clients {
            client.abort();
        }
    }
}

impl Acks {
    /// One client of a database that is open at one of two places: it connects wherever it is let in.
    pub(crate) fn of_databases(dsns: [String; 2]) -> Acks {
        let mut all = Acks::default();
        all.clients.push(tokio::spawn(write_database(dsns, all.times.clone())));
        all
    }

    /// A client of each proxy, with numbers of its own.
    pub(crate) fn of_proxies(proxies: &[SocketAddr]) -> Acks {
        let mut all = Acks::default();
        for (index, proxy) in (1..).zip(proxies) {
            let first = index * 1_000_000_000;
            all.clients.push(tokio::spawn(write_proxy(*proxy, first, all.times.clone())));
        }
        all
    }

    fn times(&self) -> Vec<DateTime<Utc>> {
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner).clone();
        times.sort_unstable();
        times
    }

    /// Waits until writes come in again, one after the other.
    pub(crate) async fn at_work(&self) -> anyhow::Result<()> {
        let (since, start) = (Utc::now(), Instant::now());
        loop {
            let times = self.times();
            let fresh: Vec<_> = times.iter().filter(|time| **time > since).collect();
            let last: Vec<_> = fresh.iter().rev().take(AT_WORK).collect();
            if last.len() == AT_WORK
                && last.windows(2).all(|pair| super::millis(**pair[1], **pair[0]) < NO_GAP_MS)
            {
                return Ok(());
            }
            ensure!(start.elapsed() < SETTLED_WITHIN, "the client does not write");
            tokio::time::sleep(EVERY).await;
        }
    }

    /// The longest time without an acknowledgement that ended after `since`.
    pub(crate) fn gap(&self, since: DateTime<Utc>) -> anyhow::Result<(DateTime<Utc>, DateTime<Utc>)> {
        let times = self.times();
        let pairs = times.windows(2).map(|pair| (pair[0], pair[1])).filter(|(_, to)| *to >= since);
        pairs.max_by_key(|(from, to)| *to - *from).context("nothing was acknowledged")
    }
}

fn note(times: &Mutex<Vec<DateTime<Utc>>>) {
    times.lock().unwrap_or_else(PoisonError::into_inner).push(Utc::now());
}

async fn write_database(dsns: [String; 2], times: Arc<Mutex<Vec<DateTime<Utc>>>>) {
    let (mut left, mut tries) = (1, 0);
    let mut link: Option<tokio_postgres::Client> = None;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut n: i64 = 0;
    loop {
        ticks.tick().await;
        if link.is_none() {
            // The place that it lost is asked now and then; the other one each time.
            tries = (tries + 1) % LEFT_EVERY;
            let at = if tries == 0 { left } else { 1 - left };
            if let Ok(Ok((client, session))) =
                tokio::time::timeout(SILENCE, tokio_postgres::connect(&dsns[at], NoTls)).await
            {
                tokio::spawn(session);
                link = Some(client);
                (left, tries) = (at, 0);
            }
        }
        let Some(client) = &link else { continue };
        n += 1;
        let sql = "INSERT INTO entry (n, text) VALUES ($1, 'gap')";
        match tokio::time::timeout(SILENCE, client.execute(sql, &[&n])).await {
            Ok(Ok(_)) => note(&times),
            _ => link = None,
        }
    }
}

async fn write_proxy(proxy: SocketAddr, first: i64, times: Arc<Mutex<Vec<DateTime<Utc>>>>) {
    let mut link: Option<Lines> = None;
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut n = first;
    loop {
        ticks.tick().await;
        if link.is_none() {
            link = Lines::connect(proxy, SILENCE).await.ok();
        }
        let Some(lines) = &mut link else { continue };
        n += 1;
        match lines.ask(&format!("WRITE {n} gap"), SILENCE * 3).await {
            Ok(said) if said.starts_with("OK ") => note(&times),
            // In limited mode it takes no writes, and says so.
            Ok(_) => {}
            Err(_) => link = None,
        }
    }
}
