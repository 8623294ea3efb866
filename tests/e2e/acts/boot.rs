//! A database's server is started anew while the database is open: whose word keeps it so.

use std::rc::Rc;
use std::time::{Duration, Instant};

use schemas::{CloudEvent, Service};
use serde_json::Value;

use super::database::CLOSED;
use super::desk::{Desk, Runner, WITHIN, address};
use super::psql::{Site, pair};

const OPEN: &str =
    "SELECT rolcanlogin AND has_table_privilege('app', 't', 'INSERT') FROM pg_roles WHERE rolname = 'app'";
/// How often the access was changed by Pointsman.
const CHANGES: &str = "SELECT coalesce(sum(changes + 1), 0)::bigint FROM pointsman.access";

/// Waits until the service at main has judged the server's present life; whether it keeps the database closed.
fn judged(desk: &Desk, site: &Site) -> bool {
    let file = desk.path("state-main/database.config.life");
    let life = site.psql("SELECT pg_postmaster_start_time()");
    let end = Instant::now() + WITHIN;
    loop {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let judged: Value = serde_json::from_str(&text).unwrap_or_default();
        if judged["life"] == life.as_str() {
            return judged["kept"].as_bool().unwrap();
        }
        assert!(Instant::now() < end, "{text} is not {life}\n{}", desk.logs());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn stays_open(desk: &Desk, main: &mut Rc<Site>) {
    let before = main.count(CHANGES);
    main.boot();
    assert!(!judged(desk, main), "{}", desk.logs());
    assert!(main.is(OPEN) && main.count(CHANGES) == before, "it was not touched\n{}", desk.logs());
}

#[test]
fn after_a_boot_a_database_stays_open_only_where_its_epoch_is_confirmed() {
    let mut desk = Desk::start();
    let (mut main, secondary) = pair(&desk);
    let (here, there) =
        (address("main", Service::Database, "config"), address("secondary", Service::Database, "config"));
    desk.serve("main", std::slice::from_ref(&here));
    main.open();
    assert!(!judged(&desk, &main), "the life in which it is adopted is not judged");

    // The runner says that this site is live.
    stays_open(&desk, &mut main);

    // Nobody says anything: closed, and everybody told.
    desk.runner_says(Runner::Silent);
    let told = desk.listen("pointsman.event.in.main.database-kept-closed");
    main.boot();
    let event = CloudEvent::read([], &told.body()).unwrap();
    assert_eq!(event.kind, schemas::event::DATABASE_KEPT_CLOSED);
    assert_eq!(event.subject.as_deref(), Some("main.database.config"), "{event:?}");
    assert!(main.is(CLOSED) && judged(&desk, &main));

    // Restarting Pointsman changes nothing.
    desk.kill9("main");
    desk.start_again(&here);
    assert!(main.is(CLOSED) && judged(&desk, &main));

    // The runner is back.
    desk.runner_says(Runner::Yes);
    main.until(OPEN);

    // It says no.
    desk.runner_says(Runner::No);
    main.boot();
    main.until(CLOSED);
    desk.runner_says(Runner::Yes);
    main.until(OPEN);

    // It is silent, and the other site is closed and knows of nothing later.
    desk.runner_says(Runner::Silent);
    secondary.close();
    desk.serve("secondary", std::slice::from_ref(&there));
    stays_open(&desk, &mut main);

    // The other site belongs to a later run.
    desk.claimed_by_another(&there);
    main.boot();
    main.until(CLOSED);
    assert!(judged(&desk, &main));
}

/// Nobody can be reached, and a person knows that this site is the one: the command opens it, and the service that
/// is started afterwards leaves it so.
#[test]
fn release_opens_what_was_kept_closed() {
    let mut desk = Desk::start();
    let (mut main, _secondary) = pair(&desk);
    let here = address("main", Service::Database, "config");
    desk.serve("main", std::slice::from_ref(&here));
    main.open();
    judged(&desk, &main);
    desk.runner_says(Runner::Silent);
    main.boot();
    main.until(CLOSED);
    assert!(judged(&desk, &main));
    desk.kill9("main");
    let words =
        ["release", "config", "--here", "--accept-unfenced", "secondary", "--yes", "--why", "seen on camera"];
    let said = desk.command(&desk.path("main.yaml"), &words);
    assert!(said.contains("APPLIED"), "{said}");
    assert!(main.is(OPEN));
    desk.start_again(&here);
    let end = Instant::now() + WITHIN;
    while judged(&desk, &main) {
        assert!(Instant::now() < end, "{}", desk.logs());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(main.is(OPEN));
}
