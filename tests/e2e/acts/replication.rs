//! `replication.*` on PostgreSQL.

use std::rc::Rc;

use schemas::{Action, Address, Service};
use serde_json::{Value, json};

use super::case::{Case, Settles};
use super::database::EPOCH_LOCK;
use super::desk::{Desk, address};
use super::psql::{Frozen, Site, pair};

const RESOURCE: &str = "replication.csp";

fn at(site: &Site) -> Address {
    address(site.name, Service::Replication, "csp")
}

/// An act that has a lock of its own to wait for, of which none is written yet.
fn at_the_lock(case: Case, site: &Rc<Site>, lock: &'static str, event: &'static str) -> Case {
    let (held, waiting) = (site.clone(), site.clone());
    case.hold(
        lock,
        Settles::NotDone,
        move || held.transaction("config", lock),
        move || waiting.waits(RESOURCE, event),
    )
}

fn make_slot(site: &Site) {
    site.psql(
        "SELECT pg_create_logical_replication_slot('csp', 'pgoutput')
          WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = 'csp')",
    );
}

fn drop_slot(site: &Site) {
    site.until(
        "SELECT coalesce(bool_and(NOT active), true) FROM pg_replication_slots WHERE slot_name = 'csp'",
    );
    site.psql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = 'csp'");
}

/// Slots that were made: the server's log says each.
fn slots_made(site: &Site) -> u64 {
    site.output().lines().filter(|line| line.contains("logical decoding found consistent point")).count()
        as u64
}

fn subscribe(site: &Site, source: &Site) {
    if site.is("SELECT count(*) = 0 FROM pg_subscription") {
        site.psql(&format!(
            "CREATE SUBSCRIPTION csp CONNECTION '{}' PUBLICATION pub_config
               WITH (create_slot = false, slot_name = 'csp', copy_data = false)",
            source.dsn("replicator")
        ));
    }
    site.psql("ALTER SUBSCRIPTION csp ENABLE; UPDATE pointsman.receiver SET stopped = NULL, gap = NULL");
    site.until("SELECT count(*) = 1 FROM pg_stat_subscription WHERE pid IS NOT NULL");
}

fn unsubscribe(site: &Site) {
    if !site.is("SELECT count(*) = 0 FROM pg_subscription") {
        site.psql("ALTER SUBSCRIPTION csp DISABLE");
        site.until("SELECT count(*) = 0 FROM pg_stat_subscription WHERE pid IS NOT NULL");
    }
}

fn mark(source: &Site) -> Value {
    serde_json::from_str(&source.psql("SELECT pointsman.mark(NULL, NULL, NULL)")).unwrap()
}

fn frozen_worker(site: &Site) -> Frozen {
    let pid = site.count("SELECT pid FROM pg_stat_subscription WHERE pid IS NOT NULL");
    Frozen::new(u32::try_from(pid).unwrap(), None)
}

#[test]
fn replication_of_postgres_at_its_source() {
    let mut desk = Desk::start();
    let (main, _) = pair(&desk);
    desk.serve("main", &[at(&main)]);

    // Each mark that was committed has counted the claim's row up.
    let counted = main.clone();
    let case = Case::new(at(&main), Action::Mark)
        .effects(move || counted.count("SELECT sum(changes) FROM pointsman.epoch"))
        .anew();
    at_the_lock(case, &main, "SELECT pg_advisory_xact_lock(5784269, 2)", "advisory").run(&mut desk);

    let (site, counted, older, waiting) = (main.clone(), main.clone(), main.clone(), main.clone());
    Case::new(at(&main), Action::Capture)
        .before(move || drop_slot(&site))
        .effects(move || {
            let there = counted.count("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'csp'");
            assert!(there <= 1);
            slots_made(&counted)
        })
        .hold(
            "an older transaction is open",
            Settles::NotDone,
            move || older.transaction("log", "CREATE TABLE held (id int)"),
            move || waiting.waits(RESOURCE, "transactionid"),
        )
        .run(&mut desk);

    let (site, counted) = (main.clone(), main.clone());
    let case = Case::new(at(&main), Action::Discard).before(move || make_slot(&site)).effects(move || {
        counted.count("SELECT 1 - count(*) FROM pg_replication_slots WHERE slot_name = 'csp'")
    });
    at_the_lock(case, &main, EPOCH_LOCK, "advisory").run(&mut desk);
}

#[test]
fn replication_of_postgres_at_its_receiver() {
    let mut desk = Desk::start();
    let (main, secondary) = pair(&desk);
    secondary.close();
    make_slot(&main);
    desk.serve("secondary", &[at(&secondary)]);

    let (site, counted, held, waiting) =
        (secondary.clone(), secondary.clone(), secondary.clone(), secondary.clone());
    let enabled = "SELECT count(*) FROM pg_subscription WHERE subenabled";
    Case::new(at(&secondary), Action::StartReplication)
        .before(move || unsubscribe(&site))
        .effects(move || counted.count(enabled))
        .hold(
            "it is noted, and nothing committed",
            Settles::NotDone,
            move || held.transaction("config", "LOCK TABLE pointsman.receiver IN SHARE ROW EXCLUSIVE MODE"),
            move || waiting.waits(RESOURCE, "relation"),
        )
        .run(&mut desk);

    let (site, source) = (secondary.clone(), main.clone());
    let (there, source_too, counted) = (secondary.clone(), main.clone(), secondary.clone());
    let (held, waiting) = (secondary.clone(), secondary.clone());
    // A mark that is there cannot be undone, but that its row is taken away.
    Case::new(at(&secondary), Action::Drain)
        .before(move || {
            subscribe(&site, &source);
            site.psql("DELETE FROM pointsman.sentinel WHERE site = 'main'");
        })
        .args(move || {
            there.until("SELECT count(*) = 1 FROM pg_stat_subscription WHERE pid IS NOT NULL");
            json!({ "mark": mark(&source_too) })
        })
        .effects(move || {
            u64::from(counted.is("SELECT count(*) > 0 FROM pointsman.sentinel WHERE site = 'main'"))
        })
        .hold(
            "its mark cannot be applied yet",
            Settles::HalfDone,
            move || held.transaction("config", "LOCK TABLE pointsman.sentinel IN SHARE MODE"),
            move || {
                waiting.acts(RESOURCE)
                    && waiting.is("SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock'
                      AND backend_type = 'logical replication worker'")
            },
        )
        .run(&mut desk);

    let stopped =
        "SELECT count(*) FROM pointsman.receiver r JOIN pg_subscription s ON s.subname = r.subscription
        WHERE r.stopped = 'stopped' AND NOT s.subenabled
          AND NOT EXISTS (SELECT FROM pg_stat_subscription WHERE pid IS NOT NULL)";
    let (site, source, counted) = (secondary.clone(), main.clone(), secondary.clone());
    let (worker, seen) = (secondary.clone(), secondary.clone());
    Case::new(at(&secondary), Action::StopReplication)
        .before(move || subscribe(&site, &source))
        .effects(move || counted.count(stopped))
        .hold(
            "it is disabled and its worker is left",
            Settles::NotDone,
            move || frozen_worker(&worker),
            move || seen.is("SELECT count(*) = 1 FROM pg_subscription WHERE NOT subenabled"),
        )
        .run(&mut desk);

    let (site, counted) = (secondary.clone(), secondary.clone());
    let sequences = json!({ "public.loose": 700, "public.t_id_seq": 900 });
    let given = json!({ "mark": { "sentinel": 1, "lsn": "0/0", "sequences": sequences } });
    let case = Case::new(at(&secondary), Action::SetSequences)
        .args(move || given.clone())
        .before(move || {
            unsubscribe(&site);
            site.psql("SELECT setval('loose', 1), setval('t_id_seq', 1)");
        })
        .effects(move || counted.count(&at_values(700, 900)));
    at_the_lock(case, &secondary, EPOCH_LOCK, "advisory").run(&mut desk);

    // The source has said how far its sequences are; a gap is added once, not once a try.
    let (site, source, counted) = (secondary.clone(), main.clone(), secondary.clone());
    let (worker, seen) = (secondary.clone(), secondary.clone());
    Case::new(at(&secondary), Action::Abandon)
        .args(|| json!({ "gap": 1000 }))
        .before(move || {
            source.psql("SELECT setval('loose', 500), setval('t_id_seq', 600)");
            subscribe(&site, &source);
            let mark = mark(&source);
            site.until(&format!(
                "SELECT count(*) = 1 FROM pointsman.sentinel WHERE mark = {}",
                mark["sentinel"]
            ));
            site.psql("SELECT setval('loose', 1), setval('t_id_seq', 1)");
        })
        .effects(move || counted.count(&at_values(1500, 1600)))
        .hold(
            "it is disabled and its worker is left",
            Settles::NotDone,
            move || frozen_worker(&worker),
            move || seen.is("SELECT count(*) = 1 FROM pg_subscription WHERE NOT subenabled"),
        )
        .run(&mut desk);
}

/// 1 where both sequences are there, 0 where they are where they began.
fn at_values(loose: u64, t: u64) -> String {
    format!(
        "SELECT CASE WHEN (l, t) = ({loose}, {t}) THEN 1 WHEN (l, t) = (1, 1) THEN 0 ELSE l + t END
           FROM (SELECT (SELECT last_value FROM loose) AS l, (SELECT last_value FROM t_id_seq) AS t) s"
    )
}
