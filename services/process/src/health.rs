//! The health gate: a command, an HTTP request, or a line of protocol. That a port takes connections proves
//! nothing: a frozen process does.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use exec::{Check, Guard, Occasion, Script};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The most that is read of an answer, in bytes.
const ANSWER_MAX: u64 = 64 * 1024;

/// What is asked, and how long it may take.
#[derive(Debug, Clone)]
pub struct Health {
    /// What is asked.
    pub ask: Ask,
    /// The bound of one probe, connecting included.
    pub within: Duration,
}

/// What a probe asks.
#[derive(Debug, Clone)]
pub enum Ask {
    /// Exit 0 healthy, 1 not, else it cannot tell.
    Command {
        /// The program.
        program: PathBuf,
        /// For its environment.
        occasion: Occasion,
        /// How to start a guard.
        guard: Guard,
    },
    /// `GET path`, HTTP/1.1, without TLS.
    Http {
        /// `host:port` to connect to.
        address: String,
        /// From the first `/`.
        path: String,
        /// The status that is healthy; none: 200 to 299.
        status: Option<u16>,
        /// A text that the answer must hold, within its first 64 KiB.
        expect: Option<String>,
    },
    /// Bytes are sent, and a text must come back.
    Line {
        /// `host:port` to connect to.
        address: String,
        /// Sent as it is; empty where the server speaks first.
        send: String,
        /// What must come, within the first 64 KiB.
        expect: String,
    },
}

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It answers as it should.
    Healthy,
    /// Nobody is there: a connection is refused, or the command says so.
    Absent(String),
    /// Somebody is there, and does not answer as it should.
    Unhealthy(String),
    /// Whether anybody is there is not known.
    CannotTell(String),
}

impl Health {
    /// Asks once; changes nothing. Whoever took the connection has `patience` to answer, within the bound of the
    /// whole; a command has the whole.
    pub async fn probe(&self, patience: Duration) -> Probe {
        match &self.ask {
            Ask::Command { program, occasion, guard } => {
                let script = Script::new(program, self.within).arg("health").on(occasion);
                match script.run(guard).await {
                    Err(cause) => Probe::CannotTell(cause.to_string()),
                    Ok(ended) => match ended.check() {
                        Check::InEffect => Probe::Healthy,
                        Check::NotInEffect => Probe::Absent(ended.to_string()),
                        Check::CannotTell(why) => Probe::CannotTell(why),
                    },
                }
            }
            Ask::Http { address, path, status, expect } => {
                let request = format!(
                    "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: pointsman\r\nAccept: */*\r\n\
                     Connection: close\r\n\r\n"
                );
                let good = |answer: &[u8], end: bool| http(answer, end, *status, expect.as_deref());
                self.talk(address, patience, request.as_bytes(), good).await
            }
            Ask::Line { address, send, expect } => {
                let good = |answer: &[u8], end: bool| {
                    if contains(answer, expect.as_bytes()) {
                        return Verdict::Good;
                    }
                    let text = format!("it answered `{}`, not `{}`", shown(answer), shown(expect.as_bytes()));
                    if end { Verdict::Bad(text) } else { Verdict::More(text) }
                };
                self.talk(address, patience, send.as_bytes(), good).await
            }
        }
    }

    async fn talk(
        &self,
        address: &str,
        patience: Duration,
        send: &[u8],
        good: impl Fn(&[u8], bool) -> Verdict,
    ) -> Probe {
        let deadline = tokio::time::Instant::now() + self.within;
        let mut stream = match tokio::time::timeout_at(deadline, TcpStream::connect(address)).await {
            Err(_) => return Probe::CannotTell(format!("{address} did not take a connection")),
            Ok(Err(cause)) if cause.kind() == io::ErrorKind::ConnectionRefused => {
                return Probe::Absent(format!("nobody listens at {address}"));
            }
            Ok(Err(cause)) => return Probe::CannotTell(format!("{address}: {cause}")),
            Ok(Ok(stream)) => stream,
        };
        let within = self.within.min(patience);
        let deadline = deadline.min(tokio::time::Instant::now() + within);
        let mut answer = Vec::new();
        let read = async {
            stream.write_all(send).await?;
            converse(&mut stream, &mut answer, &good).await
        };
        match tokio::time::timeout_at(deadline, read).await {
            Ok(Ok(Verdict::Good)) => Probe::Healthy,
            Ok(Ok(Verdict::Bad(why) | Verdict::More(why))) => Probe::Unhealthy(format!("{address}: {why}")),
            Ok(Err(cause)) => Probe::Unhealthy(format!("{address}: {cause}")),
            Err(_) => Probe::Unhealthy(format!("{address} did not answer within {within:?}")),
        }
    }
}

enum Verdict {
    Good,
    Bad(String),
    /// Not yet; at the end of the answer this is why.
    More(String),
}

async fn converse(
    stream: &mut (impl AsyncRead + Unpin),
    answer: &mut Vec<u8>,
    good: &impl Fn(&[u8], bool) -> Verdict,
) -> io::Result<Verdict> {
    let mut stream = stream.take(ANSWER_MAX);
    loop {
        let got = stream.read_buf(answer).await?;
        match good(answer, got == 0) {
            Verdict::More(_) if got > 0 => {}
            verdict => return Ok(verdict),
        }
    }
}

/// RFC 9112: a status line, fields, an empty line, the body.
fn http(answer: &[u8], end: bool, status: Option<u16>, expect: Option<&str>) -> Verdict {
    let more = |why: String| if end { Verdict::Bad(why) } else { Verdict::More(why) };
    let Some(line) = answer.split(|&byte| byte == b'\n').next().filter(|line| line.len() < answer.len())
    else {
        return more(format!("it answered `{}`, not HTTP", shown(answer)));
    };
    let line = String::from_utf8_lossy(line);
    let mut words = line.split_whitespace();
    let version = words.next().unwrap_or_default();
    let code = words.next().and_then(|code| code.parse::<u16>().ok());
    let (true, Some(code)) = (version.starts_with("HTTP/1."), code) else {
        return Verdict::Bad(format!("it answered `{}`, not HTTP", shown(line.as_bytes())));
    };
    let right = match status {
        Some(status) => code == status,
        None => (200..300).contains(&code),
    };
    if !right {
        return Verdict::Bad(format!("it answered with status {code}"));
    }
    match expect {
        None => Verdict::Good,
        Some(text) if contains(answer, text.as_bytes()) => Verdict::Good,
        Some(text) => more(format!("its answer does not hold `{}`", shown(text.as_bytes()))),
    }
}

fn contains(answer: &[u8], expect: &[u8]) -> bool {
    expect.is_empty() || answer.windows(expect.len()).any(|window| window == expect)
}

/// The first 80 characters, tame.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.trim_end().chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect()
}
