//! With which file a part of this host runs: noted when it starts, so that `config diff` can say what of the file
//! on disk it does not have yet. Digests alone are kept, and of secrets' files their time and size.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use config::Host;
use schemas::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A part that runs, and what its file said when it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    /// `runner`, `serve`, or `serve` with the services that it was restricted to.
    pub(crate) part: String,
    /// Since when.
    pub(crate) since: DateTime<Utc>,
    pid: u32,
    /// Tells it from a later process of the same number.
    started: String,
    keys: BTreeMap<String, String>,
}

/// Notes what a part starts with. It is a help for people: a folder that cannot be written stops nothing.
pub(crate) fn note(host: &Host, part: &str) {
    let pid = std::process::id();
    let running = Running {
        part: part.to_owned(),
        since: Utc::now(),
        pid,
        started: start_of(pid).unwrap_or_default(),
        keys: keys(host),
    };
    let written = serde_json::to_vec_pretty(&running).map_err(std::io::Error::other).and_then(|text| {
        let folder = folder(host);
        std::fs::create_dir_all(&folder)?;
        let name = part.replace(' ', "-");
        let new = folder.join(format!("{name}.new"));
        std::fs::write(&new, text)?;
        std::fs::rename(new, folder.join(format!("{name}.json")))
    });
    if let Err(error) = written {
        tracing::warn!(%error, "what this part runs with could not be noted: `pointsman config diff` will not know");
    }
}

/// The parts of this host that run now.
pub(crate) fn parts(host: &Host) -> Vec<Running> {
    let listed = std::fs::read_dir(folder(host)).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = listed.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "json"));
    paths.sort();
    let read = |path: &PathBuf| serde_json::from_slice::<Running>(&std::fs::read(path).ok()?).ok();
    paths.iter().filter_map(read).filter(|part| start_of(part.pid).as_ref() == Some(&part.started)).collect()
}

impl Running {
    /// The keys whose value on disk is another one than this part started with.
    pub(crate) fn differs(&self, host: &Host) -> Vec<String> {
        let now = keys(host);
        let all = now.keys().chain(self.keys.keys().filter(|key| !now.contains_key(*key)));
        let mut found: Vec<String> =
            all.filter(|key| now.get(*key) != self.keys.get(*key)).cloned().collect();
        found.sort();
        found
    }
}

fn folder(host: &Host) -> PathBuf {
    host.state.join("running")
}

/// When a process started, in the kernel's own words; none if there is none.
fn start_of(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // proc_pid_stat(5): field 22, counted after the name, which may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

/// Each value of the host's file by its pointer, as a digest; and the files that are read only at the start.
fn keys(host: &Host) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    flatten(String::new(), host.document().value(), &mut |pointer, value| {
        found.insert(pointer, Digest::of(value.to_string().as_bytes()).to_string());
    });
    let bus = &host.bus;
    let tls = bus.tls.iter().flat_map(|tls| [&tls.ca, &tls.cert, &tls.key]).flatten();
    for file in bus.creds.iter().chain(&bus.nkey).chain(tls) {
        found.insert(format!("the file {}", file.display()), seen(file));
    }
    let definitions = host.runner.as_ref().and_then(|runner| runner.definitions.clone());
    if let Some(folder) = definitions {
        for text in runner::in_folder(&folder).unwrap_or_default() {
            found.insert(format!("the file {}", text.path), Digest::of(text.text.as_bytes()).to_string());
        }
    }
    found
}

fn seen(file: &Path) -> String {
    std::fs::metadata(file).map_or_else(
        |error| error.kind().to_string(),
        |found| format!("{}.{} {}", found.mtime(), found.mtime_nsec(), found.len()),
    )
}

/// Each plain value with its JSON pointer.
pub(crate) fn flatten(at: String, value: &Value, each: &mut dyn FnMut(String, &Value)) {
    let below = |name: &str| format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Object(members) if !members.is_empty() => {
            members.iter().for_each(|(name, value)| flatten(below(name), value, each));
        }
        Value::Array(items) if !items.is_empty() => {
            items.iter().enumerate().for_each(|(i, value)| flatten(below(&i.to_string()), value, each));
        }
        plain => each(at, plain),
    }
}
