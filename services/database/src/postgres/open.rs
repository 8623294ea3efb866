//! Opening.

use std::time::{Duration, Instant};

use postgres::{Claim, PgError, sqlstate};
use schemas::Access;
use schemas::args::AccessOutput;

use super::PostgresAccess;

/// Ends when all is open and was seen so. Takes effect before `not_after` or never.
pub(super) async fn open(
    driver: &PostgresAccess,
    claim: &Claim,
    not_after: Option<Instant>,
    within: Duration,
) -> Result<AccessOutput, PgError> {
    let session = driver.server.act(within).await?;
    // What is left when the answer is here is never more than what was left when the server looked at its
    // clock, so the deadline on its clock lies before ours.
    let there: String = session.json("SELECT to_jsonb(clock_timestamp()::text)", &[]).await?;
    let left = match not_after {
        Some(end) => end.saturating_duration_since(Instant::now()).min(session.left()),
        None => session.left(),
    };
    if left.is_zero() {
        return Err(refusal(sqlstate::TOO_LATE, "the yes to this opening is too old".into()));
    }
    let [group, epoch, run] = claim.params();
    let seconds = left.as_secs_f64();
    session
        .run_again(
            "SELECT pointsman.open_access($1, $2, $3, $4::text::timestamptz + make_interval(secs => $5))",
            &[group, epoch, run, &there, &seconds],
        )
        .await?;
    let state = driver.state(&session).await?;
    if state.access() != Access::Open {
        return Err(refusal(sqlstate::PRECONDITION, format!("it is not open afterwards: {}", state.words())));
    }
    Ok(AccessOutput { ended: 0, lsn: state.lsn })
}

/// What was found does not allow the act.
pub(super) fn refusal(sqlstate: &str, message: String) -> PgError {
    PgError::Server { sqlstate: sqlstate.into(), message, detail: None, hint: None }
}
