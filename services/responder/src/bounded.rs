//! Files and folders of the host, read with a bound: what is larger is cut, and what is no file is never opened.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// So much of a file is read, in bytes: the system's own bundle of authorities has a quarter of it.
const FILE_MAX: u64 = 1024 * 1024;
/// So many names of a folder.
const FOLDER_MAX: usize = 512;

/// What a file holds.
///
/// # Errors
///
/// It cannot be read, or is no file: a pipe would be waited for.
pub fn bytes(file: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(file)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(FILE_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same as text, whatever it holds; none where it cannot be read.
#[must_use]
pub fn text(file: &Path) -> Option<String> {
    Some(String::from_utf8_lossy(&bytes(file).ok()?).into_owned())
}

/// What stands in a folder, in the order of the names; nothing where it cannot be read.
#[must_use]
pub fn listed(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().take(FOLDER_MAX);
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_file_is_cut_at_the_bound_and_what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| folder.path().join(name);
        std::fs::write(file("b"), vec![b'x'; FILE_MAX as usize + 1]).unwrap();
        std::fs::write(file("a"), b"a\xff").unwrap();
        assert_eq!(bytes(&file("b")).unwrap().len() as u64, FILE_MAX);
        assert_eq!(text(&file("a")).unwrap(), "a\u{fffd}");
        // Whoever opened it would wait for a writer.
        rustix::fs::mkfifoat(rustix::fs::CWD, file("pipe"), rustix::fs::Mode::RWXU).unwrap();
        assert!(bytes(&file("pipe")).is_err() && text(&file("nowhere")).is_none());
        assert_eq!(listed(folder.path()), [file("a"), file("b"), file("pipe")]);
        assert!(listed(&file("nowhere")).is_empty());
    }
}
