//! What `pgoutput` says, version 1 of its protocol (PostgreSQL documentation, 55.9 "Logical Replication Message
//! Formats"): one message a row of `pg_logical_slot_peek_binary_changes`.

use chrono::{DateTime, TimeDelta, Utc};
use postgres::Lsn;
use thiserror::Error;

/// The bytes are no message that we know how to read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(crate) enum BadMessage {
    #[error("a message of kind `{kind}` ends after {at} bytes, in the middle")]
    Short { kind: char, at: usize },
    #[error("a message of kind `{kind}` has {more} bytes more than it should")]
    Long { kind: char, more: usize },
    #[error("a message of kind `{kind}` has a part of kind `{part}`")]
    Part { kind: char, part: char },
    #[error("an empty message")]
    Empty,
    #[error("a commit's time cannot be read")]
    Time,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// Of a transaction; `commit` is where its commit record begins.
    Begin {
        commit: Lsn,
        at: DateTime<Utc>,
        xid: u32,
    },
    /// `end` is where its commit record ends.
    Commit {
        end: Lsn,
    },
    /// The transaction came by a subscription.
    Origin(String),
    Relation(Relation),
    Insert {
        relation: u32,
        new: Vec<Cell>,
    },
    Update {
        relation: u32,
        old: Option<Old>,
        new: Vec<Cell>,
    },
    Delete {
        relation: u32,
        old: Old,
    },
    Truncate {
        relations: Vec<u32>,
    },
    /// Of a kind that says nothing about rows.
    Other,
}

/// A table as it was when the rows after it were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Relation {
    pub(crate) id: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Whether it is part of the replica identity.
    pub(crate) key: bool,
}

/// What is known of a row before it was changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Old {
    /// Its key; the other cells are null.
    Key(Vec<Cell>),
    /// All of it (`REPLICA IDENTITY FULL`).
    Whole(Vec<Cell>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    /// A large value that was not changed and is not said.
    Unchanged,
    Text(String),
    /// No text in UTF-8, or sent in the type's own form.
    Bytes(Vec<u8>),
}

/// Reads one message.
pub(crate) fn read(bytes: &[u8]) -> Result<Message, BadMessage> {
    let (first, _) = bytes.split_first().ok_or(BadMessage::Empty)?;
    let mut from = Reader { bytes, at: 1, kind: char::from(*first) };
    let message = match first {
        b'B' => {
            let commit = Lsn(from.u64()?);
            let at = time(from.u64()?.cast_signed()).ok_or(BadMessage::Time)?;
            Message::Begin { commit, at, xid: from.u32()? }
        }
        b'C' => {
            from.take(1 + 8)?;
            let end = Lsn(from.u64()?);
            from.take(8)?;
            Message::Commit { end }
        }
        b'O' => {
            from.take(8)?;
            Message::Origin(from.text()?)
        }
        b'R' => Message::Relation(from.relation()?),
        b'I' => {
            let relation = from.u32()?;
            from.part(b"N")?;
            Message::Insert { relation, new: from.cells()? }
        }
        b'U' => {
            let relation = from.u32()?;
            let old = match from.part(b"KON")? {
                b'N' => None,
                part => {
                    let old = from.old(part)?;
                    from.part(b"N")?;
                    Some(old)
                }
            };
            Message::Update { relation, old, new: from.cells()? }
        }
        b'D' => {
            let relation = from.u32()?;
            let part = from.part(b"KO")?;
            Message::Delete { relation, old: from.old(part)? }
        }
        b'T' => {
            let count = from.u32()?;
            from.take(1)?;
            // The bytes bound it, not the number that they begin with.
            let relations = (0..count).map(|_| from.u32()).collect::<Result<_, _>>()?;
            Message::Truncate { relations }
        }
        _ => return Ok(Message::Other),
    };
    match bytes.len() - from.at {
        0 => Ok(message),
        more => Err(BadMessage::Long { kind: from.kind, more }),
    }
}

/// Microseconds since 2000-01-01.
fn time(micros: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(946_684_800, 0)?.checked_add_signed(TimeDelta::microseconds(micros))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    kind: char,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], BadMessage> {
        let short = BadMessage::Short { kind: self.kind, at: self.bytes.len() };
        let end = self.at.checked_add(count).ok_or(short.clone())?;
        let part = self.bytes.get(self.at..end).ok_or(short)?;
        self.at = end;
        Ok(part)
    }

    fn number<const N: usize>(&mut self) -> Result<[u8; N], BadMessage> {
        let part = self.take(N)?;
        part.try_into().map_err(|_| BadMessage::Short { kind: self.kind, at: self.at })
    }

    fn u64(&mut self) -> Result<u64, BadMessage> {
        self.number().map(u64::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, BadMessage> {
        self.number().map(u32::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, BadMessage> {
        self.number().map(u16::from_be_bytes)
    }

    fn u8(&mut self) -> Result<u8, BadMessage> {
        self.number::<1>().map(|[byte]| byte)
    }

    fn part(&mut self, known: &[u8]) -> Result<u8, BadMessage> {
        let part = self.u8()?;
        match known.contains(&part) {
            true => Ok(part),
            false => Err(BadMessage::Part { kind: self.kind, part: char::from(part) }),
        }
    }

    /// Up to its zero byte.
    fn text(&mut self) -> Result<String, BadMessage> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let length = rest.iter().position(|byte| *byte == 0);
        let length = length.ok_or(BadMessage::Short { kind: self.kind, at: self.bytes.len() })?;
        let text = self.take(length)?;
        self.take(1)?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    fn relation(&mut self) -> Result<Relation, BadMessage> {
        let id = self.u32()?;
        let (schema, name) = (self.text()?, self.text()?);
        self.take(1)?;
        let count = self.u16()?;
        let mut columns = Vec::new();
        for _ in 0..count {
            let key = self.u8()? & 1 == 1;
            let name = self.text()?;
            self.take(4 + 4)?;
            columns.push(Column { name, key });
        }
        // The catalogue's schema is written as nothing.
        let schema = if schema.is_empty() { "pg_catalog".into() } else { schema };
        Ok(Relation { id, schema, name, columns })
    }

    fn old(&mut self, part: u8) -> Result<Old, BadMessage> {
        let cells = self.cells()?;
        Ok(if part == b'K' { Old::Key(cells) } else { Old::Whole(cells) })
    }

    fn cells(&mut self) -> Result<Vec<Cell>, BadMessage> {
        let count = self.u16()?;
        let mut cells = Vec::new();
        for _ in 0..count {
            cells.push(match self.part(b"nutb")? {
                b'n' => Cell::Null,
                b'u' => Cell::Unchanged,
                part => {
                    let length = usize::try_from(self.u32()?).unwrap_or(usize::MAX);
                    let bytes = self.take(length)?;
                    match std::str::from_utf8(bytes) {
                        Ok(text) if part == b't' => Cell::Text(text.into()),
                        _ => Cell::Bytes(bytes.into()),
                    }
                }
            });
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().map(|c| c.to_digit(16).unwrap()).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
    }

    fn text(text: &str) -> Cell {
        Cell::Text(text.into())
    }

    /// As PostgreSQL 15.18 sent them: a transaction on a table with a key and on one with REPLICA IDENTITY FULL.
    const BEGIN: &str = "420000000001a3bf280003041024e4e7da0000030a";
    const TABLE_U: &str =
        "520000400d7075626c69630075006400020169640000000017ffffffff006e6f74650000000019ffffffff";
    const INSERT: &str = "490000400d4e000274000000013374000000096f727068616e20c3a9";
    const UPDATE: &str = "550000400d4e000274000000013174000000076368616e676564";
    const UPDATE_KEY: &str = "550000400d4b00027400000001326e4e000274000000023232740000000374776f";
    const DELETE: &str = "440000400d4b00027400000001316e";
    const UPDATE_FULL: &str = "55000040144f00027400000001627400000001324e0002740000000162740000000133";
    const DELETE_FULL: &str = "44000040144f0002740000000161740000000131";
    const COMMIT: &str = "43000000000001a3bf280000000001a3bf580003041024e4e7da";

    #[test]
    fn what_a_server_sent_is_read() {
        let Message::Begin { commit, at, xid } = read(&bytes(BEGIN)).unwrap() else { panic!() };
        assert_eq!((commit.to_string().as_str(), xid), ("0/1A3BF28", 778));
        assert_eq!(at.to_rfc3339().get(..16).unwrap(), "2026-11-25T03:25");
        let Message::Relation(u) = read(&bytes(TABLE_U)).unwrap() else { panic!() };
        let keys: Vec<(&str, bool)> = u.columns.iter().map(|c| (c.name.as_str(), c.key)).collect();
        assert_eq!(
            (u.schema.as_str(), u.name.as_str(), keys),
            ("public", "u", vec![("id", true), ("note", false)])
        );
        let rows = [
            (INSERT, Message::Insert { relation: u.id, new: vec![text("3"), text("orphan \u{e9}")] }),
            (UPDATE, Message::Update { relation: u.id, old: None, new: vec![text("1"), text("changed")] }),
            (
                UPDATE_KEY,
                Message::Update {
                    relation: u.id,
                    old: Some(Old::Key(vec![text("2"), Cell::Null])),
                    new: vec![text("22"), text("two")],
                },
            ),
            (DELETE, Message::Delete { relation: u.id, old: Old::Key(vec![text("1"), Cell::Null]) }),
            (
                UPDATE_FULL,
                Message::Update {
                    relation: 16404,
                    old: Some(Old::Whole(vec![text("b"), text("2")])),
                    new: vec![text("b"), text("3")],
                },
            ),
            (DELETE_FULL, Message::Delete { relation: 16404, old: Old::Whole(vec![text("a"), text("1")]) }),
            (COMMIT, Message::Commit { end: "0/1A3BF58".parse().unwrap() }),
        ];
        for (hex, message) in rows {
            assert_eq!(read(&bytes(hex)).unwrap(), message, "{hex}");
        }
    }

    /// Nothing from outside ends in a panic: each message cut anywhere, and with a byte too much.
    #[test]
    fn what_is_cut_or_too_long_is_said() {
        for hex in [BEGIN, TABLE_U, INSERT, UPDATE, UPDATE_KEY, DELETE, UPDATE_FULL, DELETE_FULL, COMMIT] {
            let whole = bytes(hex);
            for length in 0..whole.len() {
                assert!(read(&whole[..length]).is_err(), "{hex} cut at {length}");
            }
            let longer = [whole.clone(), vec![0]].concat();
            assert!(matches!(read(&longer), Err(BadMessage::Long { more: 1, .. })), "{hex}");
            for at in 0..whole.len() {
                for value in [0, 0x7f, 0xff] {
                    let mut wrong = whole.clone();
                    wrong[at] = value;
                    drop(read(&wrong));
                }
            }
        }
        assert_eq!(read(&[]), Err(BadMessage::Empty));
        assert!(matches!(read(&bytes("490000400d51")), Err(BadMessage::Part { part: 'Q', .. })));
        assert_eq!(read(b"M anything"), Ok(Message::Other));
    }
}
