//! Preconditions: looked at every minute and before a start; a red line stops a move until a person names it.

use std::time::Duration;

use crate::common::{GROUP, World, process, receiver};
use schemas::op::{Op, OpReply};
use schemas::view::RunState;
use schemas::{
    Address, CheckLine, CheckView, Code, Level, NameSeen, Problem, ReplicationSeen, Running, Seen, Service,
    SiteId,
};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

fn world(group: &str) -> World {
    let mut world = World::with(group, Some(MINUTE));
    world.adopt("main");
    world
}

fn red(world: &mut World, address: &str) {
    let line = CheckLine::red("wal-keep", "it is not set", "set it");
    world.checks.insert(address.into(), vec![line]);
}

fn broken() -> Seen {
    Seen::Replication(ReplicationSeen { trouble: Some("its worker is gone".into()), ..receiver() })
}

fn refusal(reply: OpReply) -> Problem {
    match reply {
        OpReply::Problem(problem) => problem,
        other => panic!("{other:?}"),
    }
}

fn check(world: &mut World) -> CheckView {
    match world.op("", Op::Check { group: None }) {
        OpReply::Checks(mut checks) => checks.remove(0),
        other => panic!("{other:?}"),
    }
}

fn kinds<'a>(world: &'a World, kind: &'a str) -> Vec<&'a runner_core::Append> {
    world.entries.iter().filter(|entry| entry.kind == kind).collect()
}

#[test]
fn a_red_line_stops_a_start_until_a_person_names_it() {
    let mut world = world(GROUP);
    red(&mut world, "secondary.replication.css");
    let problem = refusal(world.ask("failover", &[], &[]));
    assert_eq!(problem.code, Code::RedPrecondition);
    assert!(problem.to_string().contains("secondary.replication.css:wal-keep"), "{problem}");
    assert!(kinds(&world, "group.run-started").is_empty());

    let problem = refusal(world.ask("failover", &[], &["secondary.replication.css:tpyo"]));
    assert!(problem.to_string().contains("tpyo"), "{problem}");

    let reply = world.ask("failover", &[], &["secondary.replication.css:wal-keep"]);
    assert!(matches!(reply, OpReply::Started { .. }), "{reply:?}");
    let recorded = kinds(&world, "group.overridden");
    assert_eq!(recorded.len(), 1);
    assert!(recorded[0].body["lines"][0] == "secondary.replication.css:wal-keep", "{:?}", recorded[0]);
}

/// Its host's file spells the site otherwise.
#[test]
fn a_resource_that_is_heard_at_a_site_that_no_group_has_is_named() {
    let mut world = world(GROUP);
    world.silence("secondary");
    let (site, resource) = ("secondry".parse().unwrap(), "config".parse().unwrap());
    world.addresses.push(Address { site, service: Service::Database, resource });
    world.pass(30);
    let remedy = |world: &mut World, name: &str| {
        let checks = check(world);
        let line = checks.lines.iter().find(|line| line.name == name).unwrap();
        line.line.remedy.clone().unwrap()
    };
    let said = remedy(&mut world, "secondary.database.config:answers");
    assert!(
        said.starts_with("secondry.database.config is heard, and no group has the site secondry"),
        "{said}"
    );
    let said = remedy(&mut world, "secondary.replication.csp:answers");
    assert!(said.starts_with("start `pointsman serve`"), "{said}");
}

#[test]
fn a_database_that_lets_nobody_in_is_red_once() {
    let mut world = world(GROUP);
    let address = "secondary.database.config";
    let nobody = Seen::Nothing(Problem::new(Code::Unreachable, "no session on it"));
    world.seen.insert(address.into(), nobody);
    let whats = |world: &mut World| {
        let checks = check(world);
        let red = checks.lines.iter().filter(|line| line.line.level == Level::Red);
        let ours =
            red.filter_map(|line| line.name.strip_prefix(address)?.strip_prefix(':').map(str::to_owned));
        ours.collect::<Vec<_>>()
    };
    assert_eq!(whats(&mut world), ["seen"]);
    let line = CheckLine::red("reachable", "connection refused", "pointsman explain unreachable");
    world.checks.insert(address.into(), vec![line]);
    assert_eq!(whats(&mut world), ["reachable"]);
}

#[test]
fn what_is_red_at_a_lost_site_stands_against_a_planned_move_only() {
    let mut world = world(GROUP);
    red(&mut world, "main.replication.csp");
    let problem = refusal(world.ask("switchover", &[], &[]));
    assert_eq!(problem.code, Code::RedPrecondition);
    // Nobody waits for the lost site either: its silence is no red line.
    world.silence("main");
    let reply = world.ask("failover", &[], &[]);
    assert!(matches!(reply, OpReply::Started { .. }), "{reply:?}");
}

/// It would close the live site, and then wait for what does not come. An unplanned one has its loss gate.
#[test]
fn a_planned_move_does_not_start_while_what_it_drains_is_broken() {
    let half = "secondary.replication.csp";
    let line = "secondary.replication.csp:broken";
    let mut world = world(GROUP);
    world.seen.insert(half.into(), broken());
    world.run_until(|w| !kinds(w, "group.replication").is_empty());
    let problem = refusal(world.ask("switchover", &[], &[]));
    assert_eq!(problem.code, Code::RedPrecondition);
    assert!(
        problem.to_string().contains(&format!("{line}: its worker is gone (mend that first")),
        "{problem}"
    );
    assert!(kinds(&world, "group.run-started").is_empty());

    let reply = world.ask("switchover", &[], &[line]);
    assert!(matches!(reply, OpReply::Started { .. }), "{reply:?}");
    assert!(kinds(&world, "group.overridden")[0].body["lines"][0] == line);

    for mended in [false, true] {
        let mut world = self::world(GROUP);
        world.seen.insert(half.into(), broken());
        world.run_until(|w| !kinds(w, "group.replication").is_empty());
        if mended {
            world.seen.insert(half.into(), Seen::Replication(receiver()));
        }
        let reply = world.ask(if mended { "switchover" } else { "failover" }, &[], &[]);
        assert!(matches!(reply, OpReply::Started { .. }), "{reply:?}");
    }
}

#[test]
fn a_silent_service_where_the_move_goes_is_red() {
    let mut world = world(GROUP);
    world.silence("secondary");
    let problem = refusal(world.ask("failover", &[], &[]));
    assert!(problem.to_string().contains("secondary.database.config:answers"), "{problem}");
}

#[test]
fn a_change_of_what_is_not_green_is_recorded_once() {
    let mut world = world(GROUP);
    let quiet = world.now.boot + MINUTE * 3;
    world.run_until(|w| w.now.boot > quiet);
    let before = kinds(&world, "group.preflight").len();
    red(&mut world, "secondary.replication.css");
    let red_for = world.now.boot + MINUTE * 3;
    world.run_until(|w| w.now.boot > red_for);
    let entries = kinds(&world, "group.preflight");
    assert_eq!(entries.len(), before + 1, "{entries:?}");
    assert!(entries[before].body["red"][0] == "secondary.replication.css:wal-keep", "{:?}", entries[before]);
    assert_eq!(world.group().check.unwrap().level(), Level::Red);
    assert!(check(&mut world).lines.iter().any(|line| line.line.level == Level::Green));

    world.checks.clear();
    assert_ne!(check(&mut world).level(), Level::Red);
    assert_ne!(world.group().check.map_or(Level::Green, |view| view.level()), Level::Red);
}

#[test]
fn a_name_that_only_the_live_site_can_change_is_red() {
    let mut world = world(&GROUP.replace("at: witness", "at: main"));
    let view = check(&mut world);
    assert!(
        view.lines.iter().any(|l| l.name == "cfg:path-cs-primary" && l.line.level == Level::Red),
        "{view:?}"
    );
}

/// It stands against planned moves; a failover goes as far as it can, and waits at the names if they cannot be changed.
#[test]
fn a_name_that_only_a_lost_site_can_change_keeps_no_failover_from_being_started() {
    let line = "cfg:path-cs-primary";
    let mut world = world(&GROUP.replace("at: witness", "at: main"));
    assert!(refusal(world.ask("switchover", &[], &[])).to_string().contains(line));
    world.silence("main");
    let preview = world.preview("failover");
    assert!(preview.refusals.is_empty(), "{preview:?}");
    let said = preview.facts.iter().find(|fact| fact.text.starts_with(line));
    let verdict = said.and_then(|fact| fact.verdict.clone());
    assert_eq!(verdict.as_deref(), Some("RED, WAITS AT THE NAMES"), "{preview:?}");
    // Whoever names it says what is so.
    let OpReply::Started { run, .. } = world.ask("failover", &["main"], &[line]) else { panic!("refused") };
    world.run_until(|w| w.run(run).waits_for.iter().any(|wait| wait.contains("hosts files")));
    let view = world.run(run);
    assert_eq!(view.state, RunState::Held, "{view:?}");
    assert_eq!(world.applied("secondary.process.cs-backup.start"), 1, "all the rest is there");
}

#[test]
fn a_name_whose_servers_all_stand_at_the_live_site_is_red() {
    let mut world = world(GROUP);
    for (update, verify, is_red) in [
        (json!(["witness"]), json!(["main", "witness"]), false),
        (json!(["main"]), json!(["main", "witness"]), true),
        (json!(["main", null]), json!(["main", "secondary"]), false),
        (json!(null), json!(["main"]), true),
        (json!(null), json!(["secondary"]), false),
    ] {
        let seen = NameSeen {
            points_at: None,
            answers: Default::default(),
            silent: Vec::new(),
            pushed: None,
            detail: json!({ "updateAt": update, "verifyAt": verify }),
        };
        world.seen.insert("witness.dns.cs-primary".into(), Seen::Name(seen));
        let view = check(&mut world);
        let told =
            view.lines.iter().any(|l| l.name == "witness.dns.cs-primary:path" && l.line.level == Level::Red);
        assert_eq!(told, is_red, "{update} {verify}: {view:?}");
    }
}

#[test]
fn what_somebody_else_starts_is_red_where_it_must_stay_dormant_only() {
    let mut world = world(GROUP);
    for address in ["secondary.process.cs-primary", "secondary.process.proxy-a", "secondary.database.config"]
    {
        let line = CheckLine::red("autostart", "a boot starts it", "take that away");
        let unproved = CheckLine::amber("check-script", "nobody can prove that it does not run", "write one");
        world.checks.insert(address.into(), vec![line, unproved]);
    }
    let view = check(&mut world);
    let told = |name: &str| view.lines.iter().any(|l| l.name == name && l.line.level == Level::Red);
    assert!(told("secondary.process.cs-primary:autostart"), "{view:?}");
    assert!(
        told("secondary.database.config:autostart"),
        "it is told only where its service starts it closed"
    );
    assert!(!told("secondary.process.proxy-a:autostart"), "it runs at both sites");
    let amber = |name: &str| view.lines.iter().any(|l| l.name == name && l.line.level == Level::Amber);
    assert!(amber("secondary.process.cs-primary:check-script"), "{view:?}");
    assert!(!amber("secondary.process.proxy-a:check-script"), "it runs at both sites");
}

#[test]
fn what_the_runner_says_of_itself_counts_for_the_group() {
    let mut world = world(GROUP);
    let told = |w: &mut World| check(w).lines.iter().any(|line| line.name == "cfg:runner-bus");
    world.own(vec![CheckLine::red("runner-bus", "its JWT has ended", "renew it")]);
    assert!(told(&mut world));
    let problem = refusal(world.ask("switchover", &[], &[]));
    assert!(problem.to_string().contains("cfg:runner-bus"), "{problem}");
    world.own(Vec::new());
    assert!(!told(&mut world));
    // By night it keeps nobody from a site: the question came over that very bus.
    world.own(vec![CheckLine::red("runner-bus", "its JWT has ended", "renew it")]);
    assert!(told(&mut world));
    let reply = world.ask("failover", &["main"], &[]);
    assert!(matches!(reply, OpReply::Started { .. }), "{reply:?}");
}

#[test]
fn a_fence_path_that_would_not_help_or_says_off_in_peace_is_told_by_day() {
    let switch = "witness.process.power-main";
    let group =
        GROUP.replace("paths: [database]", "paths: [database, { process: power-main, site: witness }]");
    let site = |name: &str| -> Option<SiteId> { Some(name.parse().unwrap()) };
    for (running, closes, level, words) in [
        (Running::Healthy, site("main"), Level::Green, "main is on"),
        (Running::Stopped, site("main"), Level::Amber, "main is off"),
        (Running::Stopped, site("secondary"), Level::Amber, "secondary is off"),
        (Running::Unknown, site("main"), Level::Amber, "nobody can tell"),
        (Running::Unhealthy, site("main"), Level::Amber, "nobody can tell"),
        (Running::Healthy, None, Level::Amber, "no `closes:`"),
        (Running::Stopped, site("mian"), Level::Amber, "closes: mian"),
    ] {
        let mut world = World::with(&group, Some(MINUTE));
        world.seen.insert(switch.into(), Seen::Process(process(running, closes)));
        world.adopt("main");
        let lines = check(&mut world).lines;
        let name = format!("{switch}:fence-path");
        let told = lines.iter().find(|line| line.name == name).unwrap_or_else(|| panic!("{lines:?}"));
        assert!(told.line.level == level && told.line.text.contains(words), "{words}: {told:?}");
    }
    // What is no fence path has no such line.
    let others = check(&mut world(GROUP));
    assert!(!others.lines.iter().any(|line| line.line.what == "fence-path"), "{others:?}");
}

/// Whether the latest decision says so.
fn decided(world: &World, verdict: &str) -> bool {
    let list = kinds(world, "group.decision");
    list.last().is_some_and(|entry| entry.body["verdict"].as_str().unwrap().starts_with(verdict))
}

fn approve(world: &mut World) -> OpReply {
    world.op("seen on camera", Op::Approve { decision: "cfg".into() })
}

/// The group with a trigger that does so.
fn triggered(mode: &str) -> String {
    GROUP
        .replace("mode: observe", &format!("mode: {mode}"))
        .replace("hold_down: 120s", "hold_down: 1s")
        .replace("one_prober: refused", "one_prober: { accepted_by: anna, why: lab, until: 2099-01-01 }")
}

/// What keeps a person's failover from being started keeps a trigger's, and nothing else does.
#[test]
fn an_automatic_start_asks_a_person_while_something_is_red_that_would_stop_him() {
    let auto = triggered("auto");
    let only_main = auto.replace("at: witness", "at: main");
    for (group, address, asks) in [
        (&auto, None, false),
        (&auto, Some("secondary.replication.css"), true),
        (&auto, Some("main.replication.csp"), false),
        (&auto, Some("witness.dns.cs-primary"), false),
        (&only_main, None, false),
    ] {
        let mut world = world(group);
        if let Some(address) = address {
            red(&mut world, address);
        }
        let looked = world.now.boot + MINUTE * 2;
        world.run_until(|w| w.now.boot > looked);
        world.silence("main");
        world.detect("main");
        let started = |w: &World| !kinds(w, "group.run-started").is_empty();
        world.run_until(|w| decided(w, "ask: red") || started(w));
        assert_eq!((decided(&world, "ask: red"), started(&world)), (asks, !asks), "{address:?}");
        if asks {
            assert!(matches!(approve(&mut world), OpReply::Started { .. }));
            let overridden = kinds(&world, "group.overridden");
            assert!(overridden[0].body["lines"][0] == "secondary.replication.css:wal-keep", "{overridden:?}");
        }
    }
}

/// After an update of one host, or of one site's tables, nobody is left without a site for it.
#[test]
fn an_older_set_up_and_other_tables_stand_against_planned_moves_only() {
    for (address, what, stands) in [
        ("secondary.database.config", "setup-version", false),
        ("secondary.replication.csp", "setup-version", false),
        ("secondary.replication.csp", "schema", false),
        ("secondary.database.config", "setup", true),
    ] {
        let line = CheckLine::red(what, "it is not as it should be", "mend it");
        let name = format!("{address}:{what}");
        for workflow in ["switchover", "failover"] {
            let mut world = world(GROUP);
            world.checks.insert(address.into(), vec![line.clone()]);
            match world.ask(workflow, &[], &[]) {
                OpReply::Started { .. } => assert!(workflow == "failover" && !stands, "{name}"),
                OpReply::Problem(problem) => {
                    assert!(workflow == "switchover" || stands, "{name}: {problem}");
                    assert_eq!(problem.code, Code::RedPrecondition);
                    assert!(problem.to_string().contains(&name), "{problem}");
                }
                other => panic!("{other:?}"),
            }
        }
        // A trigger's start is told alike.
        let mut world = world(&triggered("auto"));
        world.checks.insert(address.into(), vec![line]);
        let looked = world.now.boot + MINUTE * 2;
        world.run_until(|w| w.now.boot > looked);
        world.silence("main");
        world.detect("main");
        let started = |w: &World| !kinds(w, "group.run-started").is_empty();
        world.run_until(|w| decided(w, "ask: red") || started(w));
        assert_eq!((decided(&world, "ask: red"), started(&world)), (stands, !stands), "{name}");
    }
}

/// The question was about a failover; meanwhile the group's file names something else to be started.
#[test]
fn what_is_approved_is_looked_at_first_and_a_planned_move_is_refused_for_what_is_red() {
    let ask = triggered("ask");
    let mut world = world(&ask);
    red(&mut world, "secondary.replication.css");
    let looked = world.now.boot + MINUTE * 2;
    world.run_until(|w| w.now.boot > looked);
    world.detect("main");
    world.run_until(|w| decided(w, "ask: red"));
    world.files = Ok(vec![crate::reload::read(&ask.replace("run: failover", "run: switchover"))]);
    world.op("CHG-1", Op::Reload {});
    let problem = refusal(approve(&mut world));
    assert_eq!(problem.code, Code::RedPrecondition);
    assert!(problem.to_string().contains("secondary.replication.css:wal-keep"), "{problem}");
    assert!(kinds(&world, "group.run-started").is_empty());
    // It still waits; and what is mended in the meantime needs nobody's word.
    world.checks.clear();
    assert!(matches!(approve(&mut world), OpReply::Started { .. }));
    assert!(kinds(&world, "group.run-started")[0].body["workflow"] == "switchover:1.0.0");
    assert!(kinds(&world, "group.overridden").is_empty());
}

/// Somebody said yes to what he was told, not to what became red since.
#[test]
fn what_became_red_after_the_question_is_not_approved_with_it() {
    let mut world = world(&triggered("ask"));
    world.detect("main");
    world.run_until(|w| decided(w, "ask"));
    assert!(!decided(&world, "ask: red"));
    red(&mut world, "secondary.replication.css");
    assert_eq!(refusal(approve(&mut world)).code, Code::RedPrecondition);
    world.checks.clear();
    assert!(matches!(approve(&mut world), OpReply::Started { .. }));
}

/// Its entry has the names of the red lines in its words only.
#[test]
fn a_question_of_an_older_runner_is_approved_past_what_it_told() {
    let ask = triggered("ask");
    let mut world = world(&ask);
    red(&mut world, "secondary.replication.css");
    world.pass(120);
    world.detect("main");
    world.run_until(|w| decided(w, "ask: red"));
    for entry in world.entries.iter_mut().filter(|entry| entry.kind == "group.decision") {
        entry.body.remove("red");
    }
    let mut world = world.killed(&ask);
    let reply = approve(&mut world);
    assert!(matches!(reply, OpReply::Started { .. }), "{reply:?}");
    let overridden = kinds(&world, "group.overridden");
    assert!(overridden[0].body["lines"][0] == "secondary.replication.css:wal-keep", "{overridden:?}");
}
