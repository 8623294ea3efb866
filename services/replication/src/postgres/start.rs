//! The receiver's start: looks at the source first, makes the subscription where there is none, and sees
//! that rows come.

use std::collections::BTreeSet;
use std::time::Duration;

use postgres::{Claim, Lsn, PgError, Session};
use responder::Pauses;
use schemas::args::ReceiverOutput;
use serde::Deserialize;
use serde_json::{Value, json};

use super::seen::Receiver;
use super::{EVERY, PostgresReplication, is_open, precondition, too_slow};

/// A worker that lives this long without a new error applies.
const STEADY: Duration = Duration::from_millis(250);

/// What the source says about itself, asked with the very connection string that the receiver will use.
#[derive(Debug, Deserialize)]
pub(super) struct Peer {
    site: Option<String>,
    resource: Option<String>,
    pub(super) uuid: Option<String>,
    lsn: Lsn,
    in_recovery: bool,
    publication: bool,
    all_tables: bool,
    unfiltered: u64,
    tables: BTreeSet<String>,
    slot: Option<Slot>,
}

#[derive(Debug, Deserialize)]
struct Slot {
    plugin: Option<String>,
    here: bool,
    wal_status: Option<String>,
    confirmed: Option<Lsn>,
}

const ASK: &str = "
SELECT jsonb_build_object(
  'site', (SELECT site FROM pointsman.identity), 'resource', (SELECT resource FROM pointsman.identity),
  'uuid', (SELECT uuid FROM pointsman.identity),
  'in_recovery', pg_is_in_recovery(),
  'lsn', (CASE WHEN pg_is_in_recovery() THEN '0/0' ELSE pg_current_wal_insert_lsn() END)::text,
  'publication', EXISTS (SELECT FROM pg_publication WHERE pubname = $2),
  'all_tables', EXISTS (SELECT FROM pg_publication WHERE pubname = $2 AND puballtables),
  'unfiltered', (SELECT count(*) FROM pg_publication_tables WHERE pubname = $2 AND rowfilter IS NULL),
  'tables', (SELECT coalesce(jsonb_agg(format('%I.%I', schemaname, tablename)), '[]')
     FROM pg_publication_tables WHERE pubname = $2),
  'slot', (SELECT jsonb_build_object('plugin', plugin, 'here', database = current_database(),
     'wal_status', wal_status, 'confirmed', confirmed_flush_lsn::text)
     FROM pg_replication_slots WHERE slot_name = $1))";

/// Ends when the receiver applies what comes.
pub(super) async fn start(
    driver: &PostgresReplication,
    session: &Session,
    subscription: &str,
    claim: &Claim,
) -> Result<Value, PgError> {
    let seen = Receiver::see(session, subscription).await?;
    let Some(server) = &driver.peer else { return Err(PgError::NotNamed("peer")) };
    let conninfo = server.connection_string()?;
    let peer = look_at_peer(driver, server, &seen, session).await?;
    let [group, epoch, run] = claim.params();
    // A source that was rebuilt counts from another start: what the subscription remembers would skip rows
    // without an error.
    let rebuilt = seen.exists
        && (seen.peer.as_ref().is_some_and(|kept| Some(kept) != peer.uuid.as_ref())
            || seen.position.is_some_and(|at| at > peer.lsn));
    // A table that was published later is not received, silently. A new subscription has it; that is safe
    // while the slot starts at or after what is applied here.
    let have: BTreeSet<String> =
        session.json("SELECT pointsman.receiver_tables($1)", &[&subscription]).await?;
    let missing: Vec<&String> = peer.tables.difference(&have).filter(|_| seen.exists).collect();
    let from = peer.slot.as_ref().and_then(|slot| slot.confirmed);
    let outdated = seen.exists && !missing.is_empty() && seen.still() && from >= seen.position;
    if rebuilt || outdated {
        session
            .run_again("SELECT pointsman.receiver_drop($1, $2, $3, $4)", &[group, epoch, run, &subscription])
            .await?;
    }
    if rebuilt || outdated || !seen.exists {
        session
            .run_again(
                "SELECT pointsman.receiver_create($1, $2, $3, $4, $5)",
                &[group, epoch, run, &subscription, &conninfo],
            )
            .await?;
    }
    session
        .run_again(
            "SELECT pointsman.receiver_enable($1, $2, $3, $4, $5, $6)",
            &[group, epoch, run, &subscription, &conninfo, &peer.uuid],
        )
        .await?;
    let mut output = applies(driver, session, subscription).await?;
    if !missing.is_empty() && !outdated && !rebuilt {
        output["missing"] = json!(missing);
    }
    Ok(output)
}

pub(super) async fn look_at_peer(
    driver: &PostgresReplication,
    server: &postgres::Server,
    seen: &Receiver,
    session: &Session,
) -> Result<Peer, PgError> {
    let within = driver.look_within().min(session.left());
    let there = server.look(within).await?;
    let peer: Peer = there.json(ASK, &[&seen.wanted_slot, &seen.publication]).await?;
    let at = there.server();
    let (slot, publication) = (&seen.wanted_slot, &seen.publication);
    let wrong = |why: String| Err(PgError::WrongServer { server: at.into(), why });
    if peer.resource.as_deref() != Some(driver.settings.database.as_str()) {
        return wrong(format!("its database is `{}`", peer.resource.as_deref().unwrap_or_default()));
    }
    if peer.site.as_deref() == Some(&driver.site) || peer.uuid.as_ref() == Some(&seen.uuid) {
        return wrong(format!("it is the database of {} itself", driver.site));
    }
    if peer.in_recovery {
        return Err(precondition(format!("{at} is a physical standby and sends nothing")));
    }
    if !peer.publication {
        return Err(precondition(format!("{at} has no publication {publication}")));
    }
    if peer.all_tables {
        return Err(precondition(format!(
            "publication {publication} is FOR ALL TABLES: it has Pointsman's own"
        )));
    }
    let Some(found) = &peer.slot else {
        return Err(precondition(format!("{at} has no slot {slot}: capture first")));
    };
    if found.plugin.as_deref() != Some("pgoutput") || !found.here {
        return Err(precondition(format!("slot {slot} of {at} is of another plugin or database")));
    }
    if found.wal_status.as_deref().is_none_or(|status| status == "lost") {
        return Err(precondition(format!("slot {slot} of {at} is lost: only a copy helps")));
    }
    if found.confirmed.is_some_and(|confirmed| confirmed > peer.lsn) {
        return Err(precondition(format!("slot {slot} of {at} is beyond its log: that server was rebuilt")));
    }
    // Rows of the other site must not flow into a database that takes writes of its own, unless each site
    // sends only its own rows.
    if peer.unfiltered > 0 && !seen.applies() && is_open(session).await? {
        return Err(precondition("this database is open: close it before it receives"));
    }
    Ok(peer)
}

async fn applies(
    driver: &PostgresReplication,
    session: &Session,
    subscription: &str,
) -> Result<Value, PgError> {
    let mut steady: Option<(std::time::Instant, Option<i32>, i64)> = None;
    let mut pauses = Pauses::up_to(EVERY);
    loop {
        let seen = Receiver::see(session, subscription).await?;
        let errors = seen.errors();
        steady = match steady {
            _ if !seen.applies() => None,
            Some((since, pid, at)) if pid == seen.pid && at == errors => Some((since, pid, at)),
            _ => Some((std::time::Instant::now(), seen.pid, errors)),
        };
        if steady.is_some_and(|(since, _, _)| since.elapsed() >= STEADY) {
            let applied = seen.position.map(|lsn| lsn.to_string());
            return Ok(json!(ReceiverOutput { applied, ..ReceiverOutput::default() }));
        }
        if !seen.enabled {
            return Err(precondition(format!("subscription {subscription} was stopped again meanwhile")));
        }
        if session.left() < EVERY * 4 {
            let trouble = driver.why.trouble(session, subscription, &seen).await;
            let trouble = trouble.unwrap_or_else(|| "its worker has not heard from the source".into());
            return Err(too_slow(format!("it is enabled and does not apply: {trouble}")));
        }
        pauses.wait().await;
    }
}
