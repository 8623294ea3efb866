//! A person moved the group while Pointsman was stopped: the journal is what is wrong, and nothing may advise to go by it.

use schemas::op::{Op, OpReply};
use schemas::view::Mode;
use schemas::{CheckLine, Level, Running, Seen};
use serde_json::json;

use crate::common::{World, process};

const ADOPT: &str = "if that was meant: pointsman adopt cfg --live secondary --why …";
const SEEN: &str = "main counts as live, and is closed; secondary was opened by other hands than Pointsman's";

/// Main is live by the journal, and everything is at the secondary.
fn moved() -> World {
    let mut world = World::new();
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    world.state.insert("main.database.config".into(), json!("closed"));
    world.state.insert("secondary.database.config".into(), json!("open"));
    for (site, running) in [("main", Running::Stopped), ("secondary", Running::Healthy)] {
        world.seen.insert(format!("{site}.process.cs-primary"), Seen::Process(process(running, None)));
    }
    world.run_until(|w| w.group().sentence.contains("opened by other hands"));
    world
}

fn lines(world: &mut World) -> Vec<(String, CheckLine)> {
    let OpReply::Checks(mut checks) = world.op("", Op::Check { group: None }) else { panic!("no checks") };
    checks.remove(0).lines.into_iter().map(|line| (line.name, line.line)).collect()
}

#[test]
fn a_site_that_was_opened_by_hand_is_offered_for_adoption() {
    let mut world = moved();
    let group = world.group();
    // Users may write at the secondary: nobody knows that they can only read.
    assert_eq!((group.mode, group.limited_since), (Mode::Unknown, None));
    assert_eq!(group.sentence, format!("{SEEN}; {ADOPT}"));
    world.pass(60);
    assert!(!world.entries.iter().any(|entry| entry.kind == "group.limited"), "{:?}", world.entries);

    world.adopt("secondary");
    let group = world.group();
    assert_eq!(group.mode, Mode::FailedOver, "{}", group.sentence);
    assert!(!lines(&mut world).iter().any(|(_, line)| line.remedy.as_deref() == Some(ADOPT)));
}

#[test]
fn no_line_of_check_closes_stops_or_starts_what_the_journal_has_elsewhere() {
    let mut world = moved();
    let lines = lines(&mut world);
    for (name, level) in [
        ("secondary.database.config:closed", Level::Red),
        ("main.database.config:open", Level::Amber),
        ("secondary.process.cs-primary:dormant", Level::Red),
        ("main.process.cs-primary:runs", Level::Amber),
        ("cfg:protected", Level::Amber),
    ] {
        let found = lines.iter().find(|(line, _)| line == name);
        let (_, line) = found.unwrap_or_else(|| panic!("{name}: {lines:?}"));
        assert_eq!((line.level, line.remedy.as_deref()), (level, Some(ADOPT)), "{name}: {line:?}");
        assert!(line.text.contains(SEEN), "{name}: {line:?}");
    }
}
