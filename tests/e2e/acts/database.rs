//! `database.*` on PostgreSQL.

use std::rc::Rc;

use schemas::{Action, Service};

use super::case::{Case, Settles};
use super::desk::{Desk, address};
use super::psql::{Site, pair};

/// The lock that every change of a claimed database takes first.
pub(crate) const EPOCH_LOCK: &str = "SELECT pg_advisory_xact_lock(5784269, 1)";

/// The changes of access that were committed: those of Pointsman's own functions.
const CHANGES: &str = "SELECT coalesce(sum(changes + 1), 0)::bigint FROM pointsman.access";

fn access(site: &Rc<Site>, action: Action) -> Case {
    let (counted, held, waiting) = (site.clone(), site.clone(), site.clone());
    let (noting, waits) = (site.clone(), site.clone());
    Case::new(address(site.name, Service::Database, "config"), action)
        .effects(move || counted.count(CHANGES))
        .hold(
            "nothing is written yet",
            Settles::NotDone,
            move || held.transaction("config", EPOCH_LOCK),
            move || waiting.waits("database.config", "advisory"),
        )
        .hold(
            "all is written and nothing committed",
            Settles::NotDone,
            move || noting.transaction("config", "LOCK TABLE pointsman.access IN SHARE ROW EXCLUSIVE MODE"),
            move || waits.waits("database.config", "relation"),
        )
}

#[test]
fn access_to_postgres() {
    let mut desk = Desk::start();
    let (main, _) = pair(&desk);
    desk.serve("main", &[address("main", Service::Database, "config")]);
    // The note of the access has a row before anything is counted.
    let site = main.clone();
    access(&main, Action::EnableAccess).before(move || site.close()).run(&mut desk);
    let site = main.clone();
    access(&main, Action::DisableAccess).before(move || site.open()).run(&mut desk);

    // Half closed: the roles are shut out, and a session of theirs cannot be ended. The close of the killed
    // service stays, and the one that follows it is a second one of the same state.
    let (site, counted, writer, seen) = (main.clone(), main.clone(), main.clone(), main.clone());
    Case::new(address("main", Service::Database, "config"), Action::DisableAccess)
        .before(move || site.open())
        .effects(move || u64::from(counted.is(CLOSED)))
        .hold(
            "the roles are shut out and a session is left",
            Settles::HalfDone,
            move || writer.frozen_writer(),
            move || seen.is("NOT (SELECT rolcanlogin FROM pg_roles WHERE rolname = 'app')"),
        )
        .run(&mut desk);
}

/// As an outsider sees it.
pub(crate) const CLOSED: &str =
    "SELECT NOT rolcanlogin AND NOT has_table_privilege('app', 't', 'INSERT,UPDATE,DELETE')
    AND NOT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'app') FROM pg_roles WHERE rolname = 'app'";
