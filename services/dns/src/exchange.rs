//! One message to one server and its answer, over UDP or TCP, within a bound.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use domain::base::Message;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout_at;

use crate::server::Server;

/// How often a question is sent over UDP within its bound. Updates are sent once.
const TRIES: u32 = 3;

/// Largest answer over UDP, in bytes.
const UDP_MAX: usize = 4096;

/// What became of a message.
#[derive(Debug, Error)]
pub(crate) enum ExchangeError {
    /// Nobody listens there, or there is no way: the server did not get it.
    #[error("{server} cannot be reached")]
    NotSent { server: Server, source: io::Error },
    /// No answer came, or none that can be read; the server may have it.
    #[error("{server} did not answer within {waited:.1?}")]
    NoAnswer { server: Server, waited: Duration },
    /// The connection broke after it was sent.
    #[error("the connection to {server} broke")]
    Broken { server: Server, source: io::Error },
}

/// How updates travel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// A connection: who does not listen is known at once.
    #[default]
    Tcp,
    /// One datagram, sent once.
    Udp,
}

/// Asks a question: over UDP, again if nothing comes, over TCP if the answer does not fit.
pub(crate) async fn ask(
    server: Server,
    question: &Message<Vec<u8>>,
    within: Duration,
) -> Result<Message<Vec<u8>>, ExchangeError> {
    let deadline = Instant::now() + within;
    let id = question.header().id();
    let mut last = ExchangeError::NoAnswer { server, waited: within };
    for left in (1..=TRIES).rev() {
        let now = Instant::now();
        let until = now + deadline.saturating_duration_since(now) / left;
        match udp(server, question.as_slice(), id, until, now).await {
            Ok(answer) if answer.header().tc() => {
                return tcp(server, question.as_slice(), id, deadline, now).await;
            }
            Ok(answer) if answer.is_answer(question) => return Ok(answer),
            Ok(_) => {}
            Err(cause) => last = cause,
        }
        if Instant::now() >= deadline {
            break;
        }
        if matches!(last, ExchangeError::NotSent { .. }) {
            // Refused: asking at once again would be answered in the same breath.
            break;
        }
    }
    Err(last)
}

/// Whether connections to this server are refused: no process there has anything of ours in hand.
pub(crate) async fn nobody_listens(server: Server, within: Duration) -> bool {
    let tried = tokio::time::timeout(within, TcpStream::connect(server.0)).await;
    matches!(tried, Ok(Err(cause)) if cause.kind() == io::ErrorKind::ConnectionRefused)
}

/// Sends once, whatever happens, and awaits the answer.
pub(crate) async fn send_once(
    server: Server,
    transport: Transport,
    bytes: &[u8],
    id: u16,
    within: Duration,
) -> Result<Message<Vec<u8>>, ExchangeError> {
    let now = Instant::now();
    match transport {
        Transport::Tcp => tcp(server, bytes, id, now + within, now).await,
        Transport::Udp => udp(server, bytes, id, now + within, now).await,
    }
}

async fn udp(
    server: Server,
    bytes: &[u8],
    id: u16,
    until: Instant,
    began: Instant,
) -> Result<Message<Vec<u8>>, ExchangeError> {
    let not_sent = |source| ExchangeError::NotSent { server, source };
    let local: SocketAddr = match server.0 {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(local).await.map_err(not_sent)?;
    // Connected: answers of others are dropped, and "nobody listens" is told.
    socket.connect(server.0).await.map_err(not_sent)?;
    socket.send(bytes).await.map_err(not_sent)?;
    let mut buffer = vec![0; UDP_MAX];
    loop {
        let got = match timeout_at(until.into(), socket.recv(&mut buffer)).await {
            Err(_) => return Err(ExchangeError::NoAnswer { server, waited: began.elapsed() }),
            Ok(Err(source)) if source.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(not_sent(source));
            }
            Ok(Err(source)) => return Err(ExchangeError::Broken { server, source }),
            Ok(Ok(got)) => got,
        };
        if let Some(answer) = read(&buffer[..got], id) {
            return Ok(answer);
        }
    }
}

async fn tcp(
    server: Server,
    bytes: &[u8],
    id: u16,
    until: Instant,
    began: Instant,
) -> Result<Message<Vec<u8>>, ExchangeError> {
    let no_answer = || ExchangeError::NoAnswer { server, waited: began.elapsed() };
    let not_sent = |source| ExchangeError::NotSent { server, source };
    let mut stream = timeout_at(until.into(), TcpStream::connect(server.0))
        .await
        .map_err(|_| not_sent(io::Error::from(io::ErrorKind::TimedOut)))?
        .map_err(not_sent)?;
    let _ = stream.set_nodelay(true);
    let patience = until.saturating_duration_since(Instant::now()).as_millis();
    // Neither a close nor a kill of this process may leave the kernel sending it again and again.
    let _ = rustix::net::sockopt::set_tcp_user_timeout(
        &stream,
        u32::try_from(patience.max(1)).unwrap_or(u32::MAX),
    );
    let _ = stream.set_zero_linger();
    let length =
        u16::try_from(bytes.len()).map_err(|_| not_sent(io::Error::from(io::ErrorKind::InvalidInput)))?;
    let mut framed = Vec::with_capacity(bytes.len() + 2);
    framed.extend(length.to_be_bytes());
    framed.extend(bytes);
    let talk = async {
        stream.write_all(&framed).await?;
        loop {
            let length = stream.read_u16().await?;
            let mut answer = vec![0; usize::from(length)];
            stream.read_exact(&mut answer).await?;
            if let Some(answer) = read(&answer, id) {
                return Ok::<_, io::Error>(answer);
            }
        }
    };
    timeout_at(until.into(), talk)
        .await
        .map_err(|_| no_answer())?
        .map_err(|source| ExchangeError::Broken { server, source })
}

/// An answer with this id; nothing for anything else.
fn read(bytes: &[u8], id: u16) -> Option<Message<Vec<u8>>> {
    let message = Message::from_octets(bytes.to_vec()).ok()?;
    (message.header().qr() && message.header().id() == id).then_some(message)
}
