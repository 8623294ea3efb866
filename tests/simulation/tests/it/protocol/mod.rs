//! Each row of the protocol's table, played through the real cores: with all rules nothing breaks; with the row's
//! rule left out, the row's invariant does.

use runner_core::Rule as R;
use schemas::Action;
use service_core::Rule as S;
use simulation::{Point, Scene, Then, World};

use crate::common::{pair, ready};
use traces::*;

mod traces;

/// What is left out.
#[derive(Debug, Clone, Copy)]
enum Out {
    Runner(R),
    Service(S),
    /// A service's rule, and the epoch in the database, which would hide it.
    ServiceAndSecondLine(S),
    /// Something that a person does.
    Person,
}

/// One row.
struct Row {
    without: &'static str,
    out: Out,
    breaks: &'static str,
    /// The trace. It is told whether a person keeps his rule.
    play: fn(&mut World, kept: bool),
}

const ROWS: &[Row] = &[
    Row {
        without: "ending earlier acts before looking",
        out: Out::Service(S::EndEarlier),
        breaks: "I1a",
        play: an_orphan_opens_after_a_look,
    },
    Row {
        without: "the same, across epochs",
        out: Out::Service(S::EndEarlier),
        breaks: "I4",
        play: an_orphan_acts_after_the_new_claim,
    },
    Row {
        without: "the same, within a key",
        out: Out::Service(S::EndEarlier),
        breaks: "I2",
        play: an_orphan_acts_beside_the_next_attempt,
    },
    Row {
        without: "no new intent on a resource with an open key",
        out: Out::Runner(R::OneOpenKey),
        breaks: "I3",
        play: an_old_close_is_heard_of_after_a_new_opening,
    },
    Row {
        without: "the same, late close",
        out: Out::Runner(R::OneOpenKey),
        breaks: "I6",
        play: an_old_close_arrives_after_a_new_opening,
    },
    Row {
        without: "`refused` settles only with `void` (the runner's half)",
        out: Out::Runner(R::RefusedNeedsVoid),
        breaks: "I2",
        play: a_refused_request_comes_twice,
    },
    Row {
        without: "`refused` settles only with `void` (the service's half)",
        out: Out::Service(S::HonestRefusal),
        breaks: "I2",
        play: a_refused_request_comes_twice,
    },
    Row {
        without: "\"no responders\" of every attempt",
        out: Out::Runner(R::EveryAttemptUndelivered),
        breaks: "I2",
        play: the_first_attempt_arrives_after_the_second_had_no_responders,
    },
    Row {
        without: "`stale-epoch`",
        out: Out::Service(S::StaleEpoch),
        breaks: "I2",
        play: a_forgotten_key_is_asked_for,
    },
    Row {
        without: "an acceptance serves one epoch, ends with an opening there",
        out: Out::Runner(R::AcceptanceOneEpoch),
        breaks: "I1a",
        play: an_old_acceptance_is_still_there,
    },
    Row {
        without: "waiting 2 s + the act's bound before an acceptance counts",
        out: Out::Runner(R::AcceptanceWaits),
        breaks: "I1b",
        play: a_yes_in_hand_is_used_after_an_acceptance,
    },
    Row {
        without: "a key that ended applied never acts again",
        out: Out::Service(S::AppliedOnce),
        breaks: "I2",
        play: a_second_attempt_arrives_after_the_key_was_settled,
    },
    Row {
        without: "stopping the old runner before a take-over past a silent site",
        out: Out::Person,
        breaks: "I1b",
        play: the_old_runner_says_yes,
    },
    Row {
        without: "refusing an equal epoch of another run",
        out: Out::ServiceAndSecondLine(S::EqualEpoch),
        breaks: "I1a",
        play: two_journals_have_the_same_epoch,
    },
    Row {
        without: "`outcome` writes `void`",
        out: Out::Service(S::Void),
        breaks: "I2",
        play: a_request_arrives_after_its_key_was_settled,
    },
    Row {
        without: "confirmation before an opening",
        out: Out::Service(S::Confirm),
        breaks: "I1b",
        play: an_opening_arrives_after_its_run_was_superseded,
    },
    Row {
        without: "a yes that expires",
        out: Out::Service(S::YesExpires),
        breaks: "I1b",
        play: a_yes_is_used_too_late,
    },
    Row {
        without: "a yes only while pending",
        out: Out::Runner(R::YesWhilePending),
        breaks: "I1b",
        play: an_opening_arrives_after_its_run_was_superseded,
    },
    Row { without: "the gate", out: Out::Runner(R::Gate), breaks: "I1a", play: nobody_closed_a },
    Row { without: "debts", out: Out::Runner(R::Debts), breaks: "I5", play: a_returns_open },
    Row {
        without: "the ledger's id",
        out: Out::Service(S::AdoptedFirst),
        breaks: "I2",
        play: a_ledger_is_lost,
    },
    Row {
        without: "the attempt fence",
        out: Out::Service(S::AttemptFence),
        breaks: "I2",
        play: a_request_arrives_after_its_key_was_settled,
    },
    Row {
        without: "the visit in the key",
        out: Out::Runner(R::Visits),
        breaks: "I3",
        play: a_is_closed_twice,
    },
    Row {
        without: "refusing a lower epoch",
        out: Out::Service(S::LowerEpoch),
        breaks: "I2",
        play: an_old_claim_comes_again,
    },
    Row {
        without: "`started` first",
        out: Out::Service(S::StartedFirst),
        breaks: "I2",
        play: a_service_dies_right_after_its_effect,
    },
];

fn scene(out: Out, kept: bool) -> Scene {
    let mut scene = pair();
    if let Out::ServiceAndSecondLine(_) = out {
        scene.second_line = false;
    }
    match out {
        Out::Runner(rule) if !kept => scene.without_runner(rule),
        Out::Service(rule) | Out::ServiceAndSecondLine(rule) if !kept => scene.without_service(rule),
        _ => scene,
    }
}

#[test]
fn every_row_is_clean_with_its_rule_and_breaks_without_it() {
    let mut wrong = Vec::new();
    let only = std::env::var("POINTSMAN_ROW").unwrap_or_default();
    for row in ROWS.iter().filter(|row| row.without.contains(&only)) {
        let mut w = ready(scene(row.out, true));
        (row.play)(&mut w, true);
        if !w.ghosts.violations.is_empty() {
            wrong.push(format!("{}: not clean with all rules: {:?}", row.without, w.ghosts.violations));
        }
        let mut w = ready(scene(row.out, false));
        (row.play)(&mut w, false);
        let broken: Vec<&str> = w.ghosts.violations.iter().map(|v| v.invariant).collect();
        if !broken.contains(&row.breaks) {
            wrong.push(format!("{}: without it {:?} broke, not {}", row.without, broken, row.breaks));
            if std::env::var_os("POINTSMAN_TRACE").is_some() {
                println!("---- {}\n{}", row.without, w.trace.join("\n"));
            }
        }
    }
    println!("{} rows of the protocol's table were played, each with its rule and without it", ROWS.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The epoch in the database is a second line: none of the rows needs it while earlier acts are ended; without
/// that, an orphan that has not yet compared its epoch is stopped by it.
#[test]
fn the_epoch_in_the_database_is_a_second_line() {
    let play = |end_earlier: bool, second_line: bool| {
        let mut scene = if end_earlier { pair() } else { pair().without_service(S::EndEarlier) };
        scene.second_line = second_line;
        let mut w = ready(scene);
        orphan_of_an_opening(&mut w, Point::Begun);
        w.ghosts.violations.iter().any(|v| v.invariant == "I1a")
    };
    assert!(!play(true, false), "it is not needed while earlier acts are ended");
    assert!(!play(false, true), "it stops what has not compared yet");
    assert!(play(false, false), "without both, two sites open");
}

/// A journal that was set back must not go on in its old epoch. In the real cores this row's trace cannot reach I3
/// with this rule alone left out: the opening of the forgotten intent is `unended` in every look, so no look proves
/// its site closed, and the confirmation is refused. What can be seen is that the run is held.
#[test]
fn a_journal_that_was_set_back_is_held() {
    let play = |scene: Scene| {
        let mut w = ready(scene);
        w.tap("opening", Then::Hold, |e| e.asks("b", Action::EnableAccess));
        let run = w.start(0, World::start_op("move", "cfg", None));
        let old = w.save_journal(0);
        w.until("the opening's intent", |w| w.holds("opening") == 1);
        w.kill_runner(0);
        w.until("another claim, with a later sequence", |w| w.runner_lives(0));
        w.pass(seconds(1));
        w.restore_journal(0, &old);
        w.pass(seconds(3));
        w.clean();
        w.view(0, run).waits_for.iter().any(|why| why.contains("journal-behind"))
    };
    assert!(play(pair()));
    assert!(!play(pair().without_runner(R::JournalBehind)));
}
