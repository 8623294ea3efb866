//! The messages that a program sent to its NATS server (client protocol: `PUB` and `HPUB`).

use std::collections::BTreeMap;

use super::strace::Call;

/// One message that left.
#[derive(Debug)]
pub(crate) struct Sent {
    /// Where the call that took its first byte stands.
    pub(crate) begin: usize,
    pub(crate) subject: String,
    /// Where an answer is wanted.
    pub(crate) reply: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// What went through one socket.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    /// For each call the byte at which its part begins, and where the call stands.
    starts: Vec<(usize, usize)>,
}

/// All messages of all connections, in order.
pub(crate) fn sent(calls: &[Call]) -> Vec<Sent> {
    let mut streams: BTreeMap<&str, Stream> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.is_socket()) {
        let stream = streams.entry(&call.file).or_default();
        stream.starts.push((stream.bytes.len(), call.begin));
        stream.bytes.extend_from_slice(&call.bytes);
    }
    let mut all: Vec<Sent> =
        streams.values().flat_map(|stream| messages(&stream.bytes, &stream.starts)).collect();
    all.sort_by_key(|message| message.begin);
    all
}

fn messages(bytes: &[u8], starts: &[(usize, usize)]) -> Vec<Sent> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((line, after)) = line(bytes, at) {
        let words: Vec<&str> = line.split(' ').collect();
        let (subject, reply, head, total) = match words.as_slice() {
            ["PUB", subject, total] => (*subject, None, "0", *total),
            ["PUB", subject, reply, total] => (*subject, Some(*reply), "0", *total),
            ["HPUB", subject, head, total] => (*subject, None, *head, *total),
            ["HPUB", subject, reply, head, total] => (*subject, Some(*reply), *head, *total),
            _ => {
                at = after; // CONNECT, SUB, PING and the like.
                continue;
            }
        };
        let (Ok(head), Ok(total)) = (head.parse::<usize>(), total.parse::<usize>()) else { break };
        // Cut off by the end of the watching: it did not leave whole.
        let Some(payload) = bytes.get(after..after + total) else { break };
        let (head, body) = payload.split_at(head);
        let begin = starts.iter().rev().find(|(from, _)| *from <= at).map_or(0, |(_, begin)| *begin);
        found.push(Sent {
            begin,
            subject: subject.to_owned(),
            reply: reply.map(str::to_owned),
            headers: headers(head),
            body: body.to_vec(),
        });
        at = after + total + 2;
    }
    found
}

fn line(bytes: &[u8], at: usize) -> Option<(&str, usize)> {
    let rest = bytes.get(at..)?;
    let length = rest.windows(2).position(|pair| pair == b"\r\n")?;
    Some((std::str::from_utf8(&rest[..length]).ok()?, at + length + 2))
}

fn headers(head: &[u8]) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(head);
    let pairs = text.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

#[test]
fn messages_are_cut_out_of_what_was_sent() {
    let part = |begin, text: &str| Call {
        begin,
        end: begin,
        name: "sendto".into(),
        file: "socket:[1]".into(),
        bytes: text.into(),
    };
    let calls = [
        part(1, "CONNECT {}\r\nPUB a.b 3\r\nx\r\n\r\nHPUB c _INBOX.1 1"),
        part(5, "7 19\r\nNATS/1.0\r\nk:v"),
        part(9, "\r\n\r\nok\r\nPUB d 1\r\nz\r\nPUB e 9\r\n"),
    ];
    let seen: Vec<_> = sent(&calls).into_iter().map(|m| (m.begin, m.subject, m.body)).collect();
    let wanted = [(1, "a.b", "x\r\n"), (1, "c", "ok"), (9, "d", "z")];
    let wanted: Vec<_> = wanted.map(|(at, subject, body)| (at, subject.to_owned(), body.into())).to_vec();
    assert_eq!(seen, wanted);
}
