//! The way home: what may start when, and what `status` says meanwhile.

use std::time::Duration;

use schemas::op::{Op, OpReply, ProtectBy};
use schemas::view::{Mode, RunState};
use schemas::{Action, Code, Verb};
use simulation::{Lost, Then, World, address};

use crate::common::{asleep, group, ready, refused, start_of, whole, with};

fn by(how: ProtectBy) -> Op {
    let mut op = start_of("reprotect", &[]);
    if let Op::Start { by, .. } = &mut op {
        *by = Some(how);
    }
    op
}

fn goes(w: &mut World, op: Op) {
    let run = w.start(0, op);
    assert_eq!(w.until_ended(run), RunState::Completed);
    w.pass(Duration::from_secs(3));
}

#[test]
fn there_and_back_after_a_failover_that_left_nothing_behind() {
    let mut w = ready(whole());
    goes(&mut w, start_of("failover", &[]));
    let view = group(&mut w);
    assert_eq!(view.mode, Mode::FailedOver, "{}", view.sentence);
    assert!(view.sentence.contains("unprotected since 20"), "with its day: {}", view.sentence);
    assert!(view.sentence.contains("pointsman reprotect cfg --why"), "{}", view.sentence);

    let run = w.start(0, start_of("reprotect", &[]));
    assert_eq!(group(&mut w).mode, Mode::Resyncing);
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert_eq!(w.record(0, "cfg").epoch.0, 3, "a run of its own");
    assert!(!w.ground.is_open(&address("main.database.config")));
    w.pass(Duration::from_secs(3));
    let view = group(&mut w);
    assert_eq!(
        (view.mode, view.live.as_ref().unwrap().as_str()),
        (Mode::Normal, "secondary"),
        "{}",
        view.sentence
    );
    assert!(view.sentence.contains("pointsman failback cfg"), "{}", view.sentence);

    let run = w.start(0, start_of("failback", &[]));
    assert_eq!(group(&mut w).mode, Mode::FailingBack);
    assert_eq!(w.until_ended(run), RunState::Completed);
    w.pass(Duration::from_secs(3));
    let view = group(&mut w);
    assert_eq!(
        (view.mode, view.live.as_ref().unwrap().as_str()),
        (Mode::Normal, "main"),
        "{}",
        view.sentence
    );
    let problem = refused(&mut w, start_of("failback", &[]));
    assert_eq!(problem.code, Code::Conflict, "{problem}");
    w.finish("cfg");
    w.clean();
}

#[test]
fn a_site_that_may_have_kept_rows_does_not_catch_up() {
    let mut w = ready(whole());
    w.kill_host("main", Lost::Process);
    w.restart = None;
    goes(&mut w, start_of("failover", &["main"]));
    w.heal();
    w.until("the close is paid", |w| w.record(0, "cfg").debts.is_empty());
    let problem = refused(&mut w, by(ProtectBy::CatchUp));
    assert_eq!(problem.code, Code::Precondition);
    assert!(problem.detail.as_ref().unwrap().contains("--by copy"), "{problem}");
    let view = group(&mut w);
    assert_eq!(view.mode, Mode::FailedOver);
    assert!(view.sentence.contains("--by copy"), "{}", view.sentence);
    // Whoever adopts says how the world is, and not that nothing was left behind.
    let adopt = Op::Adopt {
        group: "cfg".parse().unwrap(),
        record: Some(simulation::site("secondary")),
        none_live: false,
        old_runner_stopped: false,
    };
    assert!(matches!(w.ask_runner(0, "by hand", adopt), OpReply::Recorded { .. }));
    assert_eq!(refused(&mut w, by(ProtectBy::CatchUp)).code, Code::Precondition);
    w.finish("cfg");
    w.clean();
}

#[test]
fn what_is_open_is_not_established() {
    let mut w = ready(whole());
    let problem = refused(&mut w, start_of("establish", &[]));
    assert!(problem.detail.as_ref().unwrap().contains("is open at main"), "{problem}");
    let none =
        Op::Adopt { group: "cfg".parse().unwrap(), record: None, none_live: true, old_runner_stopped: false };
    let problem = refused(&mut w, none);
    assert!(
        problem.detail.as_ref().unwrap().contains("main.database.config is not seen closed"),
        "{problem}"
    );
    w.clean();

    let mut w = World::new(asleep());
    assert_eq!(refused(&mut w, start_of("establish", &[])).code, Code::Conflict, "never adopted");
    w.adopt_none();
    let view = group(&mut w);
    assert!(view.sentence.contains("pointsman establish cfg"), "{}", view.sentence);
    assert_eq!(refused(&mut w, start_of("switchover", &[])).code, Code::Conflict);
    goes(&mut w, start_of("establish", &[]));
    let view = group(&mut w);
    assert_eq!(
        (view.mode, view.live.as_ref().unwrap().as_str()),
        (Mode::Normal, "main"),
        "{}",
        view.sentence
    );
    w.finish("cfg");
    w.clean();
}

#[test]
fn an_establishing_that_is_cancelled_leaves_no_live_site() {
    let mut w = World::new(asleep());
    w.adopt_none();
    w.ground.broken.insert((address("secondary.replication.csp"), schemas::Action::Drain));
    let run = w.start(0, start_of("establish", &[]));
    w.until("it is held", |w| w.view(0, run).state == RunState::Held);
    w.ask_runner(0, "not today", Op::Cancel { run: run.to_string(), leave: false });
    assert_eq!(w.until_ended(run), RunState::BackedOut);
    assert_eq!(w.record(0, "cfg").live, None);
    assert!(
        ["main", "secondary"].iter().all(|s| !w.ground.is_open(&address(&format!("{s}.database.config"))))
    );
    w.ground.broken.clear();
    w.finish("cfg");
    w.clean();
}

/// What cannot be drained, or captured, is for a person where the group's file says so; nothing is undone before.
#[test]
fn a_planned_move_that_is_told_to_ask_is_held_instead_of_backing_out() {
    for (keys, broken, action) in [
        ("drain: { switchover: ask }\n", "secondary.replication.csp", schemas::Action::Drain),
        (
            "reverse: { cannot_start: { switchover: ask } }\n",
            "secondary.replication.css",
            schemas::Action::Capture,
        ),
    ] {
        let mut w = ready(with(keys));
        w.ground.broken.insert((address(broken), action));
        let run = w.start(0, start_of("switchover", &[]));
        w.until("it is held", |w| w.view(0, run).state == RunState::Held);
        assert!(!w.ground.is_open(&address("main.database.config")), "{keys}");
        w.ground.broken.clear();
        w.ask_runner(0, "not today", Op::Cancel { run: run.to_string(), leave: false });
        assert_eq!(w.until_ended(run), RunState::BackedOut, "{keys}");
        assert!(w.ground.is_open(&address("main.database.config")), "{keys}");
        w.finish("cfg");
        w.clean();
    }
}

/// Everything is given back, and nobody knows whether users can write: that is for a person, and no restart passes it.
#[test]
fn a_back_out_ends_only_when_a_write_arrives() {
    let main = address("main.database.config");
    let mut w = ready(whole());
    w.ground.broken.insert((address("secondary.replication.csp"), schemas::Action::Drain));
    w.ground.broken.insert((main.clone(), schemas::Action::VerifyWrite));
    let run = w.start(0, start_of("switchover", &[]));
    w.until("it is held", |w| w.view(0, run).state == RunState::Held);
    assert!(w.ground.is_open(&main));
    assert!(*w.ground.state(&address("main.process.cs-primary")) == "running");
    w.kill_runner(0);
    w.pass(Duration::from_secs(60));
    let view = w.view(0, run);
    assert_eq!(view.state, RunState::Held);
    let step = view.steps.iter().rfind(|step| step.function == "database.verify-write").unwrap();
    let words = view.waits_for.join(" ");
    let (short, number) = (run.short(4), step.number);
    for part in [
        "it is broken",
        "no write was seen to arrive there",
        &format!("pointsman retry {short} {number} --why"),
        &format!("pointsman done {short} {number} --unverified"),
    ] {
        assert!(words.contains(part), "{part}: {words}");
    }
    // A look at the database says nothing of a write.
    let done = Op::Done { run: run.to_string(), step: number.to_string(), unverified: false };
    assert_eq!(refused(&mut w, done).code, Code::Conflict);

    w.ground.broken.clear();
    let retry = Op::Retry { run: run.to_string(), step: number.to_string(), fresh: false };
    w.ask_runner(0, "it was out of room", retry);
    assert_eq!(w.until_ended(run), RunState::BackedOut);
    assert!(w.ground.written.contains(&main));
    w.finish("cfg");
    w.clean();
}

/// Going on without the drain would lose what did not come, with no loss gate: that is a failover's.
#[test]
fn a_planned_move_that_cannot_be_drained_is_not_told_to_skip_that() {
    let mut w = ready(with("drain: { switchover: ask, failover: continue }\n"));
    w.ground.broken.insert((address("secondary.replication.csp"), schemas::Action::Drain));
    let run = w.start(0, start_of("switchover", &[]));
    w.until("it is held", |w| w.view(0, run).state == RunState::Held);
    let view = w.view(0, run);
    let words = view.waits_for.join(" ");
    let failover = format!("pointsman failover cfg --supersede {}", run.short(4));
    assert!(words.contains("pointsman retry") && words.contains(&failover), "{words}");
    assert!(!words.contains("retry|skip"), "{words}");
    let step = view.steps.iter().find(|step| step.function == "replication.drain").unwrap();
    let skip = Op::Skip { run: run.to_string(), step: step.number.to_string() };
    let problem = refused(&mut w, skip);
    assert_eq!(problem.code, Code::Conflict);
    assert!(problem.to_string().contains(&failover), "{problem}");
    assert!(!w.ground.is_open(&address("secondary.database.config")));

    let second = w.supersede(0, run, "failover", "secondary", &[]);
    assert_eq!(w.until_ended(second), RunState::Completed);
    assert_eq!(w.ended(run), Some(RunState::Fenced));
    assert!(w.ground.is_open(&address("secondary.database.config")));
    w.ground.broken.clear();
    w.finish("cfg");
    w.clean();
}

/// Nor is its close: what is written while the rest is drained never comes.
#[test]
fn a_planned_move_is_not_told_to_skip_its_close() {
    let mut w = ready(whole());
    w.tap("close", Then::Hold, |e| {
        e.asks("main", Action::DisableAccess) || e.asks_verb("main", Verb::Outcome)
    });
    let run = w.start(0, start_of("switchover", &[]));
    w.pass(Duration::from_secs(90));
    w.until("it is held", |w| w.view(0, run).state == RunState::Held);
    let view = w.view(0, run);
    let words = view.waits_for.join(" ");
    assert!(words.contains("done|retry") && !words.contains("retry|skip"), "{words}");
    let step = view.steps.iter().find(|step| step.function == "database.disable-access").unwrap();
    let skip = Op::Skip { run: run.to_string(), step: step.number.to_string() };
    let problem = refused(&mut w, skip);
    assert_eq!(problem.code, Code::Conflict);
    assert!(problem.to_string().contains("pointsman failover cfg --supersede"), "{problem}");

    w.release("close");
    w.until("the close is known", |w| !w.ground.is_open(&address("main.database.config")));
    w.pass(Duration::from_secs(5));
    w.ask_runner(0, "it is closed", Op::Resume { run: run.to_string() });
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert!(w.record(0, "cfg").left.as_ref().unwrap().drained, "its service proved the close");
    w.finish("cfg");
    w.clean();
}

/// The close is refused and a person goes on without it: the site takes writes while the other one is opened. So it is left
/// as a lost one, and comes home by copy.
#[test]
fn a_failover_whose_close_was_skipped_proves_no_drain() {
    let mut w = ready(whole());
    let main = address("main.database.config");
    w.ground.broken.insert((main.clone(), Action::DisableAccess));
    let run = w.start(0, start_of("failover", &[]));
    w.until("it is held", |w| w.view(0, run).state == RunState::Held);
    let steps = w.view(0, run).steps;
    let step = steps.iter().find(|step| step.function == "database.disable-access").unwrap();
    let skip = Op::Skip { run: run.to_string(), step: step.number.to_string() };
    assert!(matches!(w.ask_runner(0, "go on", skip), OpReply::Recorded { .. }));
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert!(w.ground.is_open(&main), "it was accepted as unfenced");
    assert!(w.ground.effects.iter().all(|e| e.action != Action::Drain), "nothing proves that it is drained");
    assert!(!w.record(0, "cfg").left.as_ref().unwrap().drained);
    w.ground.broken.clear();
    w.until("the close is paid", |w| w.record(0, "cfg").debts.is_empty());
    assert_eq!(refused(&mut w, by(ProtectBy::CatchUp)).code, Code::Precondition);
    w.finish("cfg");
    w.clean();
}

/// A definition of one's own that drains: it counts where the source was proved closed before its mark.
#[test]
fn a_drain_counts_only_after_a_proved_close() {
    const CLOSE: &str = "  - close: { call: 'database.disable-access:1.0.0@default', with: { resource: config, site: main } }\n";
    for closes in [false, true] {
        let text = format!(
            "document: {{ dsl: '1.0.3', namespace: dr, name: own, version: '1.0.0', \
             metadata: {{ dr: {{ moves: group, onFault: hold }} }} }}\n\
             schedule: {{ on: {{ one: {{ with: {{ type: io.pointsman.site.lost.v1 }} }} }} }}\ndo:\n{}{}",
            if closes { CLOSE } else { "" },
            concat!(
                "  - mark:\n",
                "      call: replication.mark:1.0.0@default\n",
                "      with: { resource: csp, site: main }\n",
                "      export: { as: '${ { mark: . } }' }\n",
                "  - drain:\n",
                "      call: replication.drain:1.0.0@default\n",
                "      with: { resource: csp, site: secondary, mark: '${ $context.mark }' }\n",
                "  - open: { call: 'database.enable-access:1.0.0@default', with: { resource: config, site: secondary } }\n",
            ),
        );
        let mut scene = whole();
        scene.definitions.push(("own".into(), text));
        let mut w = ready(scene);
        let run = w.start(0, start_of("own", &["main"]));
        assert_eq!(w.until_ended(run), RunState::Completed);
        let record = w.record(0, "cfg");
        assert_eq!(record.left.as_ref().unwrap().drained, closes);
        assert_eq!(record.loss.as_ref().unwrap().by == "drained", closes, "{:?}", record.loss);
        w.until("the close is paid", |w| w.record(0, "cfg").debts.is_empty());
        w.finish("cfg");
        w.clean();
    }
}

/// The source answers and cannot be drained: a person decides, or it goes on with what came.
#[test]
fn a_failover_whose_source_cannot_be_drained_asks_or_goes_on() {
    for (keys, goes_on) in [("", false), ("drain: { failover: continue }\n", true)] {
        let mut w = ready(with(keys));
        w.ground.broken.insert((address("secondary.replication.csp"), schemas::Action::Drain));
        let run = w.start(0, start_of("failover", &[]));
        if goes_on {
            assert_eq!(w.until_ended(run), RunState::Completed);
            assert!(w.ground.is_open(&address("secondary.database.config")));
            assert!(w.view(0, run).steps.iter().any(|step| step.function == "replication.abandon"));
        } else {
            w.until("it is held", |w| w.view(0, run).state == RunState::Held);
            assert!(!w.ground.is_open(&address("secondary.database.config")));
        }
    }
}

/// Lost with rows that never came: they are saved before anything of theirs is overwritten, and nothing is opened.
#[test]
fn a_site_that_may_have_kept_rows_comes_home_by_copy() {
    let mut w = ready(whole());
    w.kill_host("main", Lost::Process);
    w.restart = None;
    goes(&mut w, start_of("failover", &["main"]));
    w.heal();
    w.until("the close is paid", |w| w.record(0, "cfg").debts.is_empty());
    // Its slot is there, as on the day when it was lost.
    w.ground.states.insert(address("main.replication.csp"), serde_json::json!({ "slot": true }));
    let before = w.ground.effects.len();
    goes(&mut w, by(ProtectBy::Copy));
    let acts: Vec<String> = w.ground.effects[before..]
        .iter()
        .filter(|e| e.address.service == schemas::Service::Replication)
        .map(|e| format!("{} {}", e.action.as_str(), e.address))
        .collect();
    let at = |what: &str| acts.iter().position(|a| a == what).unwrap_or_else(|| panic!("{what}: {acts:#?}"));
    let export = at("export main.replication.csp");
    assert!(export < at("discard main.replication.csp"));
    assert!(export < at("copy main.replication.css"));
    assert!(!w.ground.is_open(&address("main.database.config")));
    let view = group(&mut w);
    assert_eq!(view.mode, Mode::Normal, "{}", view.sentence);
    goes(&mut w, start_of("failback", &[]));
    w.finish("cfg");
    w.clean();

    // Waived by name: no ledger is asked for. Without a copy there is nothing to waive.
    let mut waive = by(ProtectBy::CatchUp);
    if let Op::Start { waive_ledger, .. } = &mut waive {
        *waive_ledger = true;
    }
    let mut w = ready(whole());
    goes(&mut w, start_of("failover", &[]));
    assert_eq!(refused(&mut w, waive.clone()).code, Code::Conflict);
    if let Op::Start { by, .. } = &mut waive {
        *by = Some(ProtectBy::Copy);
    }
    goes(&mut w, waive);
    assert!(w.ground.effects.iter().all(|e| e.action != schemas::Action::Export));
    let copied = w.ground.effects.iter().find(|e| e.action == schemas::Action::Copy).unwrap();
    assert!(copied.address.site.as_str() == "main");
}

/// A table that changes whenever it is compared is not called equal in silence.
#[test]
fn a_copy_that_could_not_be_compared_is_said() {
    for busy in [true, false] {
        let mut w = ready(whole());
        w.kill_host("main", Lost::Process);
        w.restart = None;
        goes(&mut w, start_of("failover", &["main"]));
        w.heal();
        w.until("the close is paid", |w| w.record(0, "cfg").debts.is_empty());
        w.ground.states.insert(address("main.replication.csp"), serde_json::json!({ "slot": true }));
        if busy {
            w.ground.busy.insert(address("main.replication.css"));
        }
        let run = w.start(0, by(ProtectBy::Copy));
        assert_eq!(w.until_ended(run), RunState::Completed);
        let said: &[&str] = if busy { &["public.entry of css@main"] } else { &[] };
        assert_eq!(w.view(0, run).not_compared, said);
        let amber = format!("not compared: {}", said.join(", "));
        let warned = group(&mut w).warnings.iter().any(|line| line.starts_with(&amber));
        assert_eq!(warned, busy);
    }
}

/// What differs protects nobody: whoever goes past it, or gives up there, has no standby until it is copied anew.
#[test]
fn a_copy_that_differs_protects_nobody() {
    for skips in [true, false] {
        let mut w = ready(whole());
        w.kill_host("main", Lost::Process);
        w.restart = None;
        goes(&mut w, start_of("failover", &["main"]));
        w.heal();
        w.until("the close is paid", |w| w.record(0, "cfg").debts.is_empty());
        w.ground.states.insert(address("main.replication.csp"), serde_json::json!({ "slot": true }));
        w.ground.unlike.insert(address("main.replication.css"));
        let run = w.start(0, by(ProtectBy::Copy));
        w.until("it is held", |w| w.view(0, run).state == RunState::Held);
        let view = w.view(0, run);
        assert_eq!(view.differs, ["public.entry of css@main"]);
        let words = view.waits_for.join(" ");
        let step = words.split_whitespace().find(|word| word.starts_with("/do")).unwrap_or_default();
        let (name, step) = (run.to_string(), step.to_owned());
        let op = if skips { Op::Skip { run: name, step } } else { Op::Cancel { run: name, leave: false } };
        w.ask_runner(0, "a test", op);
        assert_eq!(w.until_ended(run) == RunState::Completed, skips);
        w.pass(Duration::from_secs(3));

        let view = group(&mut w);
        assert_eq!(view.mode, Mode::FailedOver, "{}", view.sentence);
        assert!(view.sentence.contains("does not hold the same rows"), "{}", view.sentence);
        assert_eq!(refused(&mut w, start_of("failback", &[])).code, Code::Precondition);
        assert_eq!(refused(&mut w, by(ProtectBy::CatchUp)).code, Code::Precondition);
        w.ground.unlike.clear();
        // What the first copy kept aside is looked at and dropped before another one.
        assert_eq!(refused(&mut w, by(ProtectBy::Copy)).code, Code::Precondition);
        goes(&mut w, start_of("cleanup", &[]));
        // This runner looks by itself only; one with a preflight looks when it is asked.
        w.pass(Duration::from_secs(12));
        goes(&mut w, by(ProtectBy::Copy));
        let view = group(&mut w);
        assert_eq!(view.mode, Mode::Normal, "{}", view.sentence);
        w.finish("cfg");
        w.clean();
    }
}

/// A filled site beside an empty one is not called protected: it is told while both are closed.
#[test]
fn sites_that_differ_are_not_established() {
    let mut w = World::new(asleep());
    w.adopt_none();
    w.ground.unlike.insert(address("secondary.replication.csp"));
    let run = w.start(0, start_of("establish", &[]));
    w.until("it is held", |w| w.view(0, run).state == RunState::Held);
    let words = w.view(0, run).waits_for.join(" ");
    assert!(words.contains("do not hold the same rows") && words.contains("reprotect --by copy"), "{words}");
    assert!(!w.ground.is_open(&address("main.database.config")));
    w.ask_runner(0, "it is loaded", Op::Cancel { run: run.to_string(), leave: false });
    assert_eq!(w.until_ended(run), RunState::BackedOut);
    assert_eq!(w.record(0, "cfg").live, None);
    w.ground.unlike.clear();
    goes(&mut w, start_of("establish", &[]));
    let view = group(&mut w);
    assert_eq!(view.mode, Mode::Normal, "{}", view.sentence);
    w.finish("cfg");
    w.clean();
}
