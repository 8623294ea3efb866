//! For how long users could only read: from when it was seen, whatever becomes of the runner meanwhile.

use std::time::Duration;

use schemas::view::Mode;
use schemas::{Code, Problem, ProcessSeen, Running, Seen};
use serde_json::{Value, json};

use crate::common::{GROUP, World, process};

fn noted(world: &World) -> Vec<Value> {
    let all = world.entries.iter().filter(|entry| entry.kind == "group.limited");
    all.map(|entry| json!(entry.body)).collect()
}

#[test]
fn it_counts_from_the_silence_over_a_restart_to_the_end_of_the_move() {
    let mut world = World::new();
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    assert_eq!(world.group().limited_since, None);
    let lost = world.now.wall;
    world.silence("main");
    world.run_until(|w| w.group().mode == Mode::Limited);
    let since = world.group().limited_since.unwrap();
    assert!((lost - since).to_std().unwrap_or_default() <= Duration::from_secs(2), "{lost} {since}");
    let later = lost + Duration::from_secs(190);
    world.run_until(|w| w.now.wall > later);
    let group = world.group();
    let clock = since.format("since %Y-%m-%d %H:%MZ");
    let told = format!("main is live and silent, limited {clock}, 3 min: pointsman failover");
    assert!(group.sentence.contains(&told), "{group:?}");
    assert_eq!(group.limited_since, Some(since));
    assert_eq!(noted(&world), [json!({ "site": "main", "since": since })], "once");

    // Its clock outlives the runner, and the move that ends it begins to count there.
    let mut world = world.killed(GROUP);
    world.silence("main");
    let later = world.now.wall + Duration::from_secs(60);
    world.run_until(|w| w.now.wall > later);
    assert_eq!(world.group().limited_since, Some(since));
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    let limited = world.run(run).limited.unwrap();
    assert_eq!(limited.since, since);
    assert!(limited.until.is_some_and(|until| until > later), "{limited:?}");
    let later = world.now.wall + Duration::from_secs(20);
    world.run_until(|w| w.now.wall > later);
    assert_eq!(world.group().limited_since, None);
    assert_eq!(noted(&world), [] as [Value; 0], "the run's end says it");
}

#[test]
fn the_first_seconds_of_a_silence_are_told_before_they_count() {
    let mut world = World::new();
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    assert!(!world.group().sentence.contains("nothing of main"), "{}", world.group().sentence);
    world.silence("main");
    let silent = |w: &mut World| {
        w.group().resources.iter().filter(|r| r.address.site.as_str() == "main").all(|r| r.silent)
    };
    world.run_until(silent);
    let group = world.group();
    assert_eq!(group.mode, Mode::Normal, "an answer may be late");
    let told = "nothing of main answers, heard last ";
    assert!(group.sentence.starts_with(told) && group.sentence.contains("it counts as silent"), "{group:?}");
    assert!(group.sentence.contains("; as last seen: main is live, "), "{group:?}");
    world.run_until(|w| w.group().mode == Mode::Limited);
    assert!(!world.group().sentence.contains(told), "{}", world.group().sentence);
}

#[test]
fn a_live_site_that_is_mended_ends_it() {
    let mut world = World::new();
    world.adopt("main");
    world.run_until(|w| w.group().mode == Mode::Normal);
    world.state.insert("main.database.config".into(), json!("dead"));
    world.run_until(|w| !noted(w).is_empty());
    world.state.insert("main.database.config".into(), json!("open"));
    world.run_until(|w| noted(w).len() > 1);
    assert_eq!(noted(&world)[1], json!({ "site": "main" }));
    assert_eq!(world.group().limited_since, None);
}

fn stopped() -> Seen {
    Seen::Process(process(Running::Stopped, None))
}

/// The servers of the live site are dead, and what runs beside them is not: the proxies know it.
#[test]
fn it_counts_from_the_first_proxy_that_lost_its_server() {
    let lose = |world: &mut World, site: &str| {
        world.state.insert(format!("{site}.process.proxy-a"), json!("unhealthy"));
    };
    let mut world = World::new();
    world.adopt("main");
    world.pass(20);
    assert_eq!(world.group().mode, Mode::Normal);
    for name in ["cs-primary", "cs-backup"] {
        world.seen.insert(format!("main.process.{name}"), stopped());
    }
    assert_eq!(world.group().mode, Mode::Normal, "one part of those that run at main only lives");
    let lost = world.now.wall;
    lose(&mut world, "secondary");
    assert_eq!(world.group().mode, Mode::Normal, "it was looked at once: it may be starting");
    // Nobody asks: the runner looks by itself.
    world.pass(25);
    assert_eq!(noted(&world).len(), 1, "{:?}", noted(&world));
    let group = world.group();
    assert_eq!(group.mode, Mode::Limited);
    let said = &group.sentence;
    assert!(
        said.contains("main is live, and proxy-a@secondary runs and is not healthy, limited since "),
        "{said}"
    );
    assert!(said.contains("start cs-primary, cs-backup at main again"), "{said}");
    assert!(said.contains("pointsman failover cfg --to secondary"), "{said}");
    let since = group.limited_since.unwrap();
    assert!((since - lost).num_seconds() <= 10, "{lost} {since}");

    // A busy host cannot tell, or does not look in time: the clock goes on.
    let one = "secondary.process.proxy-a";
    for cannot_tell in [
        Seen::Process(process(Running::Unknown, None)),
        Seen::Nothing(Problem::new(Code::Failed, "it took longer than 4 s")),
    ] {
        world.seen.insert(one.into(), cannot_tell);
        world.pass(25);
        assert_eq!(world.group().limited_since, Some(since));
    }
    world.seen.remove(one);
    assert_eq!(noted(&world).len(), 1, "it never ended: {:?}", noted(&world));

    // Another one later, and the runner anew: the clock is that of the first.
    world.pass(60);
    lose(&mut world, "main");
    world.pass(30);
    assert_eq!(world.group().limited_since, Some(since));
    let mut world = world.killed(GROUP);
    lose(&mut world, "main");
    lose(&mut world, "secondary");
    world.pass(60);
    assert_eq!(world.group().limited_since, Some(since));
    assert_eq!(noted(&world), [] as [Value; 0], "it never ended");

    // One of them is enough: its users write.
    world.state.insert("secondary.process.proxy-a".into(), json!("healthy"));
    world.run_until(|w| w.group().mode == Mode::Normal);
    world.pass(20);
    assert_eq!(noted(&world), [json!({ "site": "main" })]);
}

/// A look that ends without an answer says nothing, for as long as what was told before counts.
#[test]
fn looks_that_could_not_tell_keep_what_was_told_for_a_while() {
    let one = |site: &str| format!("{site}.process.proxy-a");
    let is = |running| Seen::Process(process(running, None));
    let late = || Seen::Nothing(Problem::new(Code::Failed, "it took longer than 4 s"));
    let limited = |world: &mut World| world.group().mode == Mode::Limited;
    let mut world = World::new();
    world.adopt("main");
    world.seen.insert(one("main"), is(Running::Healthy));
    world.seen.insert(one("secondary"), is(Running::Unhealthy));
    world.pass(30);
    assert!(!limited(&mut world));
    // The healthy copy's host is busy.
    world.seen.insert(one("main"), late());
    world.pass(30);
    assert!(!limited(&mut world), "nobody saw it unwell");
    world.seen.insert(one("main"), is(Running::Unhealthy));
    world.pass(30);
    assert!(limited(&mut world));
    let since = world.group().limited_since;

    // The runner anew, on a busy night: what it has not seen does not end it.
    let mut world = world.killed(GROUP);
    for site in ["main", "secondary"] {
        world.seen.insert(one(site), is(Running::Unknown));
    }
    world.pass(30);
    assert_eq!(noted(&world), [] as [Value; 0]);
    for site in ["main", "secondary"] {
        world.seen.insert(one(site), is(Running::Unhealthy));
    }
    world.pass(30);
    assert_eq!(world.group().limited_since, since);

    // Not for ever.
    for site in ["main", "secondary"] {
        world.seen.insert(one(site), is(Running::Unknown));
    }
    world.pass(60);
    assert_eq!(world.group().limited_since, since);
    world.pass(60);
    assert!(!limited(&mut world));
    assert_eq!(noted(&world), [json!({ "site": "main" })]);
}

/// Its log says why; nobody's writes wait for it, and no run begins to count there.
#[test]
fn one_sick_proxy_beside_a_healthy_copy_is_a_warning() {
    let one = |site: &str| format!("{site}.process.proxy-a");
    let is = |running| Seen::Process(process(running, None));
    let status = |world: &mut World| {
        let group = world.group();
        let told = "proxy-a at secondary runs and is not healthy";
        (group.mode, group.warnings.iter().any(|line| line.contains(told)))
    };
    let mut world = World::new();
    world.seen.insert(one("main"), is(Running::Healthy));
    world.seen.insert(one("secondary"), is(Running::Unhealthy));
    world.adopt("main");
    world.pass(40);
    assert_eq!(status(&mut world), (Mode::Normal, true));
    assert_eq!(noted(&world), [] as [Value; 0]);
    world.seen.insert(one("main"), is(Running::Unhealthy));
    world.pass(40);
    assert_eq!(status(&mut world), (Mode::Limited, false));
    // One of them is enough to end it.
    world.seen.insert(one("main"), is(Running::Healthy));
    world.pass(40);
    assert_eq!(status(&mut world), (Mode::Normal, true));
    assert_eq!(noted(&world).len(), 2, "{:?}", noted(&world));

    // What is being started, or was left behind, tells nothing.
    for between in ["changing", "remains"] {
        let mut world = World::new();
        for site in ["main", "secondary"] {
            let detail = json!({ "running": between });
            let seen = ProcessSeen { detail, ..process(Running::Unhealthy, None) };
            world.seen.insert(one(site), Seen::Process(seen));
        }
        world.adopt("main");
        world.pass(40);
        assert_eq!(world.group().mode, Mode::Normal, "{between}");
    }
}

/// A program with a database of its own site is not served by the live one.
#[test]
fn what_works_on_its_own_sites_database_keeps_nobody_from_writing() {
    let own = GROUP.replace("everywhere: [proxy-a]", "everywhere: [{ log-msg: { database: log@own } }]");
    assert_ne!(own, GROUP);
    let mut world = World::with(&own, None);
    world.adopt("main");
    world.state.insert("secondary.process.log-msg".into(), json!("unhealthy"));
    world.pass(40);
    assert_eq!(world.group().mode, Mode::Normal);
}
