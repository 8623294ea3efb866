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
    // It works the second time.
    desk.script("page.sh", "[ -e tried ] || { touch tried; exit 1; }\necho \"$POINTSMAN_TEXT\" > paged");
    let file = std::fs::read_to_string(desk.path("main.yaml")).unwrap();
    desk.write("main.yaml", &file.replace("version: 1\n", "version: 1\npage: page.sh\n"));
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
    until_there(&desk, "paged");
    let paged = std::fs::read_to_string(desk.path("paged")).unwrap();
    assert!(
        paged.contains("main.config is kept closed") && paged.contains("pointsman release config"),
        "{paged}"
    );

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

/// The host boots, its server is started by the service alone and with the writers shut out: clients that knock all the
/// time get in nowhere before the runner says so. A person who stops the server later means it.
#[test]
fn a_server_that_boots_closed_lets_nobody_write_before_the_runner_says_so() {
    let mut desk = Desk::start();
    let (mut main, _secondary) = pair(&desk);
    let here = address("main", Service::Database, "config");
    let file = std::fs::read_to_string(desk.path("main.yaml")).unwrap();
    let closed = file.replace("writers: [app] }", "writers: [app], boot: { closed: start-closed.sh } }");
    assert_ne!(file, closed);
    desk.write("main.yaml", &closed);
    // The shipped script, told where this server is; what starts it is this test.
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/start-closed.sh");
    desk.script(
        "start-closed.sh",
        &format!(
            "echo $POINTSMAN_WRITERS >> started\nexport PGDATA='{}' PGBIN='{}' START='touch shut'\nexec {shipped}",
            main.data().display(),
            lab::tools::postgres("postgres").unwrap().parent().unwrap().display(),
        ),
    );
    desk.serve("main", std::slice::from_ref(&here));
    main.open();
    assert!(!judged(&desk, &main), "the life in which it is adopted is not judged");

    // The host goes down and comes up again: Pointsman with it, the server not.
    desk.runner_says(Runner::Silent);
    desk.kill9("main");
    main.crash();
    let life = desk.path("state-main/database.config.life");
    let mut noted: Value = serde_json::from_str(&std::fs::read_to_string(&life).unwrap()).unwrap();
    noted["boot"] = "an earlier one".into();
    std::fs::write(&life, noted.to_string()).unwrap();
    let knocks = main.knock("app", "INSERT INTO t (v) VALUES ('leaked')");
    desk.start_again(&here);
    until_there(&desk, "shut");
    assert_eq!(std::fs::read_to_string(desk.path("started")).unwrap(), "app\n");
    main.boot();
    main.until(CLOSED);
    assert!(judged(&desk, &main), "it is kept closed\n{}", desk.logs());
    assert_eq!(main.count("SELECT count(*) FROM t WHERE v = 'leaked'"), 0, "somebody wrote");

    desk.runner_says(Runner::Yes);
    main.until(OPEN);
    main.until("SELECT count(*) > 0 FROM t WHERE v = 'leaked'");
    drop(knocks);

    // Stopped in the same boot: it stays so, and its next start is judged as ever.
    main.crash();
    desk.kill9("main");
    desk.start_again(&here);
    main.boot();
    assert!(!judged(&desk, &main));
    assert_eq!(
        std::fs::read_to_string(desk.path("started")).unwrap(),
        "app\n",
        "it was started a second time"
    );
}

fn until_there(desk: &Desk, name: &str) {
    let end = Instant::now() + WITHIN;
    while !desk.path(name).exists() {
        assert!(Instant::now() < end, "{name}\n{}", desk.logs());
        std::thread::sleep(Duration::from_millis(20));
    }
}
