//! The end of a PostgreSQL server's own log, written as text (`log_destination = stderr`).

mod reason;

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{Mode, OFlags};

pub(crate) use reason::reason;

/// So much of the end is read.
pub(crate) const TAIL: u64 = 256 * 1024;
/// So many files of a folder are looked through for the newest.
const FILES_MAX: usize = 10_000;

/// The end of the log, in whole lines. In the name of the file `*`, and `%` with the letter after it, stand for
/// anything, as in `log_filename`: the newest file that fits is read. What is no ordinary file is refused, not waited for.
///
/// # Errors
///
/// Those of the file system.
pub(crate) fn tail(pattern: &Path) -> io::Result<String> {
    let path = newest(pattern)?;
    // A pipe without a writer would be waited for.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(&path, flags, Mode::empty())?);
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no ordinary file"));
    }
    let from = found.len().saturating_sub(TAIL);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    // The first line is half a line.
    let whole = if from == 0 { &*text } else { text.split_once('\n').map_or("", |(_, rest)| rest) };
    Ok(whole.to_owned())
}

fn newest(pattern: &Path) -> io::Result<PathBuf> {
    let name = pattern.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let pieces = pieces(name);
    let [_, _, ..] = pieces.as_slice() else { return Ok(pattern.to_owned()) };
    let folder = pattern.parent().unwrap_or(Path::new("."));
    let mut found: Option<(SystemTime, PathBuf)> = None;
    for entry in fs::read_dir(folder)?.take(FILES_MAX) {
        let entry = entry?;
        if !entry.file_name().to_str().is_some_and(|name| fits(name, &pieces)) {
            continue;
        }
        let metadata = entry.metadata()?;
        let changed = metadata.modified()?;
        if metadata.is_file() && found.as_ref().is_none_or(|(latest, _)| changed > *latest) {
            found = Some((changed, entry.path()));
        }
    }
    let none = || io::Error::new(io::ErrorKind::NotFound, "no file is called so");
    found.map(|(_, path)| path).ok_or_else(none)
}

/// What stands between the parts of a name that stand for anything.
fn pieces(name: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut letters = name.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '*' => pieces.push(String::new()),
            '%' => {
                letters.next();
                pieces.push(String::new());
            }
            letter => {
                if let Some(piece) = pieces.last_mut() {
                    piece.push(letter);
                }
            }
        }
    }
    pieces
}

fn fits(name: &str, pieces: &[String]) -> bool {
    let [first, middle @ .., last] = pieces else { return false };
    let Some(mut rest) = name.strip_prefix(first.as_str()) else { return false };
    for piece in middle {
        let Some((_, after)) = rest.split_once(piece.as_str()) else { return false };
        rest = after;
    }
    rest.ends_with(last.as_str())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::process::Command;
    use std::time::{Duration, SystemTime};

    use super::{TAIL, fits, pieces, tail};

    #[test]
    fn the_end_is_read_in_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        std::fs::write(&file, "one\ntwo\n").unwrap();
        assert_eq!(tail(&file).unwrap(), "one\ntwo\n");
        // Longer than what is read, and not all of it text.
        let long = usize::try_from(TAIL).unwrap() + 10;
        let mut bytes = vec![b'x'; long];
        bytes.extend(b"\nlast \xff\n");
        std::fs::write(&file, bytes).unwrap();
        assert_eq!(tail(&file).unwrap(), "last \u{fffd}\n");
    }

    #[test]
    fn the_newest_file_that_fits_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let begun = SystemTime::now();
        for (name, seconds) in [("postgresql-Mon.log", 60), ("postgresql-Tue.log", 30), ("other.log", 0)] {
            let path = folder.path().join(name);
            std::fs::write(&path, name).unwrap();
            let file = std::fs::File::options().write(true).open(&path).unwrap();
            file.set_modified(begun - Duration::from_secs(seconds)).unwrap();
        }
        for pattern in ["postgresql-%a.log", "postgresql-*.log"] {
            assert_eq!(tail(&folder.path().join(pattern)).unwrap(), "postgresql-Tue.log");
        }
        let none = tail(&folder.path().join("nothing-%a.log")).unwrap_err();
        assert!(none.to_string().contains("no file is called so"), "{none}");
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe.as_path(), folder.path()] {
            assert!(tail(path).unwrap_err().to_string().contains("no ordinary file"), "{}", path.display());
        }
    }

    #[test]
    fn names_of_log_filename() {
        let log = pieces("postgresql-%Y-%m-%d_%H%M%S.log");
        assert!(fits("postgresql-2026-11-28_031500.log", &log));
        for other in ["postgresql-2026-11-28_031500.csv", "postgresql.log", "x-2026-11-28_031500.log"] {
            assert!(!fits(other, &log), "{other}");
        }
    }
}
