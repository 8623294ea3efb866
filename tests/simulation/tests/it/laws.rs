//! What the laws promise beyond the table: late requests, racing triggers, everything stopped half way, two groups,
//! two runners, idle runs.

use std::time::Duration;

use schemas::op::{Op, OpReply};
use schemas::view::RunState;
use schemas::{Action, SiteId, Verb};
use simulation::{Event, Lost, Point, Scene, Then, World, address, definition};

use crate::common::{end, pair, ready, reported_lost, start_of, triggered, whole};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Answers to acts at `site` that say `void`, as they are sent.
fn voids(w: &World) -> usize {
    w.trace.iter().filter(|line| line.contains("\"refused\"") && line.contains("void true")).count()
}

#[test]
fn requests_that_arrive_late_over_a_frozen_link_are_refused_as_void() {
    let mut w = ready(whole());
    w.tap(
        "late",
        Then::Hold,
        |e| matches!(e, Event::Ask { verb: Verb::Act(_), address, .. } if address.site.as_str() == "main"),
    );
    let run = w.start(0, start_of("failover", &["main"]));
    // The acts are frozen on their way; the questions for their outcome are not.
    w.until_ended(run);
    let frozen = w.holds("late");
    assert!(frozen >= 3, "{frozen} requests were on their way");
    let before = w.ground.effects.len();
    let said = voids(&w);
    w.release("late");
    w.pass(seconds(1));
    // What is owed is on its way too, and may act; the run's own steps were settled and may not.
    let step = |e: &&simulation::Effected| e.key.run == run && !e.key.position.as_str().starts_with("/debt/");
    let late: Vec<_> = w.ground.effects[before..].iter().filter(step).collect();
    assert!(late.is_empty(), "{late:?}");
    w.until("all are answered", |w| w.holds("late") == 0);
    assert!(voids(&w) >= said, "the answers are refusals");
    w.finish("cfg");
    w.clean();
}

#[test]
fn an_opening_that_arrives_after_its_run_was_superseded_opens_nothing() {
    let mut w = ready(pair());
    w.tap("opening", Then::Hold, |e| e.asks("b", Action::EnableAccess));
    let run = w.start(0, World::start_op("move", "cfg", None));
    w.until("the opening is out", |w| w.holds("opening") == 1);
    let second = w.supersede(0, run, "move", "a", &[]);
    assert_eq!(w.until_ended(second), RunState::Completed);
    assert_eq!(w.ended(run), Some(RunState::Fenced));
    w.release("opening");
    w.pass(seconds(5));
    assert!(!w.ground.is_open(&address("b.database.config")));
    assert!(w.ground.is_open(&address("a.database.config")));
    w.finish("cfg");
    w.clean();
}

#[test]
fn of_two_runners_with_equal_epochs_the_second_is_refused_everywhere() {
    let mut w = ready(pair());
    let copy = w.save_journal(0);
    let other = w.add_runner_on(&copy);
    w.pass(seconds(3));
    // At once: the second has no time to see that the services know a later epoch.
    let first = w.start(0, World::start_op("move", "cfg", None));
    let second = w.start(other, World::start_op("swap", "cfg", None));
    w.until_ended(first);
    w.pass(seconds(10));
    let view = w.view(other, second);
    assert_eq!(view.state, RunState::Held, "{view:#?}");
    assert!(view.waits_for.iter().any(|why| why.contains("another run")), "{view:#?}");
    assert!(w.ground.effects.iter().all(|e| e.key.run == first));
    w.clean();
}

#[test]
fn a_hundred_racing_triggers_give_one_run() {
    let scene = triggered("auto", "{ accepted_by: ops, why: one place only, until: 2030-01-01 }");
    let mut w = ready(scene);
    w.kill_host_for_good("main");
    w.pass(seconds(7));
    for n in 0..100 {
        reported_lost(&mut w, "main", n);
    }
    w.until("a run", |w| w.record(0, "cfg").active.is_some());
    let run = w.record(0, "cfg").active.unwrap();
    w.accept(0, run, "main");
    w.until_ended(run);
    for n in 100..110 {
        reported_lost(&mut w, "main", n);
    }
    w.pass(seconds(90));
    assert_eq!(w.record(0, "cfg").epoch.0, 2, "one run: one epoch after the adoption's");
    w.finish("cfg");
    w.clean();
}

#[test]
fn a_switchover_half_done_everything_stopped_everything_started_goes_on() {
    let calm = {
        let mut w = ready(whole());
        let run = w.start(0, start_of("switchover", &[]));
        w.until_ended(run);
        w.finish("cfg");
        end(&w)
    };
    for half in 1..=14 {
        let mut w = ready(whole());
        let run = w.start(0, start_of("switchover", &[]));
        w.until("half of it", |w| w.ground.effects.len() >= half);
        w.restart = None;
        w.kill_runner(0);
        for host in ["main", "secondary", "witness"] {
            w.kill_host(host, if half % 2 == 0 { Lost::Power } else { Lost::Process });
        }
        w.pass(seconds(300));
        w.heal();
        assert_eq!(w.until_ended(run), RunState::Completed, "after {half} effects");
        w.finish("cfg");
        w.clean();
        assert_eq!(calm, end(&w), "after {half} effects");
    }
}

#[test]
fn two_groups_move_at_once_and_do_not_meet() {
    let one = whole().groups.remove(0);
    let mut two = pair().groups.remove(0);
    two.group = "other".parse().unwrap();
    for address in &mut two.resources {
        address.resource = "other".parse().unwrap();
        address.site = SiteId::new(if address.site.as_str() == "a" { "main" } else { "secondary" }).unwrap();
    }
    two.one_live = vec!["other".parse().unwrap()];
    two.sites = one.sites.clone();
    let text = |(name, text): (String, String)| (name, text.replace("resource: config", "resource: other"));
    let mut definitions: Vec<_> = pair().definitions.into_iter().map(text).collect();
    definitions.extend([definition("failover"), definition("switchover")]);
    let mut w = ready(Scene::new(vec![one, two], definitions));
    let first = w.request(0, "both", World::start_op("switchover", "cfg", None));
    let second = w.request(0, "both", World::start_op("move", "other", None));
    w.kill_runner(0);
    w.until("both are over", |w| {
        ["cfg", "other"].iter().all(|group| {
            let record = w.record(0, group);
            record.active.is_none() && record.live.as_ref().is_some_and(|live| live.as_str() == "secondary")
        })
    });
    assert_ne!(first, second);
    assert_eq!((w.record(0, "cfg").epoch.0, w.record(0, "other").epoch.0), (2, 2));
    w.finish("other");
    w.finish("cfg");
    w.clean();
}

#[test]
fn a_run_that_lay_idle_is_held_until_a_person_resumes_it() {
    let mut w = ready(whole());
    let run = w.start(0, start_of("switchover", &[]));
    w.until("half of it", |w| w.ground.effects.len() >= 4);
    w.restart = None;
    w.kill_runner(0);
    w.pass(seconds(16 * 60));
    let before = w.ground.effects.len();
    w.start_runner(0);
    w.pass(seconds(60));
    assert_eq!(w.view(0, run).state, RunState::Held);
    assert_eq!(w.ground.effects.len(), before, "nothing begins while it is held");
    let reply = w.ask_runner(0, "it may go on", Op::Resume { run: run.to_string() });
    assert!(matches!(reply, OpReply::Recorded { .. }), "{reply:?}");
    assert_eq!(w.until_ended(run), RunState::Completed);
    w.finish("cfg");
    w.clean();
}

/// The slot of the way back is under way when the sequences fail. It is awaited, and a person is asked when that takes
/// long; but nobody has to say a word once it is known, since nobody is served until the first site is open again.
#[test]
fn a_back_out_goes_on_by_itself_when_what_it_waited_for_is_known() {
    for restarted in [false, true] {
        let mut w = ready(whole());
        let css = address("secondary.replication.css");
        w.ground.broken.insert((address("secondary.replication.csp"), Action::SetSequences));
        let of = css.clone();
        w.tap("slot", Then::Hold, move |e| match e {
            Event::Ask { verb: Verb::Act(Action::Capture) | Verb::Outcome, address, .. } => *address == of,
            _ => false,
        });
        let run = w.start(0, start_of("switchover", &[]));
        w.until("a person is asked", |w| w.view(0, run).state == RunState::Held);
        let words = w.view(0, run).waits_for.join(" ");
        assert!(words.contains("is in doubt"), "{words}");
        w.pass(seconds(20));
        assert!(!w.ground.is_open(&address("main.database.config")), "it goes on only when it is known");
        if restarted {
            w.kill_runner(0);
            w.pass(seconds(2));
        }

        w.release("slot");
        assert_eq!(w.until_ended(run), RunState::BackedOut, "restarted: {restarted}");
        assert!(w.ground.is_open(&address("main.database.config")));
        assert!(w.ground.state(&css)["slot"] != true, "{}", w.ground.state(&css));
        w.ground.broken.clear();
        w.finish("cfg");
        w.clean();
    }
}

/// The slot is being made when the sequences fail, and its service says so each time that it is asked: nobody could do
/// more than wait for it. Only past the slot's own bound a person is asked.
#[test]
fn a_back_out_asks_nobody_while_what_it_waits_for_is_in_progress_within_its_bound() {
    for ends in [Duration::from_millis(8500), seconds(30)] {
        let mut w = ready(whole());
        w.ground.broken.insert((address("secondary.replication.csp"), Action::SetSequences));
        w.tap("sequences", Then::Hold, |e| e.asks("secondary", Action::SetSequences));
        let run = w.start(0, start_of("switchover", &[]));
        w.until("the sequences are asked for", |w| w.holds("sequences") == 1);
        w.stop_at = Some(("secondary".into(), Point::Checked));
        w.until("the slot is being made", |w| w.holds("stopped") == 1);
        w.stop_at = None;
        let since = w.now;
        w.release("sequences");
        let mut asked = None;
        while w.now - since < ends && asked.is_none() {
            w.pass(Duration::from_millis(250));
            asked = (w.view(0, run).state == RunState::Held).then(|| w.now - since);
        }
        // It has 10 s, and 3 more to be known.
        assert_eq!(asked.is_some(), ends > seconds(10), "after {asked:?}");
        assert!(asked.is_none_or(|after| after > seconds(12)), "after {asked:?}");
        assert!(!w.ground.is_open(&address("main.database.config")));
        w.release("stopped");
        assert_eq!(w.until_ended(run), RunState::BackedOut);
        assert!(w.ground.state(&address("secondary.replication.css"))["slot"] != true);
        w.ground.broken.clear();
        w.finish("cfg");
        w.clean();
    }
}

/// What it waited for is known, and that is no word of the person for whom a run waits that lay idle (law 10).
#[test]
fn a_back_out_that_lay_idle_waits_for_a_person_although_its_doubt_is_settled() {
    let mut w = ready(whole());
    let css = address("secondary.replication.css");
    w.ground.broken.insert((address("secondary.replication.csp"), Action::SetSequences));
    w.tap("slot", Then::Hold, move |e| match e {
        Event::Ask { verb: Verb::Act(Action::Capture) | Verb::Outcome, address, .. } => *address == css,
        _ => false,
    });
    let run = w.start(0, start_of("switchover", &[]));
    w.until("a person is asked", |w| w.view(0, run).state == RunState::Held);
    w.restart = None;
    w.kill_runner(0);
    w.pass(seconds(16 * 60));
    w.start_runner(0);
    w.pass(seconds(20));
    let words = w.view(0, run).waits_for.join(" ");
    assert!(words.contains("idle") && words.contains("to say what became of it"), "{words}");

    w.release("slot");
    w.pass(seconds(60));
    let view = w.view(0, run);
    assert_eq!(view.state, RunState::Held, "{view:#?}");
    assert!(!w.ground.is_open(&address("main.database.config")), "nothing begins while it is held");
    w.ask_runner(0, "it may go on", Op::Resume { run: run.to_string() });
    assert_eq!(w.until_ended(run), RunState::BackedOut);
    assert!(w.ground.is_open(&address("main.database.config")));
    w.ground.broken.clear();
    w.finish("cfg");
    w.clean();
}

/// It is asked again every two seconds, and what it waits for is told anew each time; a person is told once.
#[test]
fn a_doubt_pages_once_however_long_nobody_listens() {
    let mut w = ready(crate::common::with("notify: { held: /page }\n"));
    w.ground.broken.insert((address("secondary.replication.csp"), Action::SetSequences));
    w.tap("slot", Then::Hold, |e| match e {
        Event::Ask { verb: Verb::Act(Action::Capture) | Verb::Outcome, address, .. } => {
            address.to_string() == "secondary.replication.css"
        }
        _ => false,
    });
    let run = w.start(0, start_of("switchover", &[]));
    w.until("a person is asked", |w| w.view(0, run).state == RunState::Held);
    w.restart = None;
    w.kill_runner(0);
    w.pass(seconds(16 * 60));
    // Held for something else too, which the doubt does not replace.
    w.untap("slot");
    w.kill_host_for_good("secondary");
    w.start_runner(0);
    w.pass(seconds(30));
    let words = w.view(0, run).waits_for.join(" ");
    assert!(words.contains("idle"), "{words}");
    let told = w.record(0, "cfg").last_notice;
    assert!(told > 1, "the hold, and the doubt");
    w.pass(seconds(60));
    assert_eq!(w.record(0, "cfg").last_notice, told);
    w.clean();
}

/// A step that fails leaves the world as it was, and so what was owed of it.
#[test]
fn a_close_that_is_owed_outlives_a_step_that_fails_to_close() {
    let a = address("a.database.config");
    let mut w = ready(pair());
    w.ground.broken.insert((a.clone(), Action::DisableAccess));
    w.kill_host_for_good("a");
    let run = w.start(0, World::start_op("move-lost", "cfg", None));
    let owed = |w: &World| w.record(0, "cfg").debts.values().any(|debt| debt.owed.address == a);
    w.until("its close is owed", |w| owed(w));
    // A planned one, which owes nothing that it could not do.
    let second = w.supersede(0, run, "close", "b", &[]);
    w.start_host("a");
    w.until("it failed", |w| w.view(0, second).state == RunState::Held);
    w.ask_runner(0, "not today", Op::Cancel { run: second.to_string(), leave: true });
    assert_eq!(w.until_ended(second), RunState::Cancelled);
    assert!(owed(&w) && w.ground.is_open(&a), "{:?}", w.record(0, "cfg").debts);
    w.ground.broken.clear();
    w.until("it is paid", |w| !owed(w));
    assert!(!w.ground.is_open(&a));
    w.finish("cfg");
    w.clean();
}

/// Killed while it ends what is under way, the runner settles that before it undoes anything.
#[test]
fn a_back_out_that_is_taken_up_again_undoes_what_was_under_way() {
    let mut w = ready(whole());
    w.tap("stop", Then::Hold, |e| {
        e.answers("main", Action::StopProcess) || e.answers_verb("main", Verb::Outcome)
    });
    let run = w.start(0, start_of("switchover", &[]));
    w.until("a process is stopped", |w| w.holds("stop") > 0);
    w.ask_runner(0, "not today", Op::Cancel { run: run.to_string(), leave: false });
    w.kill_runner(0);
    w.untap("stop");
    assert_eq!(w.until_ended(run), RunState::BackedOut);
    for process in ["main.process.scs-msg", "main.process.cs-primary"] {
        assert_eq!(w.ground.state(&address(process)), "running", "{process}");
    }
    assert!(w.record(0, "cfg").doubts.is_empty());
    w.finish("cfg");
    w.clean();
}

#[test]
fn the_same_script_gives_the_same_history() {
    let play = || {
        let mut w = ready(whole());
        w.kill_host_for_good("main");
        let run = w.start(0, start_of("failover", &["main"]));
        w.until_ended(run);
        w.finish("cfg");
        (w.trace.join("\n"), w.runners[0].medium.log())
    };
    assert!(play() == play());
}
