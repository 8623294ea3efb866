//! A person moved the group while Pointsman was stopped: the journal is what is wrong, and nothing may advise to go by it.

use schemas::op::{Op, OpReply};
use schemas::view::Mode;
use schemas::{Access, CheckLine, DatabaseSeen, Level, Role, Running, Seen};
use serde_json::{Value, json};

use crate::common::{GROUP, World, process};

const ADOPT: &str = "if that was meant: pointsman adopt cfg --live secondary --why …";
const SEEN: &str = "main counts as live, and is closed; secondary is open, and no run left it so";

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
    world.run_until(|w| w.group().sentence.contains("no run left it so"));
    world
}

fn lines(world: &mut World) -> Vec<(String, CheckLine)> {
    let OpReply::Checks(mut checks) = world.op("", Op::Check { group: None }) else { panic!("no checks") };
    checks.remove(0).lines.into_iter().map(|line| (line.name, line.line)).collect()
}

fn found<'l>(lines: &'l [(String, CheckLine)], name: &str) -> &'l CheckLine {
    let found = lines.iter().find(|(line, _)| line == name);
    &found.unwrap_or_else(|| panic!("{name}: {lines:?}")).1
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

/// What is open in part counts as open.
#[test]
fn no_line_of_check_closes_stops_or_starts_what_the_journal_has_elsewhere() {
    for access in [Access::Open, Access::Partly] {
        let mut world = moved();
        let seen = DatabaseSeen { access, role: Role::Live, sessions: 0, epoch: None, detail: Value::Null };
        world.seen.insert("secondary.database.config".into(), Seen::Database(seen));
        let lines = lines(&mut world);
        for (name, level) in [
            ("secondary.database.config:closed", Level::Red),
            ("main.database.config:open", Level::Amber),
            ("secondary.process.cs-primary:dormant", Level::Red),
            ("main.process.cs-primary:runs", Level::Amber),
            ("cfg:protected", Level::Amber),
        ] {
            let line = found(&lines, name);
            assert_eq!((line.level, line.remedy.as_deref()), (level, Some(ADOPT)), "{name}: {line:?}");
            assert!(line.text.contains(SEEN), "{name}: {line:?}");
        }
    }
}

/// The lines of `check` about a site that works beside a live one: the text ends so, and this is the remedy.
fn works_beside(world: &mut World, text: &str, remedy: impl Fn(&str) -> String) {
    let lines = lines(world);
    for (name, done) in
        [("secondary.database.config:closed", "closed"), ("secondary.process.cs-primary:dormant", "stopped")]
    {
        let line = found(&lines, name);
        assert_eq!((line.level, line.remedy.as_deref()), (Level::Red, Some(remedy(done).as_str())), "{name}");
        assert!(line.text.ends_with(text), "{name}: {line:?}");
    }
}

fn look_first(done: &str) -> String {
    format!(
        "main is not seen open: look there before anything is {done} here; if it was moved by hand: pointsman adopt cfg \
         --live secondary --why …"
    )
}

/// Main's programs do not run.
fn main_stands_still(world: &mut World) {
    for name in ["scs-msg", "cs-primary", "cs-backup"] {
        let stopped = Seen::Process(process(Running::Stopped, None));
        world.seen.insert(format!("main.process.{name}"), stopped);
    }
}

/// Where main is not seen and the secondary is open, everything that is told names `adopt`, and nothing what would start main,
/// or close the secondary.
fn nobody_is_sent_back(world: &mut World) {
    let text = "main counts as live, and is not seen; secondary is open, and no run left it so";
    let remedy = "see first that main is closed, or off, and start nothing there; then, if that was meant: pointsman adopt cfg --live \
                  secondary --why …";
    works_beside(world, text, |_| remedy.to_owned());
    let group = world.group();
    assert_eq!((group.mode, group.limited_since), (Mode::Unknown, None), "{}", group.sentence);
    assert!(group.sentence.contains(text) && group.sentence.ends_with(remedy), "{}", group.sentence);
    for (name, line) in lines(world) {
        let remedy = line.remedy.unwrap_or_default();
        let back =
            ["reprotect", "failover", "start it again by hand"].iter().any(|word| remedy.contains(word));
        assert!(!back, "{name}: {remedy}");
    }
}

/// Main's database is dead and its service is not, so that it cannot be looked at.
#[test]
fn a_blind_service_at_the_site_that_was_left_by_hand_hides_nothing() {
    let mut world = World::new();
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    world.state.insert("main.database.config".into(), json!("dead"));
    world.state.insert("secondary.database.config".into(), json!("open"));
    world.seen.insert("secondary.process.cs-primary".into(), Seen::Process(process(Running::Healthy, None)));
    main_stands_still(&mut world);
    world.pass(20);
    nobody_is_sent_back(&mut world);
}

/// Main is dead, the secondary was opened by hand, and this runner has not seen how main was left.
#[test]
fn the_only_site_that_works_is_closed_by_no_line_of_check() {
    let mut world = World::new();
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    let mut world = world.killed(GROUP);
    world.silence("main");
    world.state.insert("secondary.database.config".into(), json!("open"));
    world.seen.insert("secondary.process.cs-primary".into(), Seen::Process(process(Running::Healthy, None)));
    world.pass(20);
    nobody_is_sent_back(&mut world);

    // It is back, and open too.
    world.speak("main");
    world.run_until(|w| w.group().mode == Mode::SplitBrain);
    works_beside(&mut world, "although main is live", |done| {
        let remedy = match done {
            "closed" => "two sites may be written: close it by hand, then look what was written there",
            _ => "stop it, and take away what starts it beside Pointsman",
        };
        remedy.to_owned()
    });
}

/// Main is closed, and one of two databases is open at the secondary.
#[test]
fn half_a_move_by_hand_is_looked_at_before_it_is_taken_back() {
    let more =
        "  more:   { kind: one-live,  replication: { main->secondary: xsp, secondary->main: xss } }\n  log:";
    let mut world = World::with(&GROUP.replace("  log:", more), None);
    world.state.insert("main.database.more".into(), json!("open"));
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    for database in ["config", "more"] {
        world.state.insert(format!("main.database.{database}"), json!("closed"));
    }
    world.state.insert("secondary.database.config".into(), json!("open"));
    world.seen.insert("secondary.process.cs-primary".into(), Seen::Process(process(Running::Healthy, None)));
    world.pass(20);
    works_beside(&mut world, "although main counts as live", look_first);
}

/// What was seen open says little once it is silent: users may write nowhere.
#[test]
fn a_site_that_was_opened_by_hand_and_fell_silent_hides_no_outage() {
    let first = "see first whether secondary is still open, start nothing at main before; if it is: pointsman adopt cfg \
                 --live secondary --why …";
    let mut world = moved();
    world.silence("secondary");
    world.run_until(|w| w.group().sentence.contains("secondary was last seen open at "));
    let group = world.group();
    assert_eq!((group.mode, group.limited_since), (Mode::Unknown, None), "nothing else is known to be lost");
    assert!(group.sentence.ends_with(&format!("and is silent; {first}")), "{}", group.sentence);
    let lines = lines(&mut world);
    let line = found(&lines, "main.database.config:open");
    assert_eq!(line.remedy.as_deref(), Some(first), "{line:?}");

    world.silence("main");
    world.run_until(|w| w.group().mode == Mode::Limited);
    world.pass(20);
    let group = world.group();
    let said = &group.sentence;
    assert!(said.starts_with("main is live and silent, limited since "), "{said}");
    let then = "if it is not: pointsman failover cfg --to secondary --why …";
    assert!(said.contains("last seen open") && said.ends_with(&format!("{first}; {then}")), "{said}");
    assert!(group.limited_since.is_some());
    assert!(world.entries.iter().any(|entry| entry.kind == "group.limited"), "{:?}", world.entries);
}

/// Main is dead, which is recorded; then its programs stay stopped, and the secondary is opened by hand.
#[test]
fn a_move_by_hand_ends_what_was_told_of_users_that_can_only_read() {
    let mut world = World::new();
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    world.state.insert("main.database.config".into(), json!("dead"));
    main_stands_still(&mut world);
    let limited = |w: &World| -> Vec<Value> {
        let all = w.entries.iter().filter(|entry| entry.kind == "group.limited");
        all.map(|entry| json!(entry.body)).collect()
    };
    world.run_until(|w| !limited(w).is_empty());
    world.state.insert("main.database.config".into(), json!("closed"));
    world.state.insert("secondary.database.config".into(), json!("open"));
    world.run_until(|w| w.group().sentence.contains("no run left it so"));
    world.pass(20);
    assert_eq!(limited(&world).len(), 2);
    assert_eq!(limited(&world)[1], json!({ "site": "main" }));
    assert_eq!(world.group().limited_since, None);
}

/// A failover went on beside main by somebody's acceptance; main wakes up open, its close is not paid yet, and nothing of the
/// secondary is heard: that is no move by hand, and main is no site to adopt.
#[test]
fn a_zombie_beside_a_live_site_that_fell_silent_is_not_offered_for_adoption() {
    let mut world = World::new();
    world.adopt("main");
    world.silence("main");
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    world.pass(10);
    world.looks_only.insert("main".into());
    world.state.insert("main.database.config".into(), json!("open"));
    world.silence("secondary");
    world.speak("main");
    world.pass(30);
    let group = world.group();
    assert!(!group.sentence.contains("adopt"), "{}", group.sentence);
    for (name, line) in lines(&mut world) {
        let remedy = line.remedy.unwrap_or_default();
        assert!(!remedy.contains("if that was meant"), "{name}: {remedy}");
    }
}

/// Both sites were open at once; that one of them fell silent does not make the other one a move by hand.
#[test]
fn a_split_of_which_one_side_fell_silent_is_still_one() {
    let mut world = World::new();
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    world.state.insert("secondary.database.config".into(), json!("open"));
    world.run_until(|w| w.entries.iter().any(|entry| entry.kind == "group.split-brain"));
    world.silence("main");
    world.pass(30);
    let group = world.group();
    assert!(!group.sentence.contains("if that was meant"), "{}", group.sentence);
}
