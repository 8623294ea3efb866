//! What the disk and the bus take by themselves.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::StreamExt;

use crate::plant::{child, connect};

/// The bytes of a journal entry, about.
const ENTRY: usize = 600;
/// The bytes of a request's body, about.
const BODY: usize = 100;
const SUBJECT: &str = "bench.echo";
const READY_WITHIN: Duration = Duration::from_secs(10);

/// Times of the two floors, one each measurement.
pub(crate) struct Floors {
    pub(crate) fdatasync: Vec<Duration>,
    pub(crate) rtt: Vec<Duration>,
}

/// Measures both in `folder` and through the server at `url`.
pub(crate) async fn measure(folder: &Path, url: &str, count: usize) -> anyhow::Result<Floors> {
    let fdatasync = fdatasync(&folder.join("floor"), count)?;
    let rtt = round_trips(folder, url, count).await?;
    Ok(Floors { fdatasync, rtt })
}

/// An append of one entry's size and fdatasync.
fn fdatasync(path: &Path, count: usize) -> anyhow::Result<Vec<Duration>> {
    let mut file = File::create(path)?;
    let bytes = [b'x'; ENTRY];
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        file.write_all(&bytes)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// Request and reply with a process of its own, one at a time.
async fn round_trips(folder: &Path, url: &str, count: usize) -> anyhow::Result<Vec<Duration>> {
    let _echo = child(folder, "echo", &["echo", url])?;
    let client = connect(url).await?;
    let body = || vec![b'x'; BODY].into();
    let until = Instant::now() + READY_WITHIN;
    while let Err(error) = client.request(SUBJECT, body()).await {
        anyhow::ensure!(Instant::now() < until, "the echo does not answer: {error}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        client.request(SUBJECT, body()).await.context("echo")?;
        times.push(start.elapsed());
    }
    Ok(times)
}

/// The other end: answers every request with its own body, until it is ended.
pub(crate) async fn echo(url: &str) -> anyhow::Result<()> {
    let client = connect(url).await?;
    let mut requests = client.subscribe(SUBJECT).await?;
    while let Some(request) = requests.next().await {
        if let Some(reply) = request.reply {
            client.publish(reply, request.payload).await?;
        }
    }
    Ok(())
}
