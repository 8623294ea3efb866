//! What would stand in the way of a close or an opening, looked at by day.

use std::path::{Path, PathBuf};

use postgres::{PgError, Session, setup};
use responder::expiry::{self, Credential, Ending};
use schemas::CheckLine;
use serde::Deserialize;

use super::{PostgresAccess, debian};
use crate::settings::Boot;

/// Room on the disk of the data, in bytes, below which somebody should look, and nothing may start.
const ROOM: (u64, u64) = (10 << 30, 1 << 30);

#[derive(Deserialize)]
struct Seen {
    role: String,
    server: String,
    folder: Option<String>,
}

const SEE: &str = "
SELECT jsonb_build_object(
  'role', session_user,
  'server', 'PostgreSQL ' || current_setting('server_version'),
  'folder', pointsman.data_directory())";

pub(super) async fn lines(driver: &PostgresAccess) -> Vec<CheckLine> {
    let session = match driver.server.look(driver.look_within.duration()).await {
        Ok(session) => session,
        Err(error) => return vec![unreachable(&error)],
    };
    let mut lines = vec![setup::line(&session).await];
    match session.json::<Seen>(SEE, &[]).await {
        Ok(seen) => {
            lines.push(CheckLine::green("reachable", seen.server.clone()));
            lines.push(credentials(driver, &session, &seen.role).await);
            lines.push(disk(seen.folder.as_deref()));
            lines.extend(boot(driver, &seen).await);
        }
        Err(error) => lines.push(CheckLine::red(
            "setup",
            error.to_string(),
            "install what is missing, as superuser: pointsman setup postgres --print | psql …",
        )),
    }
    lines.push(closable(driver, &session).await);
    lines
}

fn unreachable(error: &PgError) -> CheckLine {
    CheckLine::red("reachable", error.to_string(), format!("pointsman explain {}", error.code()))
}

async fn closable(driver: &PostgresAccess, session: &Session) -> CheckLine {
    let seen = async { Ok::<_, PgError>((driver.state(session).await?, driver.see_beside(session).await?)) };
    match seen.await {
        Ok((state, _)) if state.in_recovery => CheckLine::red(
            "closable",
            "the server is a physical standby: access cannot be changed on it",
            "promote it, or replicate logically",
        ),
        Ok((_, beside)) => match beside.cannot_close(&driver.writers) {
            None => CheckLine::green("closable", "its writers can be shut out"),
            Some(reasons) => {
                CheckLine::red("closable", reasons, "give the writers a plain role that owns no table")
            }
        },
        Err(error) => unreachable(&error),
    }
}

/// Passwords of its own role and of the writers, who need theirs after an opening, and the certificates of the `dsn`.
async fn credentials(driver: &PostgresAccess, session: &Session, role: &str) -> CheckLine {
    let passwords = match postgres::passwords(session, &driver.writers).await {
        Ok(passwords) => passwords,
        Err(error) => return unreachable(&error),
    };
    // One that cannot be read let nobody in.
    let (own, trusted) = driver.server.certificates().unwrap_or_default();
    let mut endings = expiry::endings(Credential::pair(own, trusted)).await;
    endings.extend(passwords.into_iter().map(|(role, days)| Ending::password(&role, days)));
    expiry::line("credentials", endings, format!("{role} can log in, and its writers' passwords are valid"))
}

/// Where its service starts the server closed, nothing else on this host may start it.
async fn boot(driver: &PostgresAccess, seen: &Seen) -> Option<CheckLine> {
    let data = seen.folder.as_ref().filter(|_| matches!(driver.boot, Boot::Closed(_))).map(PathBuf::from)?;
    // Beside everything else: a disk may be slow.
    let look = move || debian::autostart(Path::new(debian::ETC), &data);
    tokio::task::spawn_blocking(look).await.ok().flatten()
}

/// A disk that is not seen here, such as that of a server on another host, is watched where it is, which is said; one that this
/// user may not look at is amber.
fn disk(folder: Option<&str>) -> CheckLine {
    let Some(folder) = folder.filter(|folder| Path::new(folder).is_absolute()) else {
        return unseen("its server names no folder".to_owned());
    };
    match rustix::fs::statvfs(folder) {
        Ok(disk) => room(folder, disk.f_bavail.saturating_mul(disk.f_frsize)),
        Err(rustix::io::Errno::NOENT) => CheckLine::green(
            "disk",
            format!("not looked at: there is no {folder} on this host, watch the room where the server is"),
        ),
        Err(error) => unseen(format!("{folder} cannot be looked at: {error}")),
    }
}

fn unseen(why: String) -> CheckLine {
    let remedy = "have its service run as a user who may enter that folder, or watch the room yourself";
    CheckLine::amber("disk", format!("nobody can tell what room it has: {why}"), remedy)
}

/// So many bytes are free where the data is.
fn room(folder: &str, free: u64) -> CheckLine {
    let text = format!("{} MiB are free where {folder} is", free >> 20);
    let remedy = "free space, or make the disk larger: replication keeps what the other site has not read";
    match free {
        free if free < ROOM.1 => CheckLine::red("disk", text, remedy),
        free if free < ROOM.0 => CheckLine::amber("disk", text, remedy),
        _ => CheckLine::green("disk", text),
    }
}

#[cfg(test)]
mod tests {
    use schemas::Level;

    use super::{disk, room};

    #[test]
    fn a_disk_is_red_below_one_gib_and_amber_below_ten() {
        for (free, level) in [
            (0_u64, Level::Red),
            ((1 << 30) - 1, Level::Red),
            (1 << 30, Level::Amber),
            ((10 << 30) - 1, Level::Amber),
            (10 << 30, Level::Green),
        ] {
            let line = room("/data", free);
            assert_eq!((line.what.as_str(), line.level), ("disk", level), "{free}: {line:?}");
            assert_eq!(line.remedy.is_some(), level != Level::Green, "{line:?}");
        }
        assert!(room("/data", 3 << 20).text.starts_with("3 MiB are free where /data"));
    }

    #[test]
    fn a_disk_that_cannot_be_looked_at_is_told() {
        for folder in [Some("/dev/null/15/main"), Some("C:/data"), None] {
            let line = disk(folder);
            assert_eq!((line.what.as_str(), line.level), ("disk", Level::Amber), "{line:?}");
            assert!(line.remedy.is_some_and(|remedy| remedy.contains("who may enter that folder")));
        }
        let elsewhere = disk(Some("/nowhere/15/main"));
        assert_eq!(elsewhere.level, Level::Green);
        assert!(elsewhere.text.contains("there is no /nowhere/15/main on this host"), "{elsewhere:?}");
        assert!(disk(Some("/")).text.contains("MiB are free"));
    }
}
