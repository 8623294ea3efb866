//! Closing.

use std::time::Duration;

use postgres::{Claim, PgError, Server, Session, identifier, literal, sqlstate};
use responder::Pauses;
use schemas::Access;
use schemas::args::AccessOutput;

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
    // After the commit: whoever comes later finds the doors shut.
    let since: String = session.json("SELECT to_jsonb(clock_timestamp()::text)", &[]).await?;
    let mut ended = 0;
    let mut pauses = Pauses::up_to(EVERY);
    loop {
        let busy = end_sessions(&session, &since).await?;
        ended += busy;
        let rolled_back = roll_back(&session).await?;
        if busy == 0 && rolled_back == 0 {
            session.run("SELECT pointsman.close_ended($1, $2, $3)", &claim.params()).await?;
            let state = driver.state(&session).await?;
            if state.access() == Access::Closed {
                break;
            }
        }
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
    }
    // Only now: nothing can be committed by the roles after this position.
    let lsn = Server::flushed(&session).await?;
    Ok(AccessOutput { ended, lsn: Some(lsn.to_string()) })
}

async fn end_sessions(session: &Session, since: &str) -> Result<u64, PgError> {
    let count: i64 =
        session.json("SELECT to_jsonb(pointsman.end_writers($1::text::timestamptz))", &[&since]).await?;
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Rolls back what the roles had prepared here; how many there were. A function cannot do it, so it is done
/// in the name of its owner.
async fn roll_back(session: &Session) -> Result<usize, PgError> {
    let rows = session
        .rows(
            "SELECT p.gid, p.owner::text FROM pg_prepared_xacts p JOIN pg_roles o ON o.rolname = p.owner \
             WHERE p.database = current_database() AND EXISTS (SELECT FROM pointsman.writer w \
               JOIN pg_roles r ON r.rolname = w.role WHERE o.oid = r.oid OR (NOT o.rolsuper \
               AND o.rolname <> session_user AND pg_has_role(o.oid, r.oid, 'member')))",
            &[],
        )
        .await?;
    for row in &rows {
        let gid: &str = row.try_get(0)?;
        let owner: &str = row.try_get(1)?;
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
    Ok(rows.len())
}
