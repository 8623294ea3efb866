//! What a person declares: durable, shown, and starting nothing; no trigger passes it, and no way home that it forbids.

use std::time::Duration;

use schemas::op::{Op, OpReply, ProtectBy};
use schemas::view::RunState;
use schemas::{Code, Declaration};
use simulation::{Lost, World, address};

use crate::common::{group, ready, refused, reported_lost, start_of, triggered, whole};

fn declare(w: &mut World, what: Declaration, site: Option<&str>) -> OpReply {
    let site = site.map(simulation::site);
    w.ask_runner(0, "seen on camera", Op::Declare { group: "cfg".parse().unwrap(), what, site })
}

fn declared(w: &mut World, what: Declaration, site: Option<&str>) -> String {
    match declare(w, what, site) {
        OpReply::Recorded { what, .. } => what,
        other => w.fail(&format!("{other:?}")),
    }
}

fn verdict(w: &World) -> String {
    w.record(0, "cfg").decisions.last().map_or(String::new(), |decision| decision.verdict.clone())
}

/// Only the link is lost, and the prober stands on the wrong side of it.
#[test]
fn a_declared_disconnect_starts_nothing_until_somebody_says_that_it_is_over() {
    let mut w = ready(triggered("auto", "{ accepted_by: ops, why: one place only, until: 2030-01-01 }"));
    let said = declared(&mut w, Declaration::Disconnect, None);
    assert!(said.contains("no trigger starts anything"), "{said}");
    assert_eq!(verdict(&w), "declared: disconnect");
    reported_lost(&mut w, "main", 1);
    w.pass(Duration::from_secs(30));
    let nothing = "nothing: anna declared that only the link is lost: seen on camera";
    assert_eq!(verdict(&w), nothing);
    // Nor does the runner's next life.
    w.kill_runner(0);
    w.pass(Duration::from_secs(3));
    reported_lost(&mut w, "main", 2);
    w.pass(Duration::from_secs(30));
    assert_eq!(verdict(&w), nothing);
    assert!(w.record(0, "cfg").active.is_none() && w.record(0, "cfg").epoch.0 == 1);
    let view = group(&mut w);
    let seen = view.declared.unwrap();
    assert_eq!((seen.what, seen.site, seen.who.person.as_str()), (Declaration::Disconnect, None, "anna"));
    assert!(seen.sentence.contains("pointsman declare over cfg"), "{}", seen.sentence);
    assert!(view.trigger.contains("a disconnect is declared"), "{}", view.trigger);
    assert!(view.loss.is_some(), "what would be lost now stands beside it");

    // It is over, and main is still reported lost: with the whole hold-down, as at first.
    declared(&mut w, Declaration::Over, None);
    assert!(group(&mut w).declared.is_none());
    reported_lost(&mut w, "main", 3);
    w.pass(Duration::from_secs(5));
    assert!(w.record(0, "cfg").active.is_none(), "{}", verdict(&w));
    w.until("a run", |w| w.record(0, "cfg").active.is_some());
    let run = w.record(0, "cfg").active.unwrap();
    assert_eq!(w.until_ended(run), RunState::Completed);
    w.finish("cfg");
    w.clean();
}

/// A question that waits is not answered past it either.
#[test]
fn what_waits_to_be_approved_waits_while_a_disconnect_is_declared() {
    let mut w = ready(triggered("ask", "refused"));
    reported_lost(&mut w, "main", 1);
    w.until("a question", |w| w.record(0, "cfg").asked.is_some());
    declared(&mut w, Declaration::Disconnect, None);
    let approve = || Op::Approve { decision: "cfg".into() };
    assert_eq!(refused(&mut w, approve()).code, Code::Declared);
    declared(&mut w, Declaration::Over, None);
    let run = w.start(0, approve());
    assert_eq!(w.until_ended(run), RunState::Completed);
    w.finish("cfg");
    w.clean();
}

#[test]
fn an_outage_names_the_failover_and_the_way_home_and_starts_neither() {
    let mut w = ready(whole());
    // Both are heard: which one is meant?
    let declare_it = Op::Declare { group: "cfg".parse().unwrap(), what: Declaration::Outage, site: None };
    let problem = refused(&mut w, declare_it);
    assert_eq!(problem.code, Code::Malformed);
    assert!(problem.to_string().contains("--site main or --site secondary"), "{problem}");
    let (id, site) = ("cfg".parse().unwrap(), Some("moon".parse().unwrap()));
    let moon = Op::Declare { group: id, what: Declaration::Outage, site };
    let problem = refused(&mut w, moon).to_string();
    assert!(problem.contains("`moon` is no site of `cfg`, which has main and secondary"), "{problem}");
    w.kill_host_for_good("main");
    w.pass(Duration::from_secs(10));
    let said = declared(&mut w, Declaration::Outage, None);
    for part in ["outage of main", "pointsman failover cfg --to secondary", "by catch-up", "else by copy"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    w.pass(Duration::from_secs(60));
    assert!(w.record(0, "cfg").active.is_none(), "it starts nothing");
    let mut look = start_of("failover", &["main"]);
    if let Op::Start { dry_run, .. } = &mut look {
        *dry_run = true;
    }
    let OpReply::Preview(preview) = w.ask_runner(0, "", look) else { panic!("no preview") };
    let fact = preview.facts.iter().find(|fact| fact.label == "declared").unwrap();
    assert_eq!(fact.verdict.as_deref(), Some("OUTAGE"), "{fact:?}");

    let run = w.start(0, start_of("failover", &["main"]));
    assert_eq!(w.until_ended(run), RunState::Completed);
    let view = group(&mut w);
    let sentence = view.declared.unwrap().sentence;
    assert!(!sentence.contains("failover"), "{sentence}");
    for part in ["is kept for it (a slot)", "pointsman reprotect cfg --by copy", "owed there stay owed"] {
        assert!(sentence.contains(part), "{part}: {sentence}");
    }
    assert!(view.debts.iter().all(|debt| !debt.gone));
    // It will not return after all: what is owed there stays owed, and says so.
    let owed = view.debts.len();
    declared(&mut w, Declaration::Disaster, Some("main"));
    let debts = group(&mut w).debts;
    assert!(owed > 0 && debts.len() == owed, "{debts:#?}");
    assert!(debts.iter().all(|debt| debt.gone == (debt.address.site.as_str() == "main")), "{debts:#?}");
    w.finish("cfg");
    let problem = refused(
        &mut w,
        Op::Declare {
            group: "cfg".parse().unwrap(),
            what: Declaration::Over,
            site: Some(simulation::site("main")),
        },
    );
    assert_eq!(problem.code, Code::Malformed);
    declared(&mut w, Declaration::Over, None);
    assert!(
        matches!(declare(&mut w, Declaration::Over, None), OpReply::Problem(p) if p.code == Code::Conflict)
    );
    w.clean();
}

/// It left nothing behind, and would be caught up with; but what stands there now is another one.
#[test]
fn of_a_site_that_is_declared_gone_nothing_is_caught_up_with() {
    let mut w = ready(whole());
    let run = w.start(0, start_of("failover", &[]));
    assert_eq!(w.until_ended(run), RunState::Completed);
    w.kill_host_for_good("main");
    w.pass(Duration::from_secs(10));
    let said = declared(&mut w, Declaration::Disaster, None);
    assert!(said.contains("disaster of main") && said.contains("by copy only"), "{said}");
    let problem = refused(&mut w, start_of("reprotect", &[]));
    assert_eq!(problem.code, Code::Declared);
    assert!(
        problem.to_string().contains("--by copy") && problem.to_string().contains("declare over"),
        "{problem}"
    );
    let view = group(&mut w);
    assert!(view.sentence.contains("--by copy"), "{}", view.sentence);

    w.heal();
    w.pass(Duration::from_secs(5));
    w.ground.states.insert(address("main.replication.csp"), serde_json::json!({ "slot": true }));
    let mut copy = start_of("reprotect", &[]);
    if let Op::Start { by, .. } = &mut copy {
        *by = Some(ProtectBy::Copy);
    }
    let run = w.start(0, copy);
    assert_eq!(w.until_ended(run), RunState::Completed);
    // What stands there now is no longer what was gone.
    assert!(group(&mut w).declared.is_none());
    assert_eq!(verdict(&w), "declared: over");
    let event = w.record(0, "cfg").decisions.last().unwrap().event.clone();
    assert!(event.contains("main stands anew, by a copy"), "{event}");
    let run = w.start(0, start_of("failback", &[]));
    assert_eq!(w.until_ended(run), RunState::Completed);
    w.finish("cfg");
    w.clean();
}

/// Nobody is sent the way home while he is on it, or when it is behind him.
#[test]
fn an_outage_says_that_its_site_is_brought_up_to_date_and_then_that_it_is() {
    let sentence = |w: &mut World| group(w).declared.unwrap().sentence;
    let mut w = ready(whole());
    w.kill_host("main", Lost::Process);
    w.restart = None;
    let run = w.start(0, start_of("failover", &["main"]));
    assert_eq!(w.until_ended(run), RunState::Completed);
    let said = declared(&mut w, Declaration::Outage, Some("main"));
    assert!(said.contains("pointsman reprotect cfg --by copy"), "{said}");
    w.heal();
    w.until("the close is paid", |w| w.record(0, "cfg").debts.is_empty());
    w.ground.states.insert(address("main.replication.csp"), serde_json::json!({ "slot": true }));

    let mut copy = start_of("reprotect", &[]);
    if let Op::Start { by, .. } = &mut copy {
        *by = Some(ProtectBy::Copy);
    }
    let run = w.start(0, copy);
    let said = sentence(&mut w);
    let watch = format!("main is brought up to date (by copy): pointsman watch {}", run.short(4));
    assert!(said.contains(&watch) && !said.contains("reprotect"), "{said}");
    assert_eq!(w.until_ended(run), RunState::Completed);
    w.pass(Duration::from_secs(3));
    let said = sentence(&mut w);
    assert!(said.contains("main receives again what is written at secondary (by copy)"), "{said}");
    assert!(said.contains("pointsman declare over cfg") && !said.contains("reprotect"), "{said}");
    declared(&mut w, Declaration::Over, None);
    w.finish("cfg");
    w.clean();
}
