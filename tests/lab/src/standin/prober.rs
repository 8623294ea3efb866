//! Monitoring: it probes a site and says on the bus when nothing of it answers any more.
//!
//! A site is lost when all probes fail `misses` times in a row: a master that answers without its
//! database, or a database without its master, is an incident of another kind. A probe speaks the
//! protocol; that a port accepts proves nothing. While the site is lost an event goes out once a
//! second, and one when it answers again.

use std::net::SocketAddr;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, HeaderMap};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_postgres::Config;

use super::line::Lines;
use super::message::answers;
use super::now_ms;

const SILENCE: Duration = Duration::from_secs(1);
const REPEAT: Duration = Duration::from_secs(1);

/// How a prober is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// A NATS server; may be given more than once.
    #[arg(long, required = true)]
    pub nats: Vec<String>,
    /// A file of NATS credentials.
    #[arg(long)]
    pub creds: Option<std::path::PathBuf>,
    /// First part of all subjects.
    #[arg(long, default_value = "pointsman")]
    pub prefix: String,
    /// Where the prober is.
    #[arg(long)]
    pub place: String,
    /// The site that it probes.
    #[arg(long)]
    pub site: String,
    /// A master of the site; may be given more than once.
    #[arg(long)]
    pub master: Vec<SocketAddr>,
    /// A database of the site (connection string); may be given more than once.
    #[arg(long)]
    pub database: Vec<String>,
    /// Rounds of failed probes after which the site is lost.
    #[arg(long, default_value_t = 3)]
    pub misses: u32,
    /// Milliseconds between rounds.
    #[arg(long, default_value_t = 500)]
    pub every: u64,
    /// Written after each round, while the bus takes what it has to say.
    #[arg(long)]
    pub beat: Option<std::path::PathBuf>,
}

/// Probes for ever.
///
/// # Errors
///
/// When a connection string is no such, or the beat cannot be written.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let databases = options.database.iter().map(|dsn| dsn.parse()).collect::<Result<Vec<Config>, _>>()?;
    let mut connecting = ConnectOptions::new()
        .retry_on_initial_connect()
        .ping_interval(SILENCE)
        .name(format!("prober of {}", options.site));
    if let Some(creds) = &options.creds {
        connecting = connecting.credentials_file(creds).await?;
    }
    let bus = connecting.connect(&options.nats).await?;
    let mut ticks = interval(Duration::from_millis(options.every.max(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut misses = 0_u32;
    let mut told: Option<Instant> = None;
    loop {
        ticks.tick().await;
        let alive = probe(&options.master, &databases).await;
        misses = if alive { 0 } else { misses.saturating_add(1) };
        if alive && told.take().is_some() {
            tell(&bus, &options, "alive", 0).await;
        } else if misses >= options.misses && told.is_none_or(|at| at.elapsed() >= REPEAT) {
            tell(&bus, &options, "lost", misses).await;
            told = Some(Instant::now());
        }
        if let Some(beat) = options.beat.as_ref().filter(|_| bus.connection_state() == State::Connected) {
            std::fs::write(beat, now_ms().to_string())?;
        }
    }
}

/// Whether anything answers; all are asked at once.
async fn probe(masters: &[SocketAddr], databases: &[Config]) -> bool {
    let mut probes = tokio::task::JoinSet::new();
    for at in masters.iter().copied() {
        probes.spawn(async move {
            let mut lines = Lines::connect(at, SILENCE).await?;
            lines.ask("PING", SILENCE).await.map(|_| ())
        });
    }
    for config in databases {
        let config = config.clone();
        probes.spawn(async move { answers(&config, SILENCE).await });
    }
    while let Some(done) = probes.join_next().await {
        if matches!(done, Ok(Ok(()))) {
            return true;
        }
    }
    false
}

/// Best effort: it is said again while it is true.
async fn tell(bus: &Client, options: &Options, kind: &str, misses: u32) {
    let event = event(options, kind, misses);
    let subject = format!("{}.event.in.{}.site-{kind}", options.prefix, options.place);
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", "application/cloudevents+json");
    println!("{event}");
    if let Err(error) = bus.publish_with_headers(subject, headers, event.to_string().into()).await {
        println!("not sent: {error}");
    }
    let _ = tokio::time::timeout(SILENCE, bus.flush()).await;
}

fn event(options: &Options, kind: &str, misses: u32) -> Value {
    let now = chrono::Utc::now();
    json!({
        "specversion": "1.0",
        "id": format!("{}-{kind}-{}", options.site, now.timestamp_micros()),
        "source": format!("/prober/{}", options.place),
        "type": format!("io.pointsman.site.{kind}.v1"),
        "subject": options.site,
        "time": now.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        "datacontenttype": "application/json",
        "data": { "site": options.site, "misses": misses },
    })
}
