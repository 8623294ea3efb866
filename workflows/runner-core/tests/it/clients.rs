//! How many clients have to follow the names before a move is complete.

use std::time::Duration;

use crate::common::{GROUP, World, process};
use schemas::op::{Op, OpReply};
use schemas::view::RunState;
use schemas::{Running, Seen};

/// A client at a third place too; main's does not count while main is lost.
fn with_branch(done_when: &str) -> String {
    let hosts = "{ host: s2app, site: secondary } ]";
    let more = "{ host: s2app, site: secondary }, { host: s3app, site: branch } ]";
    let group = GROUP.replace(hosts, more).replace("done_when: 90%", &format!("done_when: {done_when}"));
    assert!(group.contains("s3app") && group.contains(done_when));
    group
}

#[test]
fn a_move_waits_until_enough_clients_follow_and_goes_on_by_itself() {
    let mut world = World::with(&with_branch("90%"), None);
    world.adopt("main");
    world.silence("main");
    world.silence("branch");
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).waits_for.iter().any(|wait| wait.contains("clients follow")));
    let wait = world.run(run).waits_for.join(" ");
    assert!(
        wait.contains("2 of 3 clients follow, 90 % are asked for; not yet s3app: pointsman skip"),
        "{wait}"
    );
    assert_eq!(world.run(run).state, RunState::Waiting);
    assert_eq!(world.applied("secondary.database.config.enable-access"), 1);

    world.speak("branch");
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
    assert!(
        world.group().debts.iter().any(|debt| debt.address.resource.as_str() == "s1app"),
        "main's is owed"
    );
}

#[test]
fn a_person_goes_on_without_them() {
    let mut world = World::with(&with_branch("90%"), None);
    world.adopt("main");
    world.silence("main");
    world.silence("branch");
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).waits_for.iter().any(|wait| wait.contains("clients follow")));
    let wait = world.run(run).waits_for.join(" ");
    let words: Vec<&str> = wait.split_once("pointsman skip ").unwrap().1.split(' ').collect();
    let op = Op::Skip { run: words[0].into(), step: words[1].into() };
    let reply = world.op("they are switched off", op);
    assert!(!matches!(reply, OpReply::Problem(_)), "{reply:?}");
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
    assert!(world.group().debts.iter().any(|debt| debt.address.resource.as_str() == "s3app"));
}

#[test]
fn half_of_them_are_enough_where_the_file_says_so() {
    let mut world = World::with(&with_branch("50%"), None);
    world.adopt("main");
    world.silence("main");
    world.silence("branch");
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
    assert!(world.group().debts.iter().any(|debt| debt.address.resource.as_str() == "s3app"));
}

/// No name can be changed, and a person says so: nobody waits for caches, and the files go when the caches follow again.
#[test]
fn hosts_files_are_pushed_and_taken_away_after_names_and_caches() {
    let group = GROUP.replace("caches: []", "caches: [ { host: s2dns, site: secondary } ]");
    let mut world = World::with(&group, None);
    world.adopt("main");
    world.failing.insert("witness.dns.cs-primary.point".into());
    let run = world.start("failover", &["main"]);
    let push = Op::Push { run: run.to_string() };
    world.run_until(|w| w.run(run).state == RunState::Held);
    let words = world.run(run).waits_for.join(" ");
    assert!(words.contains(&format!("pointsman push {} --why", run.short(4))), "{words}");
    let reply = world.op("the DNS server is gone", push.clone());
    assert!(matches!(reply, OpReply::Recorded { .. }), "{reply:?}");
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
    for host in ["main.dns.s1app", "secondary.dns.s2app"] {
        assert_eq!(world.applied(&format!("{host}.push")), 1, "{host}");
    }
    let reply = world.op("once more", push);
    assert!(matches!(reply, OpReply::Problem(_)), "{reply:?}");

    // However long it takes, and however often the name is tried.
    let until = world.now.boot + Duration::from_secs(60);
    world.run_until(|w| w.now.boot >= until);
    let owed = world.group().debts;
    let mut owed: Vec<String> = owed.iter().map(|debt| format!("{} {}", debt.what, debt.address)).collect();
    owed.sort();
    assert_eq!(
        owed,
        [
            "dns.follow secondary.dns.s2dns",
            "dns.point witness.dns.cs-primary",
            "dns.unpush main.dns.s1app",
            "dns.unpush secondary.dns.s2app",
        ]
    );
    let early = |act: &&String| act.ends_with(".unpush") || act.starts_with("secondary.dns.s2dns");
    assert_eq!(world.acts.iter().find(early), None);

    let before = world.acts.len();
    world.failing.clear();
    world.run_until(|w| w.group().debts.is_empty());
    let acts = &world.acts[before..];
    let at =
        |what: &str| acts.iter().position(|act| act == what).unwrap_or_else(|| panic!("{what}: {acts:?}"));
    let (name, cache) = (at("witness.dns.cs-primary.point"), at("secondary.dns.s2dns.follow"));
    assert!(name < cache && name < at("main.dns.s1app.unpush"), "{acts:?}");
    assert!(cache < at("secondary.dns.s2app.unpush"), "{acts:?}");
}

/// Its host follows the name when both are back; nothing would ever take away what was written then.
#[test]
fn a_hosts_file_that_was_not_pushed_at_a_lost_site_is_not_pushed_later() {
    let mut world = World::new();
    world.adopt("main");
    world.silence("main");
    world.failing.insert("witness.dns.cs-primary.point".into());
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state == RunState::Held);
    let reply = world.op("the DNS server is gone", Op::Push { run: run.to_string() });
    assert!(matches!(reply, OpReply::Recorded { .. }), "{reply:?}");
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.applied("secondary.dns.s2app.push"), 1);
    let owed = world.group().debts;
    assert!(owed.iter().all(|debt| debt.what != "dns.push"), "{owed:#?}");

    world.failing.clear();
    world.speak("main");
    world.run_until(|w| w.group().debts.is_empty());
    assert_eq!(world.applied("main.dns.s1app.push"), 0);
    assert_eq!(world.applied("secondary.dns.s2app.unpush"), 1);
}

/// Each of them is to follow the name too, and cannot; neither waits for the other one's.
#[test]
fn hosts_of_one_site_whose_files_are_to_be_taken_away_do_not_wait_for_each_other() {
    let hosts = "{ host: s2app, site: secondary } ]";
    let two = "{ host: s2app, site: secondary }, { host: s3app, site: secondary } ]";
    let group = GROUP.replace(hosts, two).replace("done_when: 90%", "done_when: 10%");
    let mut world = World::with(&group, None);
    world.adopt("main");
    let pushed = ["secondary.dns.s2app", "secondary.dns.s3app"];
    let name = "witness.dns.cs-primary.point";
    world.failing.insert(name.into());
    world.failing.extend(pushed.map(|host| format!("{host}.follow")));
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).state == RunState::Held);
    let reply = world.op("the DNS server is gone", Op::Push { run: run.to_string() });
    assert!(matches!(reply, OpReply::Recorded { .. }), "{reply:?}");
    world.run_until(|w| w.run(run).state.ended());
    let owed = world.group().debts;
    assert_eq!(owed.iter().filter(|debt| debt.what == "dns.follow").count(), 2, "{owed:#?}");

    world.failing.remove(name);
    world.run_until(|w| pushed.iter().all(|host| w.applied(&format!("{host}.unpush")) == 1));
    let owed = world.group().debts;
    assert_eq!(owed.iter().filter(|debt| debt.what == "dns.follow").count(), 2, "{owed:#?}");
}

/// What runs at both sites follows when it is healthy again, such as a control server with a session to the live site.
#[test]
fn a_program_that_runs_everywhere_and_is_not_healthy_has_not_followed() {
    let mut world = World::with(&with_branch("100%"), None);
    world.adopt("main");
    world.silence("main");
    let proxy = "secondary.process.proxy-a";
    world.state.insert(proxy.into(), serde_json::json!("unhealthy"));
    let run = world.start("failover", &["main"]);
    world.run_until(|w| w.run(run).waits_for.iter().any(|wait| wait.contains("clients follow")));
    let wait = world.run(run).waits_for.join(" ");
    assert!(wait.contains("2 of 3 clients follow") && wait.contains("not yet proxy-a@secondary"), "{wait}");
    world.state.remove(proxy);
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
}

/// A proxy in limited mode serves what it has. Started again where nothing serves it, it would have nothing.
#[test]
fn nothing_is_started_again_while_what_it_needs_does_not_run() {
    let mut world = World::new();
    world.adopt("main");
    let (refresh, part) = ("secondary.process.proxy-a.refresh", "secondary.process.cs-primary");
    world.failing.insert(refresh.into());
    world.seen.insert(part.into(), Seen::Process(process(Running::Stopped, None)));
    let run = world.start("switchover", &[]);
    world.run_until(|w| w.run(run).state.ended());
    assert_eq!(world.run(run).state, RunState::Completed);
    let owed = |world: &mut World| world.group().debts.iter().any(|debt| debt.what == "process.refresh");
    assert!(owed(&mut world));

    world.failing.clear();
    let asked = world.acts.len();
    world.pass(40);
    assert_eq!(world.acts[asked..], [] as [String; 0], "it was started again in vain");
    assert!(owed(&mut world));
    world.seen.remove(part);
    world.run_until(|w| !owed(w));
    assert_eq!(world.applied(refresh), 1);
}
