//! The receiver's half, but for its start.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use postgres::{Claim, Lsn, PgError, Session, sqlstate};
use responder::{Look, Pauses};
use schemas::Action;
use schemas::args::{MarkArgs, MarkOutput, ReceiverArgs, ReceiverOutput};
use serde::Deserialize;
use serde_json::{Value, json};

use super::seen::Receiver;
use super::why::Why;
use super::{EVERY, precondition, read, too_slow};

/// Beyond the highest value known, when the source's last values are not.
pub(super) const GAP: u32 = 10_000;
/// So many new errors without progress: it is stuck, not slow.
const STUCK: i64 = 3;
/// A worker that waits for the source this long, at each look, has applied what came.
const QUIET: Duration = Duration::from_millis(30);

pub(super) async fn look(
    session: &Session,
    subscription: &str,
    action: Action,
    args: &Value,
) -> Result<Look, PgError> {
    match action {
        Action::Drain => {
            let mark = read::<MarkArgs>(args)?.mark;
            let reached = drained(session, subscription, &mark).await?;
            return Ok(match reached.all {
                true => Look::InEffect(output(reached.applied)),
                false => Look::NotInEffect(json!(reached.words(&mark))),
            });
        }
        Action::SetSequences => {
            let behind = behind(session, &read::<MarkArgs>(args)?.mark.sequences).await?;
            return Ok(match behind.is_empty() {
                true => Look::InEffect(json!(ReceiverOutput::default())),
                false => Look::NotInEffect(json!({ "behind": behind })),
            });
        }
        _ => {}
    }
    let seen = Receiver::see(session, subscription).await?;
    let in_effect = match action {
        Action::StartReplication => seen.applies(),
        // Without a note it was stopped by hand: the act notes where it stands.
        Action::StopReplication => {
            let proved = match read::<ReceiverArgs>(args)?.mark {
                Some(mark) => drained(session, subscription, &mark).await?.all,
                None => true,
            };
            seen.still() && (seen.noted() || !seen.exists) && proved
        }
        _ => {
            seen.still() && seen.noted() && seen.stopped.as_deref() == Some("abandoned") && seen.gap.is_some()
        }
    };
    Ok(match in_effect {
        true => Look::InEffect(output(seen.position)),
        false => Look::NotInEffect(seen.words()),
    })
}

fn output(applied: Option<Lsn>) -> Value {
    json!(ReceiverOutput { applied: applied.map(|lsn| lsn.to_string()), sequences: BTreeMap::new() })
}

/// How far a receiver is towards a mark.
struct Reached {
    /// The mark is applied *and* on disk here, and no table is still being copied.
    all: bool,
    /// Up to where all is that came after its table.
    applied: Option<Lsn>,
    /// How many tables are there, of how many.
    tables: (u64, u64),
}

impl Reached {
    fn words(&self, mark: &MarkOutput) -> String {
        let applied = format!("applied {} of {}", shown(self.applied), mark.lsn);
        match self.tables {
            (ready, tables) if ready < tables => {
                format!("{applied}, and the copy is not finished: {ready} of {tables} tables are there")
            }
            _ => applied,
        }
    }
}

/// A mark comes by a small table that is there in seconds: it proves nothing of one that is still being copied.
async fn drained(session: &Session, subscription: &str, mark: &MarkOutput) -> Result<Reached, PgError> {
    #[derive(Deserialize)]
    struct Drained {
        came: bool,
        position: Option<Lsn>,
        ready: Option<u64>,
        tables: Option<u64>,
    }
    let wanted: Lsn = mark.lsn.parse().map_err(|e: postgres::BadLsn| precondition(e.to_string()))?;
    let found: Drained =
        session.json("SELECT pointsman.receiver_drained($1, $2)", &[&subscription, &mark.sentinel]).await?;
    let tables = match (found.ready, found.tables) {
        (Some(ready), Some(tables)) => (ready, tables),
        // The function of an older set-up does not say it.
        _ => Receiver::see(session, subscription).await?.tables(),
    };
    let all = found.came && found.position.is_some_and(|at| at >= wanted) && tables.0 == tables.1;
    Ok(Reached { all, applied: found.position, tables })
}

/// Waits for the mark; says at once what makes the wait vain.
pub(super) async fn drain(
    session: &Session,
    subscription: &str,
    mark: &MarkOutput,
    why: &Why,
) -> Result<Value, PgError> {
    let mut first: Option<(i64, Option<Lsn>)> = None;
    let mut pauses = Pauses::up_to(EVERY);
    loop {
        let reached = drained(session, subscription, mark).await?;
        let applied = reached.applied;
        if reached.all {
            return Ok(output(applied));
        }
        let seen = Receiver::see(session, subscription).await?;
        if !seen.exists || !seen.enabled {
            return Err(precondition(format!(
                "subscription {subscription} is stopped and the mark has not come"
            )));
        }
        if !seen.sentinel {
            return Err(precondition(format!("marks cannot come: {}", seen.trouble().unwrap_or_default())));
        }
        let errors = seen.errors();
        match first {
            Some((since, at)) if at == applied && errors >= since + STUCK => {
                let (at, new) = (shown(applied), errors - since);
                let why = why.reason(session, subscription).await;
                // Asked again at once it would only wait again: somebody has to mend it.
                return Err(precondition(format!(
                    "subscription {subscription} is stuck at {at}: {new} new errors; {why}"
                )));
            }
            Some((_, at)) if at == applied => {}
            _ => first = Some((errors, applied)),
        }
        if session.left() < EVERY * 4 {
            let trouble = why.trouble(session, subscription, &seen).await;
            let trouble = trouble.map(|text| format!("; {text}")).unwrap_or_default();
            return Err(too_slow(format!("not drained in time: {}{trouble}", reached.words(mark))));
        }
        pauses.wait().await;
    }
}

fn shown(lsn: Option<Lsn>) -> String {
    lsn.map_or("nothing".into(), |lsn| lsn.to_string())
}

/// Ends when nothing is applied any more; with a mark, only after that was drained.
pub(super) async fn stop(
    session: &Session,
    subscription: &str,
    mark: Option<&MarkOutput>,
    claim: &Claim,
) -> Result<Value, PgError> {
    if let Some(mark) = mark {
        let reached = drained(session, subscription, mark).await?;
        if !reached.all {
            return Err(precondition(format!("not drained: {}", reached.words(mark))));
        }
    }
    let why = if mark.is_some() { "drained" } else { "stopped" };
    halt(session, subscription, why, None, claim).await
}

/// DISABLE first, or the launcher starts the worker again; then its end, for DISABLE alone takes long.
pub(super) async fn halt(
    session: &Session,
    subscription: &str,
    why: &str,
    gap: Option<i64>,
    claim: &Claim,
) -> Result<Value, PgError> {
    let [group, epoch, run] = claim.params();
    session
        .run_again("SELECT pointsman.receiver_disable($1, $2, $3, $4)", &[group, epoch, run, &subscription])
        .await?;
    let mut pauses = Pauses::up_to(EVERY);
    loop {
        let left: i64 =
            session.json("SELECT to_jsonb(pointsman.receiver_end_workers($1))", &[&subscription]).await?;
        if left == 0 {
            let noted = session
                .run_again(
                    "SELECT pointsman.receiver_stopped($1, $2, $3, $4, $5, $6)",
                    &[group, epoch, run, &subscription, &why, &gap],
                )
                .await;
            match noted {
                Ok(()) => {
                    let seen = Receiver::see(session, subscription).await?;
                    if seen.still() {
                        return Ok(output(seen.position));
                    }
                    if seen.enabled {
                        let why = format!("subscription {subscription} was started again meanwhile");
                        return Err(precondition(why));
                    }
                    // A late worker, as below: the launcher had decided before the subscription was disabled.
                }
                // A worker that was just being started: it will see that it is disabled.
                Err(error) if error.sqlstate() == Some(sqlstate::PRECONDITION) => {}
                Err(error) => return Err(error),
            }
        }
        if session.left() < EVERY * 4 {
            return Err(too_slow(format!("subscription {subscription} still has a worker")));
        }
        pauses.wait().await;
    }
}

/// Which of `wanted` are not reached here; those that are missing do not count.
async fn behind(session: &Session, wanted: &BTreeMap<String, i64>) -> Result<BTreeMap<String, i64>, PgError> {
    let sql = "SELECT coalesce(jsonb_object_agg(sequence, value), '{}') \
               FROM pointsman.sequences_behind($1) WHERE NOT missing";
    session.json(sql, &[&json!(wanted)]).await
}

/// Ends when each sequence is at the source's value or beyond; none is ever moved back.
pub(super) async fn set_sequences(
    session: &Session,
    mark: &MarkOutput,
    claim: &Claim,
) -> Result<Value, PgError> {
    let moved = raise(session, &json!(mark.sequences), claim).await?;
    let behind = behind(session, &mark.sequences).await?;
    if !behind.is_empty() {
        return Err(precondition(format!("sequences are still behind: {behind:?}")));
    }
    Ok(moved)
}

async fn raise(session: &Session, wanted: &Value, claim: &Claim) -> Result<Value, PgError> {
    #[derive(Deserialize)]
    struct Raised {
        moved: BTreeMap<String, i64>,
        missing: Vec<String>,
    }
    let [group, epoch, run] = claim.params();
    let raised: Raised =
        session.json("SELECT pointsman.set_sequences($1, $2, $3, $4)", &[group, epoch, run, wanted]).await?;
    let mut output = json!(ReceiverOutput { applied: None, sequences: raised.moved });
    if !raised.missing.is_empty() {
        output["missing"] = json!(raised.missing);
    }
    Ok(output)
}

/// The source is lost: applies what came, stops, keeps the position, and moves the sequences out of the way
/// of values that the source may have given out.
pub(super) async fn abandon(
    session: &Session,
    subscription: &str,
    gap: Option<u32>,
    claim: &Claim,
) -> Result<Value, PgError> {
    let gap = i64::from(gap.unwrap_or(GAP));
    let complete = settle(session, subscription).await?;
    // First the stop: rows that came later could carry values beyond the gap's start.
    halt(session, subscription, "stopped", None, claim).await?;
    let already = Receiver::see(session, subscription).await?.gap.is_some();
    let mut output = json!(ReceiverOutput::default());
    if !already {
        let wanted: Value = session.json("SELECT pointsman.sequences_with_gap($1)", &[&gap]).await?;
        output = raise(session, &wanted, claim).await?;
    }
    let halted = halt(session, subscription, "abandoned", Some(gap), claim).await?;
    output["applied"] = halted["applied"].clone();
    if !complete {
        output["incomplete"] = json!("what was received was not applied within the bound");
    }
    Ok(output)
}

/// Waits until all that came is applied, for half of the time that is left at most; whether it is.
async fn settle(session: &Session, subscription: &str) -> Result<bool, PgError> {
    let start = Instant::now();
    let bound = session.left() / 2;
    let mut quiet_since: Option<(Instant, Option<Lsn>)> = None;
    let mut pauses = Pauses::up_to(EVERY);
    loop {
        let seen = Receiver::see(session, subscription).await?;
        if !seen.enabled {
            return Ok(true);
        }
        // Without a worker nothing is received: what it had is applied, or will be sent again.
        let idle = seen.pid.is_none() || seen.idle();
        quiet_since = match quiet_since {
            Some((since, at)) if idle && at == seen.received => Some((since, at)),
            _ if idle => Some((Instant::now(), seen.received)),
            _ => None,
        };
        if quiet_since.is_some_and(|(since, _)| since.elapsed() >= QUIET) {
            return Ok(true);
        }
        if start.elapsed() >= bound {
            return Ok(false);
        }
        pauses.wait().await;
    }
}
