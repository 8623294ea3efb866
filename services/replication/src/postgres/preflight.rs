//! What would stand in the way of a replication, looked at by day.

use std::time::Duration;

use postgres::{PgError, Session, setup};
use responder::expiry::{self, Credential, Ending};
use schemas::CheckLine;

use super::schema::{self, Sent, Tables};
use super::{Half, PostgresReplication, is_open, seen};

/// The source may be what is lost: it is given less than the whole check has, so that its silence is told as such.
const PEER_WITHIN: Duration = Duration::from_secs(1);

/// The tables that a subscription receives.
const RECEIVED: &str = "
SELECT coalesce(jsonb_agg(format('%I.%I', n.nspname, c.relname)), '[]')
FROM pg_subscription_rel r JOIN pg_class c ON c.oid = r.srrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.srsubid = pointsman.subscription((pointsman.named($1)).subscription)";

/// Ordinary tables that survive a restart, outside the server's and Pointsman's own schemas, in no publication.
const UNPUBLISHED: &str = "
SELECT coalesce(jsonb_agg(t.name ORDER BY t.name), '[]') FROM (
  SELECT n.nspname || '.' || c.relname AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'r' AND c.relpersistence = 'p'
     AND n.nspname NOT IN ('information_schema', 'pointsman', 'pointsman_kept') AND n.nspname !~ '^pg_'
     AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prrelid = c.oid)
     AND NOT EXISTS (SELECT FROM pg_publication_namespace s WHERE s.pnnspid = n.oid)
     AND NOT EXISTS (SELECT FROM pg_publication p WHERE p.puballtables)
     AND NOT EXISTS (SELECT FROM pg_inherits i JOIN pg_publication_rel r ON r.prrelid = i.inhparent
                      WHERE i.inhrelid = c.oid)) t";

/// So many of them are named.
const UNPUBLISHED_SHOWN: usize = 5;

const PUBLICATION: &str = "
SELECT coalesce((SELECT to_jsonb(publication) FROM pointsman.receiver WHERE subscription = $1), '\"\"')";

pub(super) async fn lines(driver: &PostgresReplication) -> Vec<CheckLine> {
    let session = match driver.server.look(driver.look_within()).await {
        Ok(session) => session,
        Err(error) => {
            let remedy = format!("pointsman explain {}", error.code());
            return vec![CheckLine::red("reachable", error.to_string(), remedy)];
        }
    };
    let set_up = setup::line(&session).await;
    let mut endings = Vec::new();
    let looked = match &driver.settings.half {
        Half::Source { slot, publication, local_tables } => {
            source(&session, slot, publication, local_tables).await
        }
        Half::Receiver { subscription, publication, .. } => {
            receiver(driver, &session, subscription, publication.as_deref(), &mut endings).await
        }
    };
    let mut lines = looked.unwrap_or_else(|error| {
        let remedy = "install what is missing, as superuser: pointsman setup postgres --print | psql …";
        vec![CheckLine::red("setup", error.to_string(), remedy)]
    });
    lines.insert(0, set_up);
    if matches!(driver.settings.half, Half::Source { .. }) && driver.peer.is_none() {
        lines.push(CheckLine::amber(
            "peer",
            "after a failover it cannot ask what the other site received, nor tell what only this one has",
            "name `peer: file:PATH` in its host's file: the connection string to the other site",
        ));
    }
    // Its own are looked at beside the database.
    if let Some((own, trusted)) = driver.peer.as_ref().and_then(|peer| peer.certificates().ok()) {
        endings.extend(expiry::endings(Credential::pair(own, trusted)).await);
        lines.push(expiry::line("credentials", endings, "what `peer:` logs in with is valid"));
    }
    lines
}

async fn source(
    session: &Session,
    slot: &str,
    publication: &str,
    local: &[String],
) -> Result<Vec<CheckLine>, PgError> {
    let mut lines = Vec::new();
    let keep: String =
        session.json("SELECT to_jsonb(current_setting('max_slot_wal_keep_size'))", &[]).await?;
    lines.push(match keep.as_str() {
        "-1" => CheckLine::red(
            "wal-keep",
            "max_slot_wal_keep_size is not set: a slot that nobody reads fills the disk of the live database",
            "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf();",
        ),
        keep => CheckLine::green("wal-keep", format!("a slot keeps at most {keep}")),
    });
    let seen = seen::Source::see(session, slot, publication).await?;
    let problems = seen.publication_problems(publication);
    lines.push(match problems.is_empty() {
        true => CheckLine::green("publication", format!("{publication} is as it should be")),
        false => CheckLine::red(
            "publication",
            problems.join("; "),
            format!("CREATE or ALTER PUBLICATION {publication}, then pointsman setup postgres --print"),
        ),
    });
    if problems.is_empty() {
        lines.push(unpublished(session, local).await?);
    }
    match seen.wal_status.as_deref() {
        Some("lost") => lines.push(CheckLine::red(
            "slot",
            format!("slot {slot} is lost: it kept more than max_slot_wal_keep_size"),
            "the other site needs a copy",
        )),
        Some("unreserved") => lines.push(CheckLine::amber(
            "slot",
            format!("slot {slot} is about to be lost: it keeps more than max_slot_wal_keep_size"),
            "start its receiver, or raise max_slot_wal_keep_size at once",
        )),
        _ if seen.ahead => lines.push(CheckLine::red(
            "slot",
            format!("slot {slot} is beyond the log's end: the server was rebuilt under it"),
            "the other site needs a copy",
        )),
        _ => {}
    }
    Ok(lines)
}

/// What an application keeps in tables that nobody sends is lost by a move.
async fn unpublished(session: &Session, local: &[String]) -> Result<CheckLine, PgError> {
    let all: Vec<String> = session.json(UNPUBLISHED, &[]).await?;
    let mut left: Vec<&str> =
        all.iter().map(String::as_str).filter(|t| !local.iter().any(|l| l == t)).collect();
    Ok(match left.len() {
        0 => CheckLine::green("unpublished", "every table is in a publication"),
        count => {
            left.truncate(UNPUBLISHED_SHOWN);
            let more = count.saturating_sub(left.len());
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            CheckLine::amber(
                "unpublished",
                format!(
                    "no publication sends {}{more}: what is written there stays behind at a move",
                    left.join(", ")
                ),
                "publish them, or name them in `local_tables` of the host's file where that is meant",
            )
        }
    })
}

async fn receiver(
    driver: &PostgresReplication,
    session: &Session,
    subscription: &str,
    publication: Option<&str>,
    endings: &mut Vec<Ending>,
) -> Result<Vec<CheckLine>, PgError> {
    let publication = match publication {
        Some(publication) => publication.to_owned(),
        None => session.json(PUBLICATION, &[&subscription]).await?,
    };
    let Some(peer) = &driver.peer else { return Ok(Vec::new()) };
    // That the source is silent stands against nothing: that is what a failover is for.
    let silent = |error: &PgError| {
        let remedy = "no matter while that site is lost; else look at `peer:` and pg_hba.conf there";
        vec![CheckLine::amber("peer", format!("the source cannot be asked: {error}"), remedy)]
    };
    let theirs = match peer.look(PEER_WITHIN.min(driver.look_within())).await {
        Ok(theirs) => theirs,
        Err(error) => return Ok(silent(&error)),
    };
    let (sent, at_source) = match ask_source(&theirs, &publication).await {
        Ok(found) => found,
        Err(error) => return Ok(silent(&error)),
    };
    if let Ok(passwords) = postgres::passwords(&theirs, &[]).await {
        endings.extend(passwords.into_iter().map(|(role, days)| Ending::password(&role, days)));
    }
    let names: Vec<String> = sent.tables.keys().cloned().collect();
    let here: Tables = session.json(schema::TABLES, &[&names]).await?;
    let received: Vec<String> = session.json(RECEIVED, &[&subscription]).await?;
    let own = seen::Receiver::see(session, subscription).await?;
    let lost: Vec<&str> = names.iter().filter(|name| !received.contains(name)).map(String::as_str).collect();
    let mut lines = vec![
        CheckLine::green("peer", "the source can be asked"),
        // A stopped one is made anew with its slot, and then with every table.
        match own.enabled && !lost.is_empty() {
            false => CheckLine::green("tables", "every table that is sent is received"),
            true => CheckLine::red(
                "tables",
                format!(
                    "sent and not received, so what is written to them is lost by a move: {}",
                    lost.join(", ")
                ),
                format!(
                    "as superuser: ALTER SUBSCRIPTION {subscription} REFRESH PUBLICATION; then see it copied"
                ),
            ),
        },
    ];
    if names.is_empty() {
        lines.push(CheckLine::amber(
            schema::LINE,
            format!("publication {publication} sends nothing yet"),
            format!("at the source: ALTER PUBLICATION {publication} ADD TABLE …"),
        ));
        return Ok(lines);
    }
    let receives = own.enabled || !is_open(session).await?;
    let different = schema::compare(&sent, &at_source, &here, &driver.site, receives);
    match different.is_empty() {
        true => {
            lines.push(CheckLine::green(schema::LINE, format!("{} tables as at the source", names.len())))
        }
        false => lines.extend(different),
    }
    Ok(lines)
}

/// What a publication sends, and how its tables are at the source.
async fn ask_source(theirs: &Session, publication: &str) -> Result<(Sent, Tables), PgError> {
    let sent: Sent = theirs.json(schema::SENT, &[&publication]).await?;
    let names: Vec<String> = sent.tables.keys().cloned().collect();
    let tables = theirs.json(schema::TABLES, &[&names]).await?;
    Ok((sent, tables))
}
