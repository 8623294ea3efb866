//! Where the servers' programs are, and who runs them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// The version that `scripts/install.sh` brings.
const NATS_VERSION: &str = "2.15.1";
const HINT: &str = "run scripts/install.sh";

/// Finds the NATS server that `scripts/install.sh` put into the user's cache.
///
/// # Errors
///
/// When it is not there. One found in `PATH` is not taken: distributions carry old ones.
pub fn nats_server() -> anyhow::Result<PathBuf> {
    let path = cache()?.join(format!("nats-server-{NATS_VERSION}"));
    if !path.exists() {
        bail!("no NATS server at {}: {HINT}", path.display());
    }
    Ok(path)
}

/// Finds a program of the newest PostgreSQL of this machine, such as `initdb`.
///
/// # Errors
///
/// When there is none.
pub fn postgres(program: &str) -> anyhow::Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let major = entry.file_name().to_str()?.parse().ok()?;
            let path = entry.path().join("bin").join(program);
            path.exists().then_some((major, path))
        })
        .collect();
    found.sort();
    match found.pop() {
        Some((_, path)) => Ok(path),
        None => in_path(program),
    }
}

/// Finds a program in `PATH` or in the folders of system programs.
///
/// # Errors
///
/// When there is none.
pub fn in_path(program: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("no program `{program}`: {HINT}"))
}

/// The user's cache folder for this project; made if need be.
///
/// # Errors
///
/// When there is no home or it cannot be written.
pub fn cache() -> anyhow::Result<PathBuf> {
    let base = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) if Path::new(&cache).is_absolute() => PathBuf::from(cache),
        (_, Some(home)) => Path::new(&home).join(".cache"),
        (_, None) => bail!("neither XDG_CACHE_HOME nor HOME is set"),
    };
    let folder = base.join("pointsman");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

/// A user other than root, to run a server that refuses root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl Account {
    /// `postgres` or else `nobody` when we are root; none when we are somebody else already.
    ///
    /// # Errors
    ///
    /// When we are root and there is neither.
    pub fn for_servers() -> anyhow::Result<Option<Self>> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        let users = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| Self::read(&users, name))
            .map(Some)
            .context("neither a user `postgres` nor `nobody`")
    }

    fn read(users: &str, name: &str) -> Option<Self> {
        let fields = users
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields.first() == Some(&name))?;
        let uid = fields.get(2)?.parse().ok()?;
        let gid = fields.get(3)?.parse().ok()?;
        Some(Self { uid, gid })
    }
}
