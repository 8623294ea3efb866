//! Closing.

use std::time::Duration;

use postgres::{Claim, PgError, Session, identifier, literal, sqlstate};
use responder::Pauses;
use schemas::Access;
use schemas::args::AccessOutput;
use serde::Deserialize;

use super::PostgresAccess;

/// The longest pause between two looks at who is left.
const EVERY: Duration = Duration::from_millis(8);

/// Ends when all is closed and was seen so; may be called again at any time.
pub(super) async fn close(
    driver: &PostgresAccess,
    claim: &Claim,
    within: Duration,
) -> Result<AccessOutput, PgError> {
    let session = driver.server.act(within).await?;
    session.run_again("SELECT pointsman.close_access($1, $2, $3)", &claim.params()).await?;
    // Told by the first look, which is after the commit: whoever comes later finds the doors shut.
    let mut since: Option<String> = None;
    let mut ended = 0;
    let mut pauses = Pauses::up_to(EVERY);
    let lsn = loop {
        let left: Left = session.json("SELECT pointsman.shut_out($1::text::timestamptz)", &[&since]).await?;
        ended += left.busy;
        roll_back(&session, &left.prepared).await?;
        if left.busy == 0 && left.prepared.is_empty() {
            session.run("SELECT pointsman.close_ended($1, $2, $3)", &claim.params()).await?;
            // Their sessions are gone: nothing can be committed by the roles after the position of this look.
            let state = driver.state(&session).await?;
            if state.access() == Access::Closed {
                break state.lsn;
            }
        }
        since = Some(left.since);
        if session.left() < EVERY * 4 {
            let state = driver.state(&session).await?;
            return Err(PgError::Server {
                sqlstate: sqlstate::CANCELED.into(),
                message: format!("not closed within {within:?}: {}", state.words()),
                detail: None,
                hint: None,
            });
        }
        pauses.wait().await;
    };
    Ok(AccessOutput { ended, lsn })
}

/// Who is still there.
#[derive(Debug, Deserialize)]
struct Left {
    since: String,
    busy: u64,
    prepared: Vec<Prepared>,
}

#[derive(Debug, Deserialize)]
struct Prepared {
    gid: String,
    owner: String,
}

/// Rolls back what the roles had prepared here. A function cannot do it, so it is done in the name of its owner.
async fn roll_back(session: &Session, prepared: &[Prepared]) -> Result<(), PgError> {
    for Prepared { gid, owner } in prepared {
        session.simple(&format!("SET ROLE {}", identifier(owner))).await?;
        let done = session.simple(&format!("ROLLBACK PREPARED {}", literal(gid))).await;
        session.simple("RESET ROLE").await?;
        match done {
            Ok(_) => {}
            // Somebody was faster, or its session is just ending.
            Err(error) if matches!(error.sqlstate(), Some(sqlstate::UNDEFINED | "55000")) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
