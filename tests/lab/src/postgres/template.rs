//! An empty cluster, made once a machine and version, then copied.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail};

use crate::folder::Folder;
use crate::tools::{self, Account};

/// To be raised when the way the template is made changes.
const EDITION: u32 = 1;

/// Puts a fresh data folder at `data`, owned by `account`.
pub(super) fn copy_to(data: &Path, account: Option<Account>) -> anyhow::Result<()> {
    let template = template(account)?;
    let mut copy = Command::new("cp");
    copy.args(["-a", "--reflink=auto"]).arg(&template).arg(data);
    run(&mut copy)
}

/// Removes the segment of System V shared memory that a killed server named in its lock file.
pub(super) fn remove_shared_memory(data: &Path) {
    let lock = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let segment = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
    if let Some(segment) = segment {
        // Best effort: the kernel refuses ids that are not ours, and may know it no more.
        let _ = Command::new("ipcrm").args(["-m", segment]).output();
    }
}

/// Two fixtures of one process would copy into the same folder, and leave one inside the other.
static MAKING: Mutex<()> = Mutex::new(());

fn template(account: Option<Account>) -> anyhow::Result<PathBuf> {
    let initdb = tools::postgres("initdb")?;
    let version = run_for_output(Command::new(&initdb).arg("--version"))?;
    let version: String = version
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' })
        .collect();
    let owner = account.map_or("own".into(), |account| account.uid.to_string());
    let name = format!("template-{EDITION}-{}-{owner}", version.trim_matches('-'));
    let target = tools::cache()?.join(name);
    let _one_at_a_time = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    if target.exists() {
        return Ok(target);
    }
    // Made where the account may enter, then moved as a whole: whoever comes second finds it.
    let folder = Folder::new("initdb")?;
    let data = folder.join("data");
    fs::create_dir(&data)?;
    let mut command = match account {
        Some(Account { uid, gid }) => {
            chown(&data, Some(uid), Some(gid))?;
            let mut command = Command::new(tools::in_path("setpriv")?);
            command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
            command.args(["--clear-groups", "--"]).arg(&initdb);
            command
        }
        None => Command::new(&initdb),
    };
    command
        .args(["-U", super::SUPERUSER, "-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync"])
        .arg("-D")
        .arg(&data)
        .current_dir(folder.path());
    run(&mut command)?;
    allow_loopback(&data)?;
    let fresh = target.with_extension(std::process::id().to_string());
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(&data).arg(&fresh);
    run(&mut copy)?;
    if fs::rename(&fresh, &target).is_err() {
        fs::remove_dir_all(&fresh)?;
        if !target.exists() {
            bail!("cannot make {}", target.display());
        }
    }
    Ok(target)
}

/// `initdb` allows 127.0.0.1 only; a site of the lab has an address of its own.
fn allow_loopback(data: &Path) -> anyhow::Result<()> {
    let rules = "local all all trust\n\
                 host all all 127.0.0.0/8 trust\n\
                 host all all ::1/128 trust\n\
                 host replication all 127.0.0.0/8 trust\n\
                 host replication all ::1/128 trust\n";
    fs::write(data.join("pg_hba.conf"), rules).context("write pg_hba.conf")
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    run_for_output(command).map(|_| ())
}

fn run_for_output(command: &mut Command) -> anyhow::Result<String> {
    let done = command.output().with_context(|| format!("start {command:?}"))?;
    if !done.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().into())
}
