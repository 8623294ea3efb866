//! Two runners: a second one on the same folder, and one with a copy of the journal, as after a restore.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lab::process::{Process, Program};
use lab::system::plan::{PROCESSES, Site};
use lab::system::until;
use schemas::{Action, Service};

use crate::bench::{Bench, WITHIN};

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
