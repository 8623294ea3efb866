//! The definitions that are shipped: valid for the language, loaded, and run on nights of each kind.

use std::path::PathBuf;

use engine::{Definition, Error, OnFault, Outcome, Purpose, Resolution, Standard, Want};
use serde_json::{Value, json};

use crate::support::Run;

fn shipped(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../definitions");
    std::fs::read_to_string(folder.join(format!("{name}.yaml"))).unwrap()
}

fn group() -> Value {
    json!({
        "group": "cfg", "order": 10, "sites": ["main", "secondary"],
        "databases": {
            "config": { "kind": "one-live", "replication": { "main->secondary": "csp", "secondary->main": "css" } },
            "log": { "kind": "both-live", "replication": { "main->secondary": "msp", "secondary->main": "mss" } },
        },
        "everywhere": [{ "process": "proxy" }],
        "live_only": ["scs-msg", "cs-primary", "master-scs"],
        "names": { "max_ttl": "PT1M", "records": { "cs": { "name": "cfg-a.example.net", "at": "witness" } } },
        "clients": {
            "hosts": [{ "host": "s1app", "site": "main" }, { "host": "s2app", "site": "secondary" }],
            "caches": [{ "host": "s2dns", "site": "secondary" }], "within": "PT3M", "stale": "restart", "done_when": 90,
        },
        "fence": { "within": "PT15S" }, "drain": { "within": "PT5M" },
        "reverse": { "cannot_start": { "switchover": "back-out", "failover": "continue" } },
    })
}

fn night(name: &str) -> Run {
    from_to(name, "main", "secondary")
}

fn from_to(name: &str, from: &str, to: &str) -> Run {
    of_group(group(), name, from, to)
}

fn of_group(group: Value, name: &str, from: &str, to: &str) -> Run {
    let input =
        json!({ "group": group, "from": from, "to": to, "why": "a test", "events": [], "by": "catch-up" });
    Run::of(&shipped(name), input)
}

/// A call in short: `service.action resource@site`; of a program also where it is to work.
fn short(call: &engine::Call) -> String {
    let text = |key: &str| call.args[key].as_str().unwrap_or("-").to_owned();
    let what = format!("{}.{} {}@{}", call.service, call.action, text("resource"), text("site"));
    if what.starts_with("process.point ") { format!("{what} to {}", text("to")) } else { what }
}

/// Answers each call until nothing is asked any more; says what was asked, in the order of asking.
fn play(run: &mut Run, answer: impl Fn(&str) -> Result<Value, Error>) -> Vec<String> {
    let mut asked = Vec::new();
    for _ in 0..200 {
        let Some((position, call)) = run.calls().into_iter().next() else { break };
        let what = short(&call);
        let result = answer(&what);
        asked.push(what);
        match result {
            Ok(output) => run.ok(&position, output),
            Err(error) => run.err(&position, error),
        }
        run.check_replay();
    }
    asked
}

fn well(what: &str) -> Result<Value, Error> {
    Ok(match what.starts_with("group.await-closed") {
        true => json!({ "by": "proof" }),
        false => json!({ "state": "applied" }),
    })
}

fn alike(what: &str) -> Result<Value, Error> {
    if what.starts_with("replication.compare") { Ok(json!({ "equal": true })) } else { well(what) }
}

fn silent() -> Error {
    Error::standard(Standard::Communication, "silent")
}

#[test]
fn they_are_valid_for_the_language() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder =
        std::env::var_os("POINTSMAN_OWS").map_or_else(|| root.join("../shared/ows"), |p| root.join(p));
    let Ok(text) = std::fs::read_to_string(folder.join("workflow.schema.yaml")) else {
        println!("NOT RUN: there is no schema of the language at {} (POINTSMAN_OWS)", folder.display());
        return;
    };
    let schema = document::Document::parse(&text, "workflow.schema.yaml").unwrap();
    let validator = jsonschema::validator_for(schema.value()).unwrap();
    assert!(!validator.is_valid(&json!({ "document": {} })));
    for name in ["cleanup", "establish", "failback", "failover", "reprotect", "switchover"] {
        let document = document::Document::parse(&shipped(name), name).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(document.value()).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

#[test]
fn they_load_with_the_default_catalog_and_say_what_they_are() {
    for (name, on_fault, purpose) in [
        ("cleanup", OnFault::Fault, Purpose::Tidy),
        ("establish", OnFault::Hold, Purpose::Establish),
        ("failback", OnFault::BackOut, Purpose::Return),
        ("failover", OnFault::Hold, Purpose::Move),
        ("reprotect", OnFault::Hold, Purpose::Protect),
        ("switchover", OnFault::BackOut, Purpose::Move),
    ] {
        let text = shipped(name);
        let definition = Definition::load(&text, name, &engine::catalog::default())
            .unwrap_or_else(|problems| panic!("{}", problems.render(&text)));
        assert!(definition.info().moves_group);
        assert_eq!((definition.info().name.as_str(), definition.info().on_fault), (name, on_fault));
        let calls: Vec<_> = definition.steps().into_iter().filter(|s| s.kind == "call").collect();
        assert!(
            calls.iter().all(|s| s.phase.is_some() && s.manual.is_some()),
            "each call can be done by hand"
        );
        let opens: Vec<_> = calls.iter().filter(|s| s.effect == Some(schemas::Effect::Opens)).collect();
        assert_eq!(definition.info().purpose, purpose);
        assert_eq!(opens.len(), usize::from(!matches!(purpose, Purpose::Protect | Purpose::Tidy)));
    }
    let failover = Definition::load(&shipped("failover"), "failover", &engine::catalog::default()).unwrap();
    let lost = json!({ "type": schemas::event::SITE_LOST, "data": {} });
    assert!(failover.schedule().unwrap().matches(&lost));
    assert!(!failover.schedule().unwrap().matches(&json!({ "type": schemas::event::SITE_ALIVE })));
}

#[test]
fn a_failover_whose_source_answers_loses_nothing() {
    let mut run = night("failover");
    let fence: Vec<String> = run.calls().iter().map(|(_, c)| short(c)).collect();
    assert_eq!(
        fence,
        [
            "database.disable-access config@main",
            "process.stop master-scs@main",
            "process.stop cs-primary@main",
            "process.stop scs-msg@main",
        ]
    );
    assert!(run.calls().iter().all(|(_, c)| c.timeout == Some(std::time::Duration::from_secs(15))));
    let asked = play(&mut run, well);
    // Beside the starts, and looked at below.
    let rest: Vec<&String> = asked[4..].iter().filter(|what| !is_stop_at_main(what)).collect();
    assert_eq!(
        rest,
        [
            "group.await-closed -@main",
            "replication.mark csp@main",
            "replication.drain csp@secondary",
            "replication.stop csp@secondary",
            "replication.set-sequences csp@secondary",
            "replication.capture css@secondary",
            "database.enable-access config@secondary",
            "process.start scs-msg@secondary",
            "process.start cs-primary@secondary",
            "process.start master-scs@secondary",
            "dns.point cs@witness",
            "dns.follow s2dns@secondary",
            "dns.follow s1app@main",
            "dns.follow s2app@secondary",
            "process.refresh proxy@secondary", // Not at the site that is left.
            "group.await-followed -@secondary",
        ]
    );
    assert_eq!(stopped_before_the_names(&asked), STOPS);
    assert!(matches!(run.machine.outcome(), Some(Outcome::Completed { .. })));
}

/// In order: one may have started another.
const STOPS: [&str; 3] =
    ["process.stop master-scs@main", "process.stop cs-primary@main", "process.stop scs-msg@main"];

fn is_stop_at_main(what: &str) -> bool {
    what.starts_with("process.stop ") && what.ends_with("@main")
}

/// What was stopped again at main: after the opening, and before any name moved.
fn stopped_before_the_names(asked: &[String]) -> Vec<&str> {
    let at = |part: &str| asked.iter().position(|what| what.starts_with(part)).unwrap();
    let (open, point) = (at("database.enable-access"), at("dns.point"));
    let again = |at: usize| at > 4 && is_stop_at_main(&asked[at]);
    let found: Vec<usize> = (0..asked.len()).filter(|at| again(*at)).collect();
    assert!(found.iter().all(|at| (open..point).contains(at)), "{asked:#?}");
    found.into_iter().map(|at| asked[at].as_str()).collect()
}

/// A group with programs that work on their own site's database, and some that work on that of one site.
fn with_database(database: &str) -> Value {
    let mut group = group();
    group["everywhere"] = json!([
        { "process": "proxy" }, { "process": "own-msg", "database": "log@own" },
        { "process": "log-msg", "database": database },
    ]);
    group
}

#[test]
fn a_program_with_the_database_of_one_site_works_where_that_is_to_be_had() {
    for (name, from, to, database, at) in [
        ("failover", "main", "secondary", "log@main", "secondary"),
        ("failover", "main", "secondary", "log@secondary", "secondary"),
        ("failover", "secondary", "main", "log@main", "main"),
        // A planned move leaves it open.
        ("switchover", "main", "secondary", "log@main", "main"),
        ("failback", "secondary", "main", "log@main", "main"),
        ("establish", "secondary", "main", "log@secondary", "secondary"),
        // Or closed.
        ("switchover", "main", "secondary", "config@main", "secondary"),
    ] {
        let what = format!("{name} from {from} to {to}, {database}");
        let mut run = of_group(with_database(database), name, from, to);
        let asked = play(&mut run, alike);
        let of = |part: &str| -> Vec<String> {
            asked.iter().filter(|what| what.starts_with(part)).cloned().collect()
        };
        let wanted = ["main", "secondary"].map(|site| format!("process.point log-msg@{site} to {at}"));
        assert_eq!(of("process.point"), wanted, "{what}");
        let place = |part: &str| asked.iter().position(|what| what.starts_with(part)).unwrap();
        assert!(place("process.point") > place("dns.point"), "{what}: {asked:#?}");
        // Once, and when it has a database.
        let refreshed = format!("process.refresh log-msg@{to}");
        assert_eq!(of(&refreshed).len(), 1, "{what}: {asked:#?}");
        let pointed = format!("process.point log-msg@{to}");
        assert!(place(&refreshed) > place(&pointed), "{what}: {asked:#?}");
        assert_eq!(of(&format!("process.refresh own-msg@{to}")).len(), 1, "{what}: {asked:#?}");
        assert!(
            matches!(run.machine.outcome(), Some(Outcome::Completed { .. })),
            "{what}: {:?}",
            run.wants()
        );
    }
}

#[test]
fn a_program_that_cannot_be_made_to_work_elsewhere_holds_nobody_up() {
    let mut run = of_group(with_database("log@main"), "failover", "main", "secondary");
    let asked =
        play(&mut run, |what| if what.starts_with("process.point") { Err(silent()) } else { well(what) });
    assert_eq!(asked.iter().filter(|what| what.starts_with("process.point")).count(), 2, "{asked:#?}");
    assert!(asked.contains(&"group.await-followed -@secondary".to_owned()), "{asked:#?}");
    assert!(matches!(run.machine.outcome(), Some(Outcome::Completed { .. })), "{:?}", run.wants());

    // It is asked beside the users: nobody waits for a program before he is told of the new address.
    let mut run = of_group(with_database("log@main"), "failover", "main", "secondary");
    let names = |what: &str| what.starts_with("dns.point");
    loop {
        let calls = run.calls();
        let (position, call) = calls.first().cloned().unwrap();
        run.ok(&position, json!({ "state": "applied" }));
        if names(&short(&call)) {
            break;
        }
    }
    let beside: Vec<String> = run.calls().iter().map(|(_, call)| short(call)).collect();
    for what in ["dns.follow s2dns@secondary", "process.point log-msg@secondary to secondary"] {
        assert!(beside.contains(&what.to_owned()), "{beside:#?}");
    }
}

#[test]
fn masters_without_their_database_are_stopped_before_the_names_move() {
    let database = |what: &str| {
        let of = what.starts_with("database.") || what.starts_with("replication.");
        of && what.ends_with("@main")
    };
    let mut run = night("failover");
    let asked = play(&mut run, |what| if database(what) { Err(silent()) } else { well(what) });
    assert!(asked.contains(&"replication.abandon csp@secondary".to_owned()), "{asked:#?}");
    assert_eq!(stopped_before_the_names(&asked), STOPS);
    assert!(matches!(run.machine.outcome(), Some(Outcome::Completed { .. })), "{:?}", run.wants());

    // Who did not answer the first time is not asked again.
    let mut run = night("failover");
    let asked = play(&mut run, |what| match what {
        "process.stop cs-primary@main" => Err(silent()),
        what if database(what) => Err(silent()),
        what => well(what),
    });
    assert_eq!(stopped_before_the_names(&asked), [STOPS[0], STOPS[2]]);

    // And of those who fall silent meanwhile one is waited for, not each.
    let mut run = night("failover");
    let stops = std::cell::Cell::new(0);
    let asked = play(&mut run, |what| {
        if is_stop_at_main(what) {
            stops.set(stops.get() + 1);
        }
        if database(what) || stops.get() > 3 && is_stop_at_main(what) { Err(silent()) } else { well(what) }
    });
    assert_eq!(stopped_before_the_names(&asked), STOPS[..1]);
    assert!(matches!(run.machine.outcome(), Some(Outcome::Completed { .. })), "{:?}", run.wants());
}

#[test]
fn a_failover_from_a_silent_site_owes_what_it_could_not_ask() {
    let mut run = night("failover");
    let asked = play(&mut run, |what| {
        if what.ends_with("@main") && !what.starts_with("group") { Err(silent()) } else { well(what) }
    });
    assert_eq!(
        asked[4..8],
        [
            "group.await-closed -@main",
            "replication.abandon csp@secondary",
            "replication.capture css@secondary",
            "database.enable-access config@secondary",
        ]
    );
    assert!(asked[8..].contains(&"replication.stop msp@secondary".to_owned()), "{asked:#?}");
    assert!(!asked.iter().any(|a| a.contains("mark")));
    assert_eq!(
        asked.iter().filter(|a| is_stop_at_main(a)).count(),
        3,
        "a silent site is asked twice: {asked:#?}"
    );
    assert!(matches!(run.machine.outcome(), Some(Outcome::Completed { .. })), "{:?}", run.wants());
}

#[test]
fn a_source_that_falls_silent_while_it_drains_is_abandoned() {
    let mut run = night("failover");
    let asked = play(&mut run, |what| match what {
        "replication.mark csp@main" => Err(Error::standard(Standard::InDoubt, "nobody knows")),
        _ => well(what),
    });
    let from = asked.iter().position(|a| a.contains("mark")).unwrap();
    assert_eq!(
        asked[from..from + 3],
        [
            "replication.mark csp@main",
            "replication.abandon csp@secondary",
            "replication.capture css@secondary"
        ]
    );
}

/// The person whom `drain.failover: ask` asks goes past a part of it: as if the source had fallen silent there, once.
#[test]
fn a_failover_whose_drain_is_skipped_abandons_what_did_not_come() {
    for part in
        ["replication.mark csp@main", "replication.drain csp@secondary", "replication.stop csp@secondary"]
    {
        let mut run = night("failover");
        let failed = Error::standard(Standard::Runtime, "an old transaction");
        play(&mut run, |what| if what == part { Err(failed.clone()) } else { well(what) });
        let Some(Want::Decide { at, .. }) = run.wanted.first().cloned() else { panic!("{:?}", run.wanted) };
        run.resolve(at.as_str(), Resolution::Skip { output: json!({ "skipped": true }) });
        let asked = play(&mut run, well);
        assert_eq!(
            asked[..3],
            [
                "replication.abandon csp@secondary",
                "replication.capture css@secondary",
                "database.enable-access config@secondary"
            ],
            "{part}"
        );
        assert!(
            matches!(run.machine.outcome(), Some(Outcome::Completed { .. })),
            "{part}: {:?}",
            run.wants()
        );
    }
}

/// Somebody accepted it, such as by skipping its close: what it writes beside a drain would not come.
#[test]
fn a_site_that_may_still_take_writes_is_left_as_a_lost_one() {
    let mut run = night("failover");
    let asked = play(&mut run, |what| match what {
        "group.await-closed -@main" => Ok(json!({ "by": "accepted by anna" })),
        _ => well(what),
    });
    assert!(asked.contains(&"replication.abandon csp@secondary".to_owned()), "{asked:#?}");
    assert!(!asked.iter().any(|a| a.contains("mark") || a.contains("drain")), "{asked:#?}");
    assert!(!asked.contains(&"replication.stop msp@secondary".to_owned()), "its logs still come: {asked:#?}");
    assert!(matches!(run.machine.outcome(), Some(Outcome::Completed { .. })), "{:?}", run.wants());
}

/// A person says that it is closed, or that one of two is drained; no service does. What it has besides is in its slot.
#[test]
fn what_a_site_keeps_that_no_service_closed_or_drained_is_not_dropped() {
    let mut two = group();
    two["databases"]["more"] =
        json!({ "kind": "one-live", "replication": { "main->secondary": "xsp", "secondary->main": "xss" } });
    for said in [
        "database.disable-access config@main",
        "replication.drain csp@secondary",
        "replication.drain xsp@secondary",
    ] {
        let mut run = of_group(two.clone(), "switchover", "main", "secondary");
        let asked = play(&mut run, |what| if what == said { Ok(Value::Null) } else { well(what) });
        assert!(asked.contains(&said.to_owned()), "{said}: {asked:#?}");
        assert!(asked.contains(&"database.enable-access config@secondary".to_owned()), "{said}: {asked:#?}");
        let protects =
            |a: &String| a.starts_with("replication.start") || a.starts_with("replication.discard");
        assert!(!asked.iter().any(protects), "{said}: {asked:#?}");
        assert!(
            matches!(run.machine.outcome(), Some(Outcome::Completed { .. })),
            "{said}: {:?}",
            run.wants()
        );
    }
}

#[test]
fn a_failover_that_cannot_open_is_held() {
    let mut run = night("failover");
    let failed = Error::standard(Standard::Runtime, "no");
    play(&mut run, |what| if what.contains("enable-access") { Err(failed.clone()) } else { well(what) });
    let Some(Want::Decide { at, .. }) = run.wanted.first() else { panic!("{:?}", run.wanted) };
    assert_eq!(at.as_str(), "/do/6/open/call/do/0/open[0]/do/0/open");
}

#[test]
fn a_switchover_goes_through() {
    let mut run = night("switchover");
    let asked = play(&mut run, well);
    assert_eq!(
        asked[..11],
        [
            "group.expect-writes config@main",
            "process.stop master-scs@main",
            "process.stop cs-primary@main",
            "process.stop scs-msg@main",
            "database.disable-access config@main",
            "replication.mark csp@main",
            "replication.drain csp@secondary",
            "replication.stop csp@secondary",
            "replication.capture css@secondary",
            "replication.set-sequences csp@secondary",
            "database.enable-access config@secondary",
        ]
    );
    let after = |what: &str| asked[11..].iter().position(|a| a == what);
    // What was kept for the other direction goes only after the standby receives.
    let (start, discard) = (after("replication.start css@main"), after("replication.discard csp@main"));
    assert!(start.is_some() && start < discard, "{asked:#?}");
    assert!(matches!(run.machine.outcome(), Some(Outcome::Completed { .. })), "{:?}", run.wants());
}

#[test]
fn a_switchover_that_cannot_drain_backs_out_in_order() {
    let mut run = night("switchover");
    let failed = Error::standard(Standard::Runtime, "an old transaction");
    play(&mut run, |what| if what.contains("capture") { Err(failed.clone()) } else { well(what) });
    let Some(Want::Decide { at, .. }) = run.wanted.first().cloned() else { panic!("{:?}", run.wanted) };
    run.resolve(at.as_str(), Resolution::BackOut);
    let asked = play(&mut run, well);
    assert_eq!(
        asked,
        [
            "replication.start csp@secondary",
            "database.enable-access config@main",
            "process.start scs-msg@main",
            "process.start cs-primary@main",
            "process.start master-scs@main",
            "database.verify-write config@main", // When all the rest is given back.
        ]
    );
    assert_eq!(run.machine.outcome(), Some(&Outcome::BackedOut));
}

#[test]
fn a_failback_is_a_switchover_mirrored() {
    let mut out = from_to("switchover", "main", "secondary");
    let mut back = from_to("failback", "secondary", "main");
    let out: Vec<String> = play(&mut out, well);
    let swap = |what: &String| {
        let other = |text: &str, a: &str, b: &str| text.replace(a, "\0").replace(b, a).replace('\0', b);
        let what = other(&other(what, "@main", "@secondary"), " csp", " css");
        if what.contains("dns.follow") || what.contains("process.refresh") {
            other(&what, "@main", "@secondary")
        } else {
            what
        }
    };
    assert_eq!(out.iter().map(swap).collect::<Vec<_>>(), play(&mut back, well));
    assert!(matches!(back.machine.outcome(), Some(Outcome::Completed { .. })));
}

#[test]
fn a_reprotect_by_catch_up_closes_receives_and_waits_and_opens_nothing() {
    let mut run = from_to("reprotect", "secondary", "main");
    let failed = std::cell::Cell::new(false);
    let asked = play(&mut run, |what| match what {
        "replication.drain css@main" if !failed.replace(true) => {
            Err(Error::standard(Standard::Timeout, "not drained in time"))
        }
        _ => well(what),
    });
    // It waits a second and tries again.
    assert_eq!(run.wants(), ["wake /do/4/current/call[0]/do/1/wait"]);
    run.pass(1);
    run.wake("/do/4/current/call[0]/do/1/wait");
    let more = play(&mut run, well);
    assert_eq!(
        [asked, more].concat(),
        [
            "process.stop master-scs@main",
            "process.stop cs-primary@main",
            "process.stop scs-msg@main",
            "database.disable-access config@main",
            "replication.start css@main",
            "replication.discard csp@main",
            "replication.mark css@secondary",
            "replication.drain css@main",
            "replication.drain css@main",
            "replication.start msp@secondary",
            "replication.start mss@main",
        ]
    );
    assert!(matches!(run.machine.outcome(), Some(Outcome::Completed { .. })), "{:?}", run.wants());
}

#[test]
fn establishing_opens_one_site_after_the_stream_to_the_other_is_proved() {
    let mut run = from_to("establish", "secondary", "main");
    let asked = play(&mut run, alike);
    let at =
        |what: &str| asked.iter().position(|a| a == what).unwrap_or_else(|| panic!("{what}: {asked:#?}"));
    let open = at("database.enable-access config@main");
    for before in [
        "database.disable-access config@main",
        "database.disable-access config@secondary",
        "replication.stop css@main",
        "replication.capture csp@main",
        "replication.start csp@secondary",
        "replication.discard css@secondary",
        "replication.mark csp@main",
        "replication.drain csp@secondary",
        "replication.compare csp@secondary",
    ] {
        assert!(at(before) < open, "{before}: {asked:#?}");
    }
    for after in
        ["process.start scs-msg@main", "replication.capture msp@main", "process.start proxy@secondary"]
    {
        assert!(at(after) > open, "{after}: {asked:#?}");
    }
    assert!(matches!(run.machine.outcome(), Some(Outcome::Completed { .. })), "{:?}", run.wants());
}

/// A filled site beside an empty one would be called protected; so would one that nobody could compare.
#[test]
fn sites_that_are_not_alike_are_not_established() {
    for (equal, words) in
        [(json!(false), "do not hold the same rows"), (json!(null), "could not be compared")]
    {
        let mut run = from_to("establish", "secondary", "main");
        let asked = play(&mut run, |what| match what {
            "replication.compare csp@secondary" => Ok(json!({ "equal": equal })),
            _ => well(what),
        });
        assert_eq!(asked.last().unwrap(), "replication.compare csp@secondary", "{asked:#?}");
        let [Want::Decide { at, error }] = run.wanted.as_slice() else { panic!("{:?}", run.wanted) };
        let error = error.to_string();
        assert!(error.contains(words) && error.contains("reprotect --by copy"), "{error}");
        let at = at.to_string();
        run.resolve(&at, Resolution::Skip { output: Value::Null });
        let more = play(&mut run, well);
        assert!(more.contains(&"database.enable-access config@main".to_owned()), "{more:#?}");
    }
}

#[test]
fn what_only_protects_opens_nothing() {
    let text = "document: { dsl: '1.0.3', namespace: t, name: t, version: '1.0.0', \
                metadata: { dr: { moves: group, purpose: protect } } }
do: [ a: { call: 'site.open:1.0.0@default', with: { site: main, databases: [] }, metadata: { dr: { phase: open } } } ]";
    let found = crate::support::problems(text);
    assert!(found.len() == 1 && found[0].contains("definition-effect what only protects"), "{found:#?}");
}
