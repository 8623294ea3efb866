//! Somebody undoes a step by hand while its run is held: the world is shown against the journal.

use schemas::Action;
use schemas::op::{Op, OpReply};
use schemas::view::{RunState, RunView, StepNow, StepState};
use simulation::{World, address};

use crate::common::{ready, start_of, whole};

/// The run as `status` shows it, for which every resource is looked at.
fn status(w: &mut World) -> RunView {
    match w.ask_runner(0, "", Op::Status { group: None }) {
        OpReply::Groups(mut groups) => *groups.remove(0).run.unwrap(),
        other => w.fail(&format!("{other:?}")),
    }
}

fn now(view: &RunView, name: &str) -> StepNow {
    let step = view.steps.iter().rfind(|step| step.name == name).unwrap_or_else(|| panic!("{view:#?}"));
    step.now.clone().unwrap_or_else(|| panic!("{step:#?}"))
}

/// The steps that are not as the journal says.
fn contradicted(view: &RunView) -> Vec<&str> {
    let steps = view.steps.iter().filter(|step| step.now.as_ref().is_some_and(|now| !now.agrees));
    steps.map(|step| step.name.as_str()).collect()
}

#[test]
fn what_was_undone_by_hand_is_shown_against_the_journal() {
    let mut w = ready(whole());
    let (database, process) = (address("secondary.database.config"), address("secondary.process.cs-primary"));
    w.ground.broken.insert((address("witness.dns.cs-primary"), Action::Point));
    let run = w.start(0, start_of("failover", &[]));
    w.until("it is held at a name", |w| w.view(0, run).state == RunState::Held);
    let view = status(&mut w);
    assert_eq!(contradicted(&view), Vec::<&str>::new());
    for (name, seen) in [
        ("close config@main", "closed"),
        ("stop csp@secondary", "stopped"),
        ("capture css@secondary", "running"),
        ("open config@secondary", "open"),
        ("start cs-primary@secondary", "running"),
    ] {
        assert_eq!(now(&view, name).seen, seen, "{name}");
    }
    // Of two stops of the same process the later one tells.
    let stops = view.steps.iter().filter(|step| step.name == "stop cs-primary@main");
    let told: Vec<bool> = stops.map(|step| step.now.is_some()).collect();
    assert_eq!(told, [false, true]);

    // A person helps himself.
    w.ground.states.insert(database.clone(), "closed".into());
    w.ground.states.insert(process.clone(), "stopped".into());
    let view = status(&mut w);
    assert_eq!(contradicted(&view), ["open config@secondary", "start cs-primary@secondary"]);
    let open = now(&view, "open config@secondary");
    assert_eq!((open.seen.as_str(), open.journal.as_str(), open.by), ("closed", "open", database.clone()));
    // `show` goes by what was seen last, and says how long ago that was.
    w.pass(std::time::Duration::from_secs(1));
    let shown = w.view(0, run);
    assert_eq!(contradicted(&shown), contradicted(&view));
    let stopped = now(&shown, "start cs-primary@secondary");
    assert!(stopped.age.0 >= std::time::Duration::from_secs(1), "{stopped:?}");

    w.ground.states.insert(database, "open".into());
    w.ground.states.insert(process, "running".into());
    w.ground.broken.clear();
    let failed = shown.steps.iter().rfind(|step| step.state == StepState::Failed).unwrap().number;
    let retry = Op::Retry { run: run.to_string(), step: failed.to_string(), fresh: false };
    assert!(matches!(w.ask_runner(0, "its server is back", retry), OpReply::Recorded { .. }));
    assert_eq!(w.until_ended(run), RunState::Completed);
    assert!(w.view(0, run).steps.iter().all(|step| step.now.is_none()), "of a run that has ended");
    w.finish("cfg");
    // No invariant is asked of it: a person closed and opened a database past the run.
}
