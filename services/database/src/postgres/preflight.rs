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
            lines.extend(room(&seen));
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

/// Only where the server's disk is this host's.
fn room(seen: &Seen) -> Option<CheckLine> {
    let folder = seen.folder.as_deref().filter(|folder| Path::new(folder).is_absolute())?;
    let disk = rustix::fs::statvfs(folder).ok()?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let text = format!("{} MiB are free where {folder} is", free >> 20);
    let remedy = "free space, or make the disk larger: replication keeps what the other site has not read";
    Some(match free {
        free if free < ROOM.1 => CheckLine::red("disk", text, remedy),
        free if free < ROOM.0 => CheckLine::amber("disk", text, remedy),
        _ => CheckLine::green("disk", text),
    })
}
