//! Programs that work on the database of one site: they follow where it can be had, and what could not be asked is owed.

use std::time::Duration;

use schemas::op::{Op, OpReply};
use schemas::view::{GroupView, RunState};
use schemas::{Action, Verb};
use simulation::{Event, Then, World, address};

use crate::common::{logging, ready, start_of};

const SITES: [&str; 2] = ["main", "secondary"];

fn at(w: &World, site: &str) -> String {
    let state = w.ground.state(&address(&format!("{site}.process.log-msg")));
    state["pointsAt"].as_str().unwrap().to_owned()
}

/// Where they work: main's, then the secondary's.
fn both(w: &World) -> [String; 2] {
    SITES.map(|site| at(w, site))
}

fn status(w: &mut World) -> GroupView {
    match w.ask_runner(0, "", Op::Status { group: None }) {
        OpReply::Groups(mut groups) => groups.remove(0),
        other => w.fail(&format!("{other:?}")),
    }
}

/// How often a site's was told so far where to work.
fn told(w: &World, site: &str) -> usize {
    let program = address(&format!("{site}.process.log-msg"));
    let of = |e: &&simulation::Effected| e.address == program && e.action == Action::PointProcess;
    w.ground.effects.iter().filter(of).count()
}

fn goes(w: &mut World, workflow: &str, accepted: &[&str]) {
    let run = w.start(0, start_of(workflow, accepted));
    assert_eq!(w.until_ended(run), RunState::Completed, "{workflow}");
    w.pass(Duration::from_secs(3));
}

#[test]
fn those_of_a_lost_site_are_owed_and_pointed_when_it_is_back() {
    let mut w = ready(logging());
    w.kill_host_for_good("main");
    goes(&mut w, "failover", &["main"]);
    assert_eq!(both(&w), ["main", "secondary"]);
    let owes = |view: &GroupView| {
        let program = address("main.process.log-msg");
        view.debts.iter().filter(|d| d.what == "process.point" && d.address == program).count()
    };
    assert_eq!(owes(&status(&mut w)), 1);
    // A runner that is killed knows it still.
    w.kill_runner(0);
    w.pass(Duration::from_secs(3));
    assert_eq!(owes(&status(&mut w)), 1);
    w.heal();
    w.until("everything is paid", |w| w.record(0, "cfg").debts.is_empty());
    assert_eq!(both(&w), ["secondary", "secondary"]);
    assert_eq!((told(&w, "main"), told(&w, "secondary")), (1, 1));
    w.finish("cfg");
    w.clean();
}

#[test]
fn they_are_home_again_with_main_and_a_planned_move_leaves_them_alone() {
    let mut w = ready(logging());
    goes(&mut w, "switchover", &[]);
    assert_eq!(both(&w), ["main", "main"], "main's log database is open");
    goes(&mut w, "failback", &[]);
    assert_eq!((told(&w, "main"), told(&w, "secondary")), (0, 0), "they worked there already");

    // A site that an unplanned move leaves counts as lost, whether it answers or not.
    goes(&mut w, "failover", &[]);
    assert_eq!(both(&w), ["secondary", "secondary"]);
    goes(&mut w, "reprotect", &[]);
    assert_eq!(both(&w), ["secondary", "secondary"]);
    goes(&mut w, "failback", &[]);
    assert_eq!(both(&w), ["main", "main"]);
    assert_eq!((told(&w, "main"), told(&w, "secondary")), (2, 2));
    w.finish("cfg");
    w.clean();
}

/// One that nobody hears from keeps neither the opening nor the names waiting, nor does its doubt.
#[test]
fn nobody_waits_for_a_program_that_does_not_answer() {
    let mut w = ready(logging());
    let program = address("secondary.process.log-msg");
    w.tap("point", Then::Hold, move |e| match e {
        Event::Ask { verb: Verb::Act(Action::PointProcess) | Verb::Outcome, address, .. } => {
            *address == program
        }
        _ => false,
    });
    w.kill_host_for_good("main");
    let run = w.start(0, start_of("failover", &["main"]));
    w.until("the script is asked for", |w| w.holds("point") > 0);
    assert!(w.ground.is_open(&address("secondary.database.config")));
    let name = w.ground.state(&address("witness.dns.cs-primary")).clone();
    assert_eq!(name, "secondary", "the name has moved before");
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert_eq!(at(&w, "secondary"), "main");
    let owed = status(&mut w).debts.into_iter().find(|debt| debt.address.site.as_str() == "secondary");
    assert_eq!(owed.unwrap().what, "process.point");
    w.release("point");
    w.heal();
    w.until("everything is paid", |w| w.record(0, "cfg").debts.is_empty());
    assert_eq!(both(&w), ["secondary", "secondary"]);
    assert_eq!(told(&w, "secondary"), 1);
    w.finish("cfg");
    w.clean();
}
