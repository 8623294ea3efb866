//! The ledger of orphans: the transactions that a lost source had committed and its receiver never applied, written
//! as a file that people and programs can read, before anything of theirs is overwritten.
//!
//! One JSON document a line: first a head, then one line a changed row, in the order of the commits. Beside the file
//! stands a seal with its digest and counts, written last: without it the file is not finished. What was committed after
//! that is not in it: asked again, the slot is read again, and another list of rows becomes another file.

mod pgoutput;
mod reading;

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use postgres::Lsn;
use schemas::args::{ExportOutput, LedgerRef};
use schemas::{Digest, ResourceId, SiteId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use pgoutput::{BadMessage, Cell, Old, Relation};
pub(crate) use reading::Reading;
use reading::Row;

/// A ledger is not written beyond this: something else is wrong then, and the disk is not ours to fill.
const BYTES_MAX: u64 = 16 << 30;
/// A seal is small.
const SEAL_MAX: u64 = 64 * 1024;
/// So many ledgers there are of one position at most: each is a life of the source that nobody received.
const NUMBERS_MAX: u32 = 1000;

/// Why there is no ledger.
#[derive(Debug, Error)]
pub(crate) enum LedgerError {
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{0}")]
    Message(#[from] BadMessage),
    #[error("what the slot gives makes no sense: {0}")]
    Order(String),
    #[error("the ledger would be larger than {} GiB", BYTES_MAX >> 30)]
    TooLarge,
    #[error("{path}: there are too many ledgers of this position: look at them, and keep them elsewhere")]
    TooMany { path: PathBuf },
}

/// Whose orphans.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Head {
    /// The version of this form.
    pub(crate) ledger: u32,
    pub(crate) resource: ResourceId,
    pub(crate) site: SiteId,
    #[serde(flatten)]
    pub(crate) source: Source,
    pub(crate) publication: String,
    /// Up to where the receiver has applied: what was committed after it is here.
    pub(crate) applied: Lsn,
    pub(crate) begun: DateTime<Utc>,
}

/// Where a ledger comes from, and how it was there just before it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Source {
    /// The source's identity.
    pub(crate) source: String,
    pub(crate) slot: String,
    /// What was committed up to here is in the ledger.
    pub(crate) upto: Lsn,
    /// Its newest own mark; 0 without one. A database that is opened, or is open for a while, has a newer one.
    pub(crate) mark: i64,
}

/// Written last: the file is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    file: String,
    digest: Digest,
    /// Of its rows alone; none in an older seal, likewise below.
    #[serde(default)]
    contents: Option<Digest>,
    bytes: u64,
    transactions: u64,
    rows: u64,
    applied: Lsn,
    at: DateTime<Utc>,
    #[serde(default)]
    read: Option<Source>,
}

impl Seal {
    /// Whether the source, as it is now, wrote nothing since, as far as it can tell without its slot.
    pub(crate) fn holds_for(&self, now: &Source) -> bool {
        let read = self.read.as_ref();
        read.is_some_and(|read| *read == Source { upto: read.upto, ..now.clone() })
    }
}

/// Where a service keeps its ledgers.
#[derive(Debug, Clone)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// In the state folder of the host.
    pub(crate) fn new(state: &Path) -> Folder {
        Folder(state.join("ledgers"))
    }

    /// Another life of a source that nobody received has a number.
    fn name(resource: &ResourceId, applied: Lsn, number: u32) -> String {
        let name = format!("{resource}-{applied}").replace('/', "-");
        if number == 1 { format!("{name}.jsonl") } else { format!("{name}.{number}.jsonl") }
    }

    /// The newest finished ledger of what is beyond a position, if there is one: that of the highest number. One below it
    /// may have lost its seal, or have a damaged one.
    pub(crate) fn finished(&self, resource: &ResourceId, applied: Lsn) -> Result<Option<Seal>, LedgerError> {
        for number in (1..=NUMBERS_MAX).rev() {
            let name = Folder::name(resource, applied, number);
            let Some(seal) = self.seal(&name)? else { continue };
            let length = fs::metadata(self.0.join(&name)).map(|found| found.len()).ok();
            if length == Some(seal.bytes) {
                return Ok(Some(seal));
            }
        }
        Ok(None)
    }

    /// The first number beyond every one that is there, sealed or not: nothing is written over.
    fn free(&self, resource: &ResourceId, applied: Lsn) -> u32 {
        let there = |name: &str| fs::symlink_metadata(self.0.join(name)).is_ok();
        let taken = (1..=NUMBERS_MAX).rev().find(|number| {
            let name = Folder::name(resource, applied, *number);
            there(&name) || there(&format!("{name}.seal"))
        });
        taken.unwrap_or(0) + 1
    }

    pub(crate) fn output(&self, seal: &Seal) -> ExportOutput {
        ExportOutput {
            ledger: LedgerRef { file: self.0.join(&seal.file).display().to_string(), digest: seal.digest },
            transactions: seal.transactions,
            rows: seal.rows,
            bytes: seal.bytes,
            applied: seal.applied.to_string(),
        }
    }

    fn seal(&self, name: &str) -> Result<Option<Seal>, LedgerError> {
        let path = self.0.join(format!("{name}.seal"));
        let failed = |source| LedgerError::Io { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = Vec::new();
        file.take(SEAL_MAX).read_to_end(&mut text).map_err(failed)?;
        // Half a seal cannot be: it is renamed into place. One that somebody edited is none.
        Ok(serde_json::from_slice(&text).ok())
    }

    /// Whether the ledger that is named is here and is what it was.
    pub(crate) fn holds(&self, ledger: &LedgerRef) -> Result<(), String> {
        let name = Path::new(&ledger.file).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let path = self.0.join(name);
        let digest = digest(&path).map_err(|error| format!("the ledger {}: {error}", path.display()))?;
        match digest == ledger.digest {
            true => Ok(()),
            false => {
                Err(format!("the ledger {} has the digest {digest}, not {}", path.display(), ledger.digest))
            }
        }
    }

    /// A new ledger; a part of the same orphans is written anew, and what has its name is kept, also without its seal.
    pub(crate) fn begin(&self, head: &Head) -> Result<Writer, LedgerError> {
        let earlier = self.finished(&head.resource, head.applied)?;
        let number = self.free(&head.resource, head.applied);
        let name = Folder::name(&head.resource, head.applied, number);
        if number > NUMBERS_MAX {
            return Err(LedgerError::TooMany { path: self.0.join(name) });
        }
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LedgerError::Io { path, source }
        };
        fs::create_dir_all(&self.0).map_err(failed(&self.0))?;
        let part = self.0.join(format!("{name}.part"));
        let file = own(&part).map_err(failed(&part))?;
        let file = BufWriter::with_capacity(1 << 16, file);
        let (digest, contents) = (Sha256::new(), Sha256::new());
        let mut part = Part { path: part, file, digest, contents, bytes: 0 };
        part.line(&json!(head))?;
        part.contents = Sha256::new();
        let (reading, read) = (Reading::beyond(head.applied), head.source.clone());
        Ok(Writer { folder: self.clone(), name, part, reading, earlier, read })
    }
}

fn digest(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest(digest.finalize().into())),
            read => digest.update(buffer.get(..read).unwrap_or_default()),
        }
    }
}

/// A ledger that is being written. Dropped unfinished, it leaves a part that counts for nothing.
pub(crate) struct Writer {
    folder: Folder,
    name: String,
    part: Part,
    reading: Reading,
    /// The newest one that was finished before.
    earlier: Option<Seal>,
    read: Source,
}

/// Its file, before it has its name.
struct Part {
    path: PathBuf,
    file: BufWriter<File>,
    digest: Sha256,
    /// Of the rows: the head is another one each time.
    contents: Sha256,
    bytes: u64,
}

impl Part {
    fn line(&mut self, line: &Value) -> Result<(), LedgerError> {
        let mut text = line.to_string();
        text.push('\n');
        self.bytes += text.len() as u64;
        if self.bytes > BYTES_MAX {
            return Err(LedgerError::TooLarge);
        }
        self.digest.update(text.as_bytes());
        self.contents.update(text.as_bytes());
        self.file
            .write_all(text.as_bytes())
            .map_err(|source| LedgerError::Io { path: self.path.clone(), source })
    }
}

impl Writer {
    /// Takes the next message of the slot.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<(), LedgerError> {
        let part = &mut self.part;
        self.reading.take(bytes, |row| part.line(&told(row)))
    }

    /// Durable, and sealed. Where nothing came since the earlier one it is that one, sealed up to now.
    pub(crate) fn finish(self) -> Result<ExportOutput, LedgerError> {
        let count = self.reading.counted()?;
        let folder = self.folder.0.clone();
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| LedgerError::Io { path, source }
        };
        let Part { path: part, file, digest: whole, contents, bytes } = self.part;
        let file = file.into_inner().map_err(|error| error.into_error()).map_err(failed(&part))?;
        file.sync_all().map_err(failed(&part))?;
        let contents = Some(Digest(contents.finalize().into()));
        let (read, at) = (Some(self.read), Utc::now());
        let unchanged = |seal: &Seal| {
            seal.contents == contents
                && digest(&folder.join(&seal.file)).is_ok_and(|digest| digest == seal.digest)
        };
        let seal = match self.earlier.filter(unchanged) {
            Some(earlier) => {
                fs::remove_file(&part).map_err(failed(&part))?;
                Seal { read, at, ..earlier }
            }
            None => {
                let path = folder.join(&self.name);
                fs::rename(&part, &path).map_err(failed(&path))?;
                Seal {
                    file: self.name,
                    digest: Digest(whole.finalize().into()),
                    contents,
                    bytes,
                    transactions: count.transactions,
                    rows: count.rows,
                    applied: self.reading.applied(),
                    at,
                    read,
                }
            }
        };
        let path = folder.join(&seal.file);
        let text = serde_json::to_vec_pretty(&seal).map_err(io::Error::from).map_err(failed(&path))?;
        let part = folder.join(format!("{}.seal.part", seal.file));
        let sealed = folder.join(format!("{}.seal", seal.file));
        let mut file = own(&part).map_err(failed(&part))?;
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed(&part))?;
        fs::rename(&part, &sealed).map_err(failed(&sealed))?;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed(&folder))?;
        Ok(self.folder.output(&seal))
    }
}

/// An empty file, for rows of the application or about them: nobody else reads it, whoever left one there before.
fn own(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)?;
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    Ok(file)
}

/// A line of the file.
fn told(row: &Row<'_>) -> Value {
    let Row { transaction, relation, what, old, new } = row;
    let mut line = json!({
        "commit": transaction.at,
        "lsn": transaction.commit,
        "transaction": transaction.xid,
        "table": format!("{}.{}", relation.schema, relation.name),
        "do": what,
    });
    let known = match old {
        Some(Old::Key(cells) | Old::Whole(cells)) => Some(cells.as_slice()),
        None => *new,
    };
    let mut say = |name: &str, value: Option<Value>| {
        if let (Some(value), Some(line)) = (value, line.as_object_mut()) {
            line.insert(name.into(), value);
        }
    };
    say("origin", transaction.origin.clone().map(Value::from));
    say("key", known.map(|cells| values(relation, cells, true)));
    if let Some(Old::Whole(cells)) = old {
        say("old", Some(values(relation, cells, false)));
    }
    say("new", new.map(|cells| values(relation, cells, false)));
    line
}

/// The cells by their columns' names; those of the key only, if asked.
fn values(relation: &Relation, cells: &[Cell], key: bool) -> Value {
    let columns = relation.columns.iter().zip(cells).filter(|(column, _)| !key || column.key);
    let value = |cell: &Cell| match cell {
        Cell::Null => Value::Null,
        Cell::Text(text) => Value::from(text.as_str()),
        Cell::Bytes(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
        Cell::Unchanged => json!({ "unchanged": true }),
    };
    Value::Object(columns.map(|(column, cell)| (column.name.clone(), value(cell))).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_seal_that_is_lost_or_damaged_has_nothing_written_over() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = Folder::new(scratch.path());
        let head = Head {
            ledger: 1,
            resource: "csp".parse().unwrap(),
            site: "secondary".parse().unwrap(),
            source: Source { source: "one".into(), slot: "fwd".into(), upto: Lsn(200), mark: 0 },
            publication: "pub".into(),
            applied: Lsn(100),
            begun: DateTime::UNIX_EPOCH,
        };
        let write = || folder.begin(&head).unwrap().finish().unwrap().ledger.file;
        let newest = || folder.finished(&head.resource, head.applied).unwrap().map(|seal| seal.file);
        let first = write();
        assert!(first.ends_with("csp-0-64.jsonl"), "{first}");
        for path in [first.clone(), format!("{first}.seal")] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{path}");
        }
        assert_eq!(write(), first, "nothing came since");
        let text = fs::read(&first).unwrap();

        fs::remove_file(format!("{first}.seal")).unwrap();
        assert_eq!(newest(), None);
        let second = write();
        assert!(second.ends_with("csp-0-64.2.jsonl"), "{second}");
        // One is missing below it.
        assert_eq!(newest().as_deref(), Some("csp-0-64.2.jsonl"));
        assert_eq!(write(), second);

        fs::write(format!("{second}.seal"), "{}").unwrap();
        assert_eq!(newest(), None);
        let third = write();
        assert!(third.ends_with("csp-0-64.3.jsonl"), "{third}");
        assert_eq!(newest().as_deref(), Some("csp-0-64.3.jsonl"));
        assert_eq!(fs::read(&first).unwrap(), text);
        assert!(fs::exists(&second).unwrap());
    }
}
