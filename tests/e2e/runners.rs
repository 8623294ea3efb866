//! Two runners: a second one on the same folder, one with a copy of the journal, as after a restore, and one that takes over.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lab::process::{Process, Program};
use lab::system::plan::{GROUP, PROCESSES, Site};
use lab::system::{STATUS_EVERY, until, until_every};
use schemas::view::{Mode, RunState, WorldView};
use schemas::{Action, Service};

use crate::bench::{Bench, WITHIN};
use crate::nights::{refused, status};

/// What a runner tells others, heard from the moment that this returns.
struct Events {
    runtime: tokio::runtime::Runtime,
    messages: async_nats::Subscriber,
    _client: async_nats::Client,
}

impl Events {
    fn listen(server: &str) -> Events {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (client, messages) = runtime.block_on(async {
            let client = async_nats::connect(server).await.unwrap();
            let messages = client.subscribe("pointsman.event.out.>").await.unwrap();
            client.flush().await.unwrap();
            (client, messages)
        });
        Events { runtime, messages, _client: client }
    }

    /// The next event of this kind, about this run.
    fn next(&mut self, kind: &str, run: &str) -> String {
        let end = Instant::now() + WITHIN;
        let messages = &mut self.messages;
        self.runtime.block_on(async {
            loop {
                let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
                let next = tokio::time::timeout(left, messages.next()).await;
                let message = next.unwrap_or_else(|_| panic!("no {kind} of {run}")).unwrap();
                let subject = message.subject.as_str();
                if subject.ends_with(kind) && subject.contains(run) {
                    return String::from_utf8(message.payload.to_vec()).unwrap();
                }
            }
        })
    }
}

/// What was done to the world so far, counted from outside.
fn effects(lab: &Bench) -> Vec<u64> {
    let mut effects = vec![u64::from(lab.bind.serial().unwrap())];
    for site in Site::ALL {
        effects.push(lab.access_changes(site));
        let live_only = PROCESSES.iter().filter(|process| process.live_only);
        effects.extend(live_only.map(|process| lab.starts(site, process.name) as u64));
        let slots = "SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE 'lab_config%'";
        effects.push(lab.postgres[site.index()].psql("config", slots).unwrap().parse().unwrap());
    }
    effects
}

/// A host's file like that of the runner, with another folder; and a runner that uses it.
fn second_runner(file: &Path, journal: &Path, copy: &Path) -> Program {
    let text = std::fs::read_to_string(file).unwrap();
    let changed = text.replace(&journal.display().to_string(), &copy.display().to_string());
    assert_ne!(changed, text);
    let own = copy.with_extension("yaml");
    std::fs::write(&own, changed).unwrap();
    Program {
        path: PathBuf::from(env!("CARGO_BIN_EXE_pointsman")),
        args: vec!["--config".into(), own.display().to_string(), "runner".into()],
        env: Vec::new(),
        folder: copy.parent().unwrap().into(),
        log: copy.with_extension("log"),
        account: None,
    }
}

#[test]
fn a_second_runner_neither_shares_a_journal_nor_goes_on_with_a_copy_of_it() {
    let mut lab = Bench::start("runners");
    let (file, first) = (lab.desk(), lab.runner_pid().unwrap());
    let refused = lab.pointsman.text(&file, &["runner"]).unwrap_err().to_string();
    assert!(refused.contains(&format!("is in use by process {first}: stop that runner first")), "{refused}");

    // The copy is of the moment at which the way back was asked for. The first runner goes on, is killed once
    // more and claims again: now the services know more of the run than the copy does.
    let killer = lab.killer(&[
        (Site::Secondary, Service::Replication, "css", Action::Capture),
        (Site::Secondary, Service::Process, "cs-primary", Action::StartProcess),
    ]);
    lab.begin("switchover", Site::Secondary);
    until("the runner is killed half way", WITHIN, || Ok(killer.fired())).unwrap();
    lab.kill_runner().unwrap();
    let journal = lab.plan.host("wrun").join("state/journal");
    let copy = lab.plan.host("wrun").join("restored");
    assert!(Command::new("cp").arg("-a").args([&journal, &copy]).status().unwrap().success());
    killer.aim(lab.start_runner().unwrap());
    let run = lab.completed(Some(&killer), 1).id.to_string();
    lab.lives_at(Site::Secondary);

    let mut events = Events::listen(&lab.bus.urls()[2]);
    let before = effects(&lab);
    let restored = second_runner(&file, &journal, &copy);
    let second = Process::start(&restored).unwrap();
    let held = events.next("run-held", &run);
    assert!(held.contains("journal-behind"), "{held}\n{}", second.output());
    second.kill().unwrap();
    assert_eq!(effects(&lab), before, "a runner with a restored journal did something again");
    lab.lives_at(Site::Secondary);

    // Once the group has moved on, the copy's run is fenced by the newer epoch.
    lab.moved("switchover", Site::Main);
    lab.lives_at(Site::Main);
    let before = effects(&lab);
    let second = Process::start(&restored).unwrap();
    let ended = events.next("run-ended", &run);
    assert!(ended.contains("fenced"), "{ended}\n{}", second.output());
    second.kill().unwrap();
    assert_eq!(effects(&lab), before, "a fenced run did something");
    lab.lives_at(Site::Main);
    lab.nothing_lost(Site::Main);
    lab.no_read_failed();
    lab.passed();
}

/// The runner's host is lost half way, with both sites closed, and one on another host takes over with what was exported. The
/// old host comes back when it is not wanted any more.
#[test]
fn the_runners_host_is_lost_half_way_and_another_one_takes_over() {
    let mut lab = Bench::start("take-over");
    let killer = lab.killer(&[(Site::Secondary, Service::Replication, "css", Action::Capture)]);
    lab.begin("switchover", Site::Secondary);
    until("the runner is killed half way", WITHIN, || Ok(killer.fired())).unwrap();
    lab.kill_runner().unwrap();
    let closed = |lab: &Bench| !lab.is_open(Site::Main) && !lab.is_open(Site::Secondary);
    assert!(closed(&lab), "main is closed before the slot is asked for, and nobody opens secondary");

    let (desk, folder) = (lab.desk(), lab.plan.host("wrun"));
    let export = folder.join("export.jsonl").display().to_string();
    lab.pointsman.text(&desk, &["journal", "export", "--to", &export]).unwrap();
    let copy = folder.join("elsewhere");
    let mut elsewhere = second_runner(&desk, &folder.join("state/journal"), &copy);
    let file = copy.with_extension("yaml");
    lab.pointsman.text(&file, &["journal", "import", &export]).unwrap();
    let why = lab.pointsman.text(&file, &["runner"]).unwrap_err().to_string();
    assert!(why.contains("--take-over"), "{why}");
    elsewhere.args.push("--take-over".into());
    let elsewhere = Process::start(&elsewhere).unwrap();

    // What the old one had under way is over, and nothing is begun before somebody has looked at the world.
    let view = status(&lab, "all are heard, and the journal is a copy", |view| {
        view.sentence.contains("the journal is a copy") && view.resources.iter().all(|part| !part.silent)
    });
    assert_eq!(view.mode, Mode::Unknown, "{}", view.sentence);
    assert!(view.run.is_none(), "an old run goes on: {view:#?}");
    let run = lab.newest_run().unwrap().unwrap();
    assert_eq!(run.state, RunState::Fenced, "{run:#?}");
    let why = refused(&lab, &["failover", GROUP, "--to", "secondary", "--yes"]);
    assert!(why.contains("journal-imported"), "{why}");
    let look = ["adopt", GROUP, "--dry-run", "--why", "where is it live?"];
    let world: WorldView = lab.pointsman.look(&desk, &look).unwrap();
    assert_eq!(world.live, None, "{world:#?}");
    let none = ["adopt", GROUP, "--none-live", "--yes", "--why", "the runner's host is lost"];
    // On a busy machine a service may be late: then it is adopted again.
    until_every(STATUS_EVERY, "it is adopted", WITHIN, || lab.pointsman.text(&desk, &none).map(Some))
        .unwrap();
    lab.mode(Mode::Unknown, "pointsman establish");
    let epoch = lab.status().unwrap().epoch;
    assert!(epoch > run.epoch, "{epoch:?} after {:?}", run.epoch);

    // The old host is on again, and its runner would go on with the move: it is obeyed by nobody.
    let mut events = Events::listen(&lab.bus.urls()[2]);
    let before = effects(&lab);
    lab.start_runner().unwrap();
    // The second runner told its own word of the run's end before.
    let mut ended = events.next("run-ended", &run.id.to_string());
    while !ended.contains("stale-epoch") {
        ended = events.next("run-ended", &run.id.to_string());
    }
    assert!(ended.contains("fenced"), "{ended}");
    lab.kill_runner().unwrap();
    assert_eq!(effects(&lab), before, "the old runner did something");
    assert!(closed(&lab), "the old runner opened a site");

    // Main serves as before, and then the move is begun anew and comes to its end.
    lab.moved("establish", Site::Main);
    lab.written_at(Site::Main);
    lab.lives_at(Site::Main);
    lab.mode(Mode::Normal, "main is live, protected");
    lab.moved("switchover", Site::Secondary);
    lab.written_at(Site::Secondary);
    lab.lives_at(Site::Secondary);
    lab.nothing_lost(Site::Secondary);
    lab.nothing_lost(Site::Main);
    lab.no_read_failed();
    elsewhere.kill().unwrap();
    lab.passed();
}
