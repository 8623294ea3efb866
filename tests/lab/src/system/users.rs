//! What the users saw, from their own files, which Pointsman never reads.

use std::net::IpAddr;
use std::path::Path;

use serde::Serialize;

use super::plan::Site;

/// A row that the writer was acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledged {
    /// Its number.
    pub n: i64,
    /// When, in milliseconds since 1970.
    pub at: i64,
    /// By the master at this address.
    pub by: IpAddr,
}

impl Acknowledged {
    /// The site that acknowledged it.
    #[must_use]
    pub fn site(&self) -> Option<Site> {
        Site::ALL.into_iter().find(|site| [3, 4].map(|last| site.ip(last)).contains(&self.by))
    }
}

/// All that the writer was acknowledged so far; a torn last line is left out.
#[must_use]
pub fn acknowledged(file: &Path) -> Vec<Acknowledged> {
    rows(file).filter(|(answered, _)| *answered).map(|(_, row)| row).collect()
}

/// What the writer sent and got no answer for: each may have been committed there, or not.
#[must_use]
pub fn unanswered(file: &Path) -> Vec<Acknowledged> {
    rows(file).filter(|(answered, _)| !*answered).map(|(_, row)| row).collect()
}

/// Each whole line of the writer's file, and whether the row was acknowledged.
fn rows(file: &Path) -> impl Iterator<Item = (bool, Acknowledged)> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let read = |line: &str| {
        let mut words = line.split(' ');
        let n = words.next()?.parse().ok()?;
        let at = words.next()?.parse().ok()?;
        let row = Acknowledged { n, at, by: words.next()?.parse().ok()? };
        Some((words.next().is_none(), row))
    };
    whole.lines().filter_map(read).collect::<Vec<_>>().into_iter()
}

/// The longest time, in milliseconds, in which the writer was acknowledged nothing while it went from one
/// site to the other; none when it did not.
#[must_use]
pub fn write_gap(rows: &[Acknowledged], from: Site, to: Site) -> Option<i64> {
    let last = rows.iter().filter(|row| row.site() == Some(from)).map(|row| row.at).max()?;
    let first = rows.iter().filter(|row| row.site() == Some(to)).map(|row| row.at).min()?;
    Some(first - last)
}

/// The longest time, in milliseconds, between two acknowledged writes, the later of them not before `since`.
#[must_use]
pub fn longest_gap(rows: &[Acknowledged], since: i64) -> Option<i64> {
    let pairs = rows.iter().zip(rows.iter().skip(1));
    pairs.filter(|(_, later)| later.at >= since).map(|(row, later)| later.at - row.at).max()
}

/// What a reader counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Reads {
    /// Reads so far.
    pub reads: u64,
    /// Those without the row.
    pub failed: u64,
}

/// A reader's counts; none before its file is there.
#[must_use]
pub fn reads(file: &Path) -> Option<Reads> {
    let text = std::fs::read_to_string(file).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(Reads { reads: value["reads"].as_u64()?, failed: value["failed"].as_u64()? })
}
