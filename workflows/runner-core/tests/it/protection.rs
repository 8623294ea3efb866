//! What is told of a group that nobody follows: the reason, and the command.

use schemas::op::{Op, OpReply};
use schemas::view::Mode;
use schemas::{Aside, CheckLine, Declaration, Level, ReplicationSeen, ReplicationState, Seen};

use crate::common::{World, receiver};

fn line(world: &mut World) -> CheckLine {
    let OpReply::Checks(checks) = world.op("", Op::Check { group: None }) else { panic!("no checks") };
    let found = checks[0].lines.iter().find(|line| line.name == "cfg:protected");
    found.unwrap_or_else(|| panic!("{checks:?}")).line.clone()
}

fn receives(world: &mut World, state: ReplicationState) {
    let seen = ReplicationSeen { state, ..receiver() };
    world.seen.insert("secondary.replication.csp".into(), Seen::Replication(seen));
}

/// Nothing is known of how the secondary was left: it was adopted beside a live main.
#[test]
fn a_standby_that_does_not_receive_after_an_adoption_is_told_with_the_command() {
    let mut world = World::new();
    world.adopt("main");
    // No slot of its own tells what only it has.
    let copy = "pointsman reprotect cfg --by copy --why … (where it can save nothing it stops and says so: then the same \
                with --waive-ledger)";
    let later = format!("if it does not come back: {copy}");
    for (state, why, remedy) in [
        (None, "csp is not seen to run at secondary", later.as_str()),
        (Some(ReplicationState::Stopped), "csp does not run at secondary", copy),
    ] {
        if let Some(state) = state {
            receives(&mut world, state);
        }
        let group = world.group();
        assert_eq!(group.mode, Mode::Normal);
        assert_eq!(group.sentence, format!("main is live, unprotected: {why}; {remedy}"));
        let line = line(&mut world);
        assert_eq!(line.level, Level::Amber);
        assert_eq!(line.text, format!("secondary does not follow main ({why})"));
        assert_eq!(line.remedy.as_deref(), Some(remedy));
    }
    // A copy beside what an earlier one laid aside would be refused.
    let aside = Some(Box::new(Aside { tables: 3, ..Aside::default() }));
    let kept = ReplicationSeen { state: ReplicationState::Stopped, aside, ..receiver() };
    world.seen.insert("secondary.replication.csp".into(), Seen::Replication(kept));
    let first = "pointsman cleanup cfg --why …, when nobody needs what an earlier copy laid aside at secondary; it was \
                 exported to no ledger: nobody else has it, and then ";
    let group = world.group();
    assert_eq!(
        group.sentence,
        format!("main is live, unprotected: csp does not run at secondary; {first}{copy}")
    );
    receives(&mut world, ReplicationState::Running);
    assert_eq!(world.group().sentence, "main is live, protected");
    assert_eq!(line(&mut world).level, Level::Green);
}

/// It was left by a failover: what only it has is saved first, unless it was declared gone.
#[test]
fn a_copy_of_a_site_that_was_left_saves_what_only_it_has() {
    let mut world = World::new();
    world.adopt("main");
    world.silence("main");
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    let said = world.group().sentence;
    assert!(said.contains("--by copy --why … (it saves first what only main has)"), "{said}");

    let (group, site) = ("cfg".parse().unwrap(), Some("main".parse().unwrap()));
    let declare = Op::Declare { group, what: Declaration::Disaster, site };
    assert!(matches!(world.op("burnt", declare), OpReply::Recorded { .. }));
    let said = world.group().sentence;
    assert!(!said.contains("saves first") && said.contains("--waive-ledger"), "{said}");
}
