//! DNS messages: a question, an update (RFC 2136), and what an answer says. No sockets here.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use domain::base::iana::{Class, Opcode, Rcode};
use domain::base::message_builder::PushError;
use domain::base::{Message, MessageBuilder, Name, Question, Rtype, ToName, Ttl, UnknownRecordData};
use domain::rdata::tsig::Time48;
use domain::rdata::{A, Aaaa, Soa};
use domain::tsig::{ClientTransaction, Key};
use std::sync::Arc;

/// A domain name.
pub(crate) type Domain = Name<Vec<u8>>;

/// Reads a name; it need not end with a dot.
pub(crate) fn domain(text: &str) -> Option<Domain> {
    Domain::from_str(text).ok().filter(|name| !name.is_root())
}

/// Whose word is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The server's own, as the zone's authority; no recursion.
    Authority,
    /// Whatever a cache knows or finds out.
    Cache,
}

/// A question to an authority or a cache.
pub(crate) fn question(name: &Domain, rtype: Rtype, source: Source) -> Result<Message<Vec<u8>>, PushError> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_random_id();
    builder.header_mut().set_rd(source == Source::Cache);
    let mut question = builder.question();
    question.push(Question::new(name, rtype, Class::IN))?;
    Ok(question.into_message())
}

/// Addresses of one kind in an answer, by the name that was asked for; none where it has none. `Err`: the
/// answer says nothing about the name, in words.
pub(crate) fn addresses(
    message: &Message<Vec<u8>>,
    name: &Domain,
    rtype: Rtype,
    source: Source,
) -> Result<BTreeSet<IpAddr>, String> {
    match message.header().rcode() {
        Rcode::NOERROR | Rcode::NXDOMAIN => {}
        rcode => return Err(format!("it answers {rcode}")),
    }
    if source == Source::Authority && !message.header().aa() {
        return Err("it is no authority for the name".to_owned());
    }
    let answer = message.answer().map_err(|_| "its answer cannot be read".to_owned())?;
    let mut found = BTreeSet::new();
    for record in answer {
        let record = record.map_err(|_| "its answer cannot be read".to_owned())?;
        // Behind an alias a cache gives the addresses of another name; an authority is asked for its own.
        let named = source == Source::Cache || record.owner().name_eq(name);
        if record.rtype() != rtype || record.class() != Class::IN || !named {
            continue;
        }
        let address = match rtype {
            Rtype::A => record.to_record::<A>().ok().flatten().map(|r| IpAddr::V4(r.data().addr())),
            _ => record.to_record::<Aaaa>().ok().flatten().map(|r| IpAddr::V6(r.data().addr())),
        };
        found.insert(address.ok_or("its answer cannot be read")?);
    }
    Ok(found)
}

/// The longest time to live of the name's own addresses in an answer, in seconds.
pub(crate) fn ttl(message: &Message<Vec<u8>>, name: &Domain) -> Option<u32> {
    let records = message.answer().ok()?.filter_map(Result::ok);
    let own = records.filter(|r| matches!(r.rtype(), Rtype::A | Rtype::AAAA) && r.owner().name_eq(name));
    own.map(|record| record.ttl().as_secs()).max()
}

/// The zone that an answer to a SOA question names.
pub(crate) fn zone_of(message: &Message<Vec<u8>>) -> Option<Domain> {
    if !message.header().aa() {
        return None;
    }
    // The zone's own name has it in the answer, a name below it in the authority section (RFC 2308).
    let sections = [message.answer().ok()?, message.authority().ok()?];
    for section in sections {
        if let Some(record) = section.limit_to_in::<Soa<_>>().next() {
            return record.ok()?.owner().try_to_name().ok();
        }
    }
    None
}

/// What an update is to do.
pub(crate) struct Update<'a> {
    pub(crate) zone: &'a Domain,
    pub(crate) name: &'a Domain,
    pub(crate) ttl: Duration,
    /// What must be there exactly, or nothing is changed; it is removed.
    pub(crate) from: &'a BTreeSet<IpAddr>,
    /// What is there afterwards.
    pub(crate) to: &'a BTreeSet<IpAddr>,
}

/// A signed message, and what checks its answer.
pub(crate) struct Signed {
    pub(crate) bytes: Vec<u8>,
    pub(crate) id: u16,
    pub(crate) transaction: ClientTransaction<Arc<Key>>,
}

/// Builds and signs an update: prerequisite, removal of the old records, the new ones; all or nothing.
pub(crate) fn update(update: &Update<'_>, key: Arc<Key>) -> Result<Signed, PushError> {
    let ttl = Ttl::from_secs(u32::try_from(update.ttl.as_secs()).unwrap_or(60));
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_random_id();
    builder.header_mut().set_opcode(Opcode::UPDATE);
    let id = builder.header().id();
    let mut zone = builder.question();
    zone.push(Question::new(update.zone, Rtype::SOA, Class::IN))?;
    // "RRset exists (value dependent)" (RFC 2136, 2.4.2), or "does not exist" (2.4.3), of each kind.
    let mut prerequisite = zone.answer();
    for address in update.from {
        match address {
            IpAddr::V4(ip) => prerequisite.push((update.name, Class::IN, Ttl::ZERO, A::new(*ip)))?,
            IpAddr::V6(ip) => prerequisite.push((update.name, Class::IN, Ttl::ZERO, Aaaa::new(*ip)))?,
        }
    }
    for rtype in [Rtype::A, Rtype::AAAA] {
        let touched = update.from.union(update.to).any(|a| rtype_of(a) == rtype);
        if touched && !update.from.iter().any(|a| rtype_of(a) == rtype) {
            prerequisite.push((update.name, Class::NONE, Ttl::ZERO, nothing(rtype)))?;
        }
    }
    let mut change = prerequisite.authority();
    for address in update.from.difference(update.to) {
        match address {
            IpAddr::V4(ip) => change.push((update.name, Class::NONE, Ttl::ZERO, A::new(*ip)))?,
            IpAddr::V6(ip) => change.push((update.name, Class::NONE, Ttl::ZERO, Aaaa::new(*ip)))?,
        }
    }
    for address in update.to {
        match address {
            IpAddr::V4(ip) => change.push((update.name, Class::IN, ttl, A::new(*ip)))?,
            IpAddr::V6(ip) => change.push((update.name, Class::IN, ttl, Aaaa::new(*ip)))?,
        }
    }
    let mut additional = change.additional();
    let transaction = ClientTransaction::request(key, &mut additional, Time48::now())?;
    Ok(Signed { bytes: additional.finish(), id, transaction })
}

/// Builds and signs an update that changes nothing: its answer says that the zone's earlier updates were
/// taken in hand before it.
pub(crate) fn barrier(zone: &Domain, key: Arc<Key>) -> Result<Signed, PushError> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_random_id();
    builder.header_mut().set_opcode(Opcode::UPDATE);
    let id = builder.header().id();
    let mut question = builder.question();
    question.push(Question::new(zone, Rtype::SOA, Class::IN))?;
    // "Name is in use" (RFC 2136, 2.4.4): a zone's own name always is.
    let mut prerequisite = question.answer();
    prerequisite.push((zone, Class::ANY, Ttl::ZERO, nothing(Rtype::ANY)))?;
    let mut additional = prerequisite.additional();
    let transaction = ClientTransaction::request(key, &mut additional, Time48::now())?;
    Ok(Signed { bytes: additional.finish(), id, transaction })
}

fn nothing(rtype: Rtype) -> UnknownRecordData<[u8; 0]> {
    // An empty value is never too long.
    UnknownRecordData::from_octets(rtype, []).unwrap_or_else(|_| unreachable!("no bytes are too long"))
}

/// The type of record that holds an address.
pub(crate) fn rtype_of(address: &IpAddr) -> Rtype {
    if address.is_ipv4() { Rtype::A } else { Rtype::AAAA }
}
