//! One DNS question to one server: what a resolver in a proxy or a writer does.

use std::io::Read;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use domain::base::iana::{Class, Rcode};
use domain::base::{Message, MessageBuilder, Name, Question, Rtype};
use domain::rdata::{A, Aaaa, Soa};

/// Addresses of a name, with the time that they may be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Sorted; empty when the name has no address.
    pub addresses: Vec<IpAddr>,
    /// The lowest TTL of the records; zero when there is none.
    pub ttl: Duration,
}

/// Asks `server` for the A and AAAA records of `name`.
///
/// # Errors
///
/// When the server does not answer within `wait` (each of two questions), or refuses.
pub fn lookup(server: SocketAddr, name: &str, wait: Duration) -> anyhow::Result<Answer> {
    let name = Name::<Vec<u8>>::from_str(name).with_context(|| format!("name `{name}`"))?;
    let mut found: Vec<(IpAddr, Duration)> = Vec::new();
    let message = ask(server, &name, Rtype::A, wait)?;
    for record in message.answer()?.limit_to_in::<A>() {
        let record = record?;
        found.push((IpAddr::V4(record.data().addr()), record.ttl().into_duration()));
    }
    let message = ask(server, &name, Rtype::AAAA, wait)?;
    for record in message.answer()?.limit_to_in::<Aaaa>() {
        let record = record?;
        found.push((IpAddr::V6(record.data().addr()), record.ttl().into_duration()));
    }
    found.sort();
    let ttl = found.iter().map(|(_, ttl)| *ttl).min().unwrap_or_default();
    Ok(Answer { addresses: found.into_iter().map(|(address, _)| address).collect(), ttl })
}

/// Asks `server` for the serial number of `zone`.
///
/// # Errors
///
/// When the server does not answer within `wait`, or does not serve the zone.
pub fn serial(server: SocketAddr, zone: &str, wait: Duration) -> anyhow::Result<u32> {
    let zone = Name::<Vec<u8>>::from_str(zone).with_context(|| format!("zone `{zone}`"))?;
    let message = ask(server, &zone, Rtype::SOA, wait)?;
    let record = message.answer()?.limit_to_in::<Soa<_>>().next();
    let record = record.ok_or_else(|| anyhow!("{server} does not serve the zone"))??;
    Ok(record.data().serial().into_int())
}

fn ask(
    server: SocketAddr,
    name: &Name<Vec<u8>>,
    rtype: Rtype,
    wait: Duration,
) -> anyhow::Result<Message<Vec<u8>>> {
    let mut id = [0; 2];
    id.copy_from_slice(&random::<2>()?);
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(u16::from_be_bytes(id));
    builder.header_mut().set_rd(true); // For caches; others pay no heed.
    let mut question = builder.question();
    question.push(Question::new(name, rtype, Class::IN))?;
    let asked = question.into_message();

    let local = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(local)?;
    socket.connect(server)?;
    socket.send(asked.as_slice())?;
    let deadline = Instant::now() + wait;
    let mut buffer = [0; 1232];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            bail!("no answer from {server} within {wait:?}");
        }
        socket.set_read_timeout(Some(left))?;
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error).with_context(|| format!("ask {server}")),
        };
        let Ok(answer) = Message::from_octets(buffer[..length].to_vec()) else {
            continue;
        };
        if !answer.is_answer(&asked) {
            continue; // Late, or not for us.
        }
        return match answer.header().rcode() {
            Rcode::NOERROR | Rcode::NXDOMAIN => Ok(answer),
            rcode => bail!("{server} answers {rcode}"),
        };
    }
}

/// Bytes that nobody can guess.
///
/// # Errors
///
/// When the kernel's source cannot be opened.
pub fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
