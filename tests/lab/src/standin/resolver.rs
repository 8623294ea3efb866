//! A host's resolver: programs ask it for names, and it keeps what it learnt for the TTL.
//!
//! It answers DNS questions by UDP, from the host's hosts file, else from what it keeps, else from the cache above it.
//! By lines on the same port: `FLUSH` → `OK flushed`, `RESOLVE name` → `ADDRESS a`, as a program of the host would get it,
//! or `ERR why`; `PING` → `PONG resolver`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, anyhow};
use domain::base::iana::Rcode;
use domain::base::{Message, MessageBuilder, Rtype};
use domain::rdata::{A, Aaaa};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use super::line::{Lines, listen};
use crate::lookup::lookup;

const WAIT: Duration = Duration::from_millis(500);
/// Less than who asks waits.
const ABOVE_WITHIN: Duration = Duration::from_millis(400);
/// How long "there is no such record" is kept.
const NOTHING_KEPT: Duration = Duration::from_secs(1);
/// Longer than the head of a message; what follows is the question.
const HEAD: usize = 12;
const LONGEST: usize = 1232;
/// More than there are names here; beyond it everything is forgotten.
const KEPT_AT_MOST: usize = 1000;

/// How a resolver is started.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Where the host's programs ask.
    #[arg(long)]
    pub listen: SocketAddr,
    /// The cache above it.
    #[arg(long)]
    pub upstream: SocketAddr,
    /// The host's hosts file, whether it is there or not.
    #[arg(long)]
    pub hosts: Option<PathBuf>,
}

struct Shared {
    options: Options,
    kept: Mutex<Kept>,
}

/// Answers by question, and until when each counts.
type Kept = BTreeMap<Vec<u8>, (Vec<u8>, Instant)>;

/// Serves for ever.
///
/// # Errors
///
/// When it cannot listen.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let at = options.listen;
    let socket = Arc::new(UdpSocket::bind(at).await.with_context(|| format!("listen on {at}"))?);
    let shared = Arc::new(Shared { options, kept: Mutex::default() });
    let names = shared.clone();
    tokio::spawn(async move {
        let mut buffer = [0; LONGEST];
        loop {
            let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
            let question = buffer.get(..length).unwrap_or_default().to_vec();
            let (socket, names) = (socket.clone(), names.clone());
            tokio::spawn(async move {
                // Who gets no answer asks again.
                if let Ok(answer) = names.answer(&question).await {
                    let _ = socket.send_to(&answer, from).await;
                }
            });
        }
    });
    listen(at, move |lines| serve(lines, shared.clone())).await
}

impl Shared {
    async fn answer(&self, question: &[u8]) -> anyhow::Result<Vec<u8>> {
        if let Some(answer) = self.by_hosts_file(question)? {
            return Ok(answer);
        }
        let (id, rest) = (question.get(..2).context("short")?, question.get(HEAD..).context("short")?);
        let kept = self.kept.lock().map_err(|_| anyhow!("cache"))?.get(rest).cloned();
        let mut answer = match kept {
            Some((answer, until)) if Instant::now() < until => answer,
            _ => self.ask_above(question, rest).await?,
        };
        answer.get_mut(..2).context("short")?.copy_from_slice(id);
        Ok(answer)
    }

    /// What the hosts file says of the name; nothing where it does not have it.
    fn by_hosts_file(&self, question: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let text = self.options.hosts.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let Some(text) = text else { return Ok(None) };
        let message = Message::from_octets(question).map_err(|_| anyhow!("no message"))?;
        let asked = message.first_question().context("no question")?;
        let found = in_hosts_file(&text, &asked.qname().to_string());
        if found.is_empty() {
            return Ok(None);
        }
        let mut answer = MessageBuilder::new_vec().start_answer(&message, Rcode::NOERROR)?;
        for address in found {
            match address {
                IpAddr::V4(ip) if asked.qtype() == Rtype::A => answer.push((asked.qname(), 0, A::new(ip)))?,
                IpAddr::V6(ip) if asked.qtype() == Rtype::AAAA => {
                    answer.push((asked.qname(), 0, Aaaa::new(ip)))?;
                }
                _ => {}
            }
        }
        Ok(Some(answer.finish()))
    }

    async fn ask_above(&self, question: &[u8], rest: &[u8]) -> anyhow::Result<Vec<u8>> {
        let socket = UdpSocket::bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)).await?;
        socket.connect(self.options.upstream).await?;
        socket.send(question).await?;
        let mut buffer = [0; LONGEST];
        let length = timeout(ABOVE_WITHIN, socket.recv(&mut buffer)).await??;
        let answer = buffer.get(..length).context("short")?.to_vec();
        if let Some(ttl) = ttl(&answer)? {
            let mut kept = self.kept.lock().map_err(|_| anyhow!("cache"))?;
            if kept.len() >= KEPT_AT_MOST {
                kept.clear();
            }
            kept.insert(rest.to_vec(), (answer.clone(), Instant::now() + ttl));
        }
        Ok(answer)
    }
}

/// The addresses of a name in a hosts file.
fn in_hosts_file(text: &str, name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        if let Some(Ok(address)) = words.next().map(str::parse)
            && words.any(|word| word.eq_ignore_ascii_case(name))
        {
            found.push(address);
        }
    }
    found
}

/// How long an answer may be kept; not at all where the server could not answer.
fn ttl(answer: &[u8]) -> anyhow::Result<Option<Duration>> {
    let message = Message::from_octets(answer).map_err(|_| anyhow!("no message"))?;
    if message.header().rcode() != Rcode::NOERROR {
        return Ok(None);
    }
    let mut lowest = None;
    for record in message.answer()?.limit_to_in::<A>() {
        let ttl = record?.ttl().into_duration();
        lowest = Some(lowest.map_or(ttl, |lowest: Duration| lowest.min(ttl)));
    }
    for record in message.answer()?.limit_to_in::<Aaaa>() {
        let ttl = record?.ttl().into_duration();
        lowest = Some(lowest.map_or(ttl, |lowest: Duration| lowest.min(ttl)));
    }
    Ok(Some(lowest.unwrap_or(NOTHING_KEPT)))
}

async fn serve(mut lines: Lines, shared: Arc<Shared>) -> anyhow::Result<()> {
    while let Some(line) = lines.read().await? {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match word {
            "PING" => "PONG resolver".into(),
            "FLUSH" => {
                shared.kept.lock().map_err(|_| anyhow!("cache"))?.clear();
                "OK flushed".into()
            }
            "RESOLVE" => match resolve(&[shared.options.listen], rest).await {
                Ok(address) => format!("ADDRESS {address}"),
                Err(error) => format!("ERR {error:#}"),
            },
            _ => "ERR unknown word".into(),
        };
        lines.write(&answer).await?;
    }
    Ok(())
}

/// A name, and the port behind it: `NAME`, or `NAME:PORT` where it is another than the usual one.
#[must_use]
pub fn name_and_port(text: &str, usual: u16) -> (&str, u16) {
    match text.split_once(':').map(|(name, port)| (name, port.parse())) {
        Some((name, Ok(port))) => (name, port),
        _ => (text, usual),
    }
}

/// The address of `name`, as the first of these servers that answers says; nothing is kept.
///
/// # Errors
///
/// When no server answers, or the name has no address.
pub async fn resolve(servers: &[SocketAddr], name: &str) -> anyhow::Result<IpAddr> {
    let (servers, asked) = (servers.to_vec(), name.to_owned());
    let answer = tokio::task::spawn_blocking(move || {
        let mut last = anyhow!("no DNS server given");
        for server in &servers {
            match lookup(*server, &asked, WAIT) {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    });
    answer.await??.addresses.first().copied().with_context(|| format!("`{name}` has no address"))
}
