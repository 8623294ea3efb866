//! The hosts file of a client host, for the time in which a name cannot be changed: what the operator's two scripts write
//! there and take away again. That something was written, or may have been, is noted in the state folder, on disk before
//! the script runs: a host that boots keeps its hosts file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use responder::{DriverError, startable};
use schemas::{CheckLine, Code, Level, ResourceId, SiteId};

/// The word of its line in `check`.
const LINE: &str = "hosts";

/// The keys of the host's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hosts {
    /// Each of its arguments is a line of a hosts file, address and name: it writes them there, in place of those that
    /// it wrote before. Exit 0 is done.
    pub push: PathBuf,
    /// Takes them away again; exit 0 is done, also where there are none.
    pub unpush: PathBuf,
    /// The note, in the service's state folder.
    pub note: PathBuf,
}

impl Hosts {
    /// The site whose addresses are in the hosts file, or may be. Where there is a note that cannot be read something may
    /// be there: why it cannot.
    pub(crate) fn pushed(&self) -> Result<Option<SiteId>, String> {
        let why = |cause: String| format!("{}: {cause}", self.note.display());
        match std::fs::read_to_string(&self.note) {
            Ok(text) => match text.trim().parse() {
                Ok(site) => Ok(Some(site)),
                Err(_) => Err(why("it names no site".to_owned())),
            },
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(why(cause.to_string())),
        }
    }

    /// Notes it; on disk when it returns.
    ///
    /// # Errors
    ///
    /// Those of the file system; the note is as it was.
    pub(crate) async fn note(&self, site: Option<SiteId>) -> Result<(), DriverError> {
        let file = self.note.clone();
        let written = tokio::task::spawn_blocking(move || write(&file, site.as_ref())).await;
        let written = written.unwrap_or_else(|cause| Err(io::Error::other(cause)));
        written.map_err(|cause| {
            DriverError::not_done(Code::Internal, format!("{}: {cause}", self.note.display()))
        })
    }

    /// By day: whether it could be pushed, or still is. `names`: the host's file says what would be written.
    pub(crate) fn line(&self, resource: &ResourceId, names: bool) -> CheckLine {
        let left = match self.pushed() {
            Ok(None) => None,
            Ok(Some(site)) => {
                Some(format!("its hosts file was pushed with the addresses of {site}, whatever DNS says"))
            }
            Err(why) => {
                Some(format!("its hosts file may have been pushed, and the note of it cannot be read: {why}"))
            }
        };
        if let Some(text) = left {
            let remedy = format!(
                "it is taken away when the names are right at their servers; by hand: pointsman act dns.{resource} unpush --here"
            );
            return CheckLine::amber(LINE, text, remedy);
        }
        let scripts = startable([self.push.as_path(), self.unpush.as_path()]);
        if scripts.level != Level::Green {
            return CheckLine { what: LINE.to_owned(), ..scripts };
        }
        match names {
            true => CheckLine::green(LINE, "its hosts file can be pushed"),
            false => CheckLine::amber(
                LINE,
                "nothing can be pushed into its hosts file: it knows no names",
                "write `names:` into this host's file, each with its addresses by site",
            ),
        }
    }
}

fn write(file: &Path, site: Option<&SiteId>) -> io::Result<()> {
    match site {
        Some(site) => {
            let part = file.with_extension("pushed-part");
            let mut open = File::create(&part)?;
            writeln!(open, "{site}")?;
            open.sync_all()?;
            std::fs::rename(&part, file)?;
        }
        None => match std::fs::remove_file(file) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            removed => removed?,
        },
    }
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
