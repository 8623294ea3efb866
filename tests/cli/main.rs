//! The command against a real NATS server and a runner of the test's own: what is asked, what is
//! shown, and the exit code that scripts rely on.
#![expect(clippy::unwrap_used, reason = "tests")]

mod cleanup;
mod files;
mod many;
mod pretend;
mod silence;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use schemas::duration::Iso;
use schemas::op::{GroupFile, Op, OpReply, ProtectBy, Who};
use schemas::view::{DebtView, GroupView, LossView, ResourceView, RunState, StepNow};
use schemas::{Address, Code, Declaration, DeclaredView, Problem, Service};

use pretend::{Runner, group, preview, run, step};

/// Runs the command with a host's file for this server; its input is empty and no terminal.
fn pointsman(url: &str, words: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("host.yaml");
    let text = format!("version: 1\nsite: witness\nbus: {{ servers: [\"{url}\"], person: anna }}\n");
    std::fs::write(&file, text).unwrap();
    command().arg("--config").arg(&file).args(words).output().unwrap()
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    command.stdin(Stdio::null()).env_remove("POINTSMAN_CONFIG").env("TZ", "UTC");
    command
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn status_is_0_when_all_is_normal_and_8_when_not() {
    let runner = Runner::start(|_| Some(OpReply::Groups(vec![group("cfg")])));
    let normal = pointsman(&runner.url(), &["status"]);
    assert_eq!(code(&normal), 0, "{}", text(&normal));
    assert!(text(&normal).contains("cfg  NORMAL  live main"), "{}", text(&normal));

    let runner = Runner::start(|_| {
        let mut cfg = group("cfg");
        cfg.run = Some(Box::new(run(RunState::Held)));
        Some(OpReply::Groups(vec![cfg]))
    });
    let held = pointsman(&runner.url(), &["status", "cfg", "--utc"]);
    assert_eq!(code(&held), 8, "{}", text(&held));
    assert!(text(&held).contains("HELD"), "{}", text(&held));
    let json = pointsman(&runner.url(), &["status", "--output", "json"]);
    assert_eq!(code(&json), 8);
    let reply: OpReply = serde_json::from_slice(&json.stdout).unwrap();
    assert!(matches!(reply, OpReply::Groups(groups) if groups.len() == 1));
    assert_eq!(runner.asked()[0].op, Op::Status { group: Some("cfg".parse().unwrap()) });
}

#[test]
fn a_held_run_shows_the_world_against_the_journal() {
    let runner = Runner::start(|request| {
        let mut held = run(RunState::Held);
        let mut closed = step(1, "done");
        closed.now = Some(StepNow {
            seen: "open".into(),
            journal: "closed".into(),
            agrees: false,
            by: closed.address.clone().unwrap(),
            age: Iso(Duration::from_secs(2)),
        });
        held.steps = vec![closed];
        Some(match request.op {
            Op::Show { .. } => OpReply::Run(Box::new(held)),
            _ => OpReply::Groups(vec![GroupView { run: Some(Box::new(held)), ..group("cfg") }]),
        })
    });
    for words in [&["status", "cfg"][..], &["show", "7f3a"]] {
        let shown = text(&pointsman(&runner.url(), words));
        let wanted = "CONTRADICTED now: open (journal says closed; main.database.config, 2.0 s ago)";
        assert!(shown.contains(wanted), "{shown}");
    }
}

#[test]
fn what_a_run_waits_for_is_read_first() {
    let waits = "somebody: `pointsman resume 7f3a`";
    let runner = Runner::start(move |request| {
        let mut held = run(RunState::Held);
        held.waits_for = vec![waits.into()];
        held.steps = vec![step(1, "done"), step(2, "failed")];
        Some(match request.op {
            Op::Show { .. } => OpReply::Run(Box::new(held)),
            _ => {
                let mut cfg = group("cfg");
                let at = Address {
                    site: "main".parse().unwrap(),
                    service: Service::Database,
                    resource: "config".parse().unwrap(),
                };
                let (observation, seen_at, heard) = (None, None, None);
                cfg.resources = vec![ResourceView { address: at, observation, seen_at, heard, silent: true }];
                cfg.run = Some(Box::new(held));
                OpReply::Groups(vec![cfg])
            }
        })
    });
    for (words, below) in [(&["status", "cfg"][..], "+----"), (&["show", "7f3a"], "2 close config@main")] {
        let shown = text(&pointsman(&runner.url(), words));
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines.get(1), Some(&format!("  WAITS: {waits}").as_str()), "{shown}");
        assert!(lines[2..].iter().any(|line| line.contains(below)), "{shown}");
        assert_eq!(shown.matches("WAITS").count(), 1, "{shown}");
    }
}

#[test]
fn status_is_8_when_more_would_be_lost_than_agreed_or_nobody_can_tell() {
    let limit = Some(Iso(Duration::from_secs(30)));
    for (verdict, limit, wanted) in [
        ("WITHIN LIMIT", limit, 0),
        ("ABOVE LIMIT", limit, 8),
        ("UNKNOWN", limit, 8),
        ("UNKNOWN", None, 0),
        ("NO LIMIT", None, 0),
    ] {
        let runner = Runner::start(move |_| {
            let mut cfg = group("cfg");
            let text = "csp: as the test says".to_owned();
            cfg.loss = Some(LossView { estimate: None, limit, text, verdict: verdict.into() });
            Some(OpReply::Groups(vec![cfg]))
        });
        let status = pointsman(&runner.url(), &["status"]);
        assert_eq!(code(&status), wanted, "{}", text(&status));
    }
}

#[test]
fn what_was_declared_is_asked_as_typed_and_shown_with_its_clock() {
    let runner = Runner::start(|request| match &request.op {
        Op::Declare { .. } => {
            let what = "outage of main is declared: it will return".into();
            Some(OpReply::Recorded { what, at: chrono::Utc::now() })
        }
        _ => {
            let mut cfg = group("cfg");
            cfg.declared = Some(DeclaredView {
                what: Declaration::Outage,
                site: Some("main".parse().unwrap()),
                since: cfg.at - Duration::from_secs(300),
                who: Who { person: "anna".into(), claimed: "anna@desk7".into() },
                why: "no power until noon".into(),
                sentence: "main is down and will return".into(),
            });
            Some(OpReply::Groups(vec![cfg]))
        }
    });
    let words = ["declare", "outage", "cfg", "--site", "main", "--why", "no power until noon"];
    let declared = pointsman(&runner.url(), &words);
    assert_eq!(code(&declared), 0, "{}", text(&declared));
    assert!(text(&declared).contains("outage of main is declared"), "{}", text(&declared));
    let wanted = Op::Declare {
        group: "cfg".parse().unwrap(),
        what: Declaration::Outage,
        site: Some("main".parse().unwrap()),
    };
    assert_eq!(runner.asked()[0].op, wanted);
    let status = pointsman(&runner.url(), &["status"]);
    assert_eq!(code(&status), 8, "{}", text(&status));
    for part in
        ["declared OUTAGE of main since", "(5 min 0 s ago) by anna: no power", "main is down and will return"]
    {
        assert!(text(&status).contains(part), "`{part}` is not in\n{}", text(&status));
    }
}

#[test]
fn groups_that_do_not_fit_into_one_answer_are_asked_about_by_name() {
    let runner = Runner::start(|request| match &request.op {
        Op::Status { group: None } => Some(OpReply::Problem(Problem::new(Code::TooLarge, "2000000 bytes"))),
        Op::Status { group: Some(name) } => Some(OpReply::Groups(vec![group(name.as_str())])),
        Op::Files { group: None } => {
            let file = |name: &str| GroupFile {
                group: name.parse().unwrap(),
                digest: schemas::Digest::of(b""),
                next: None,
                file: serde_json::Value::Null,
            };
            Some(OpReply::Files(["cfg", "log", "web"].map(file).into()))
        }
        _ => None,
    });
    let status = pointsman(&runner.url(), &["status"]);
    let shown = text(&status);
    assert_eq!(code(&status), 0, "{shown}");
    let heads: Vec<&str> = shown.lines().filter(|line| line.contains("live main")).collect();
    assert_eq!(heads.len(), 3, "{shown}");
    assert!(heads[0].starts_with("cfg ") && heads[2].starts_with("web "), "{shown}");
}

#[test]
fn what_is_owed_is_a_line_for_each_site_and_each_of_it_is_shown_with_all() {
    let runner = Runner::start(|_| {
        let debt = |site: &str, number: u32, what: &str| DebtView {
            address: Address {
                site: site.parse().unwrap(),
                service: Service::Process,
                resource: format!("p{number}").parse().unwrap(),
            },
            what: what.into(),
            since: "2026-11-25T02:12:31Z".parse().unwrap(),
            gone: false,
            run: run(RunState::Held).id,
            why: "its service is silent".into(),
        };
        let mut cfg = group("cfg");
        cfg.debts = (0..9).map(|number| debt("main", number, "process.stop")).collect();
        cfg.debts.extend((0..9).map(|number| debt("main", number, "claim")));
        cfg.debts.push(debt("witness", 0, "claim"));
        let mut held = run(RunState::Held);
        held.steps = vec![step(1, "done"), step(2, "done"), step(3, "failed")];
        cfg.run = Some(Box::new(held));
        Some(OpReply::Groups(vec![cfg]))
    });
    let owed = |shown: &str| -> Vec<String> {
        shown.lines().filter(|line| line.starts_with("  owed ")).map(str::to_owned).collect()
    };
    let shown = text(&pointsman(&runner.url(), &["status"]));
    let lines = owed(&shown);
    assert_eq!(lines.len(), 2, "{shown}");
    assert!(lines[0].contains("at main since 02:12:31"), "{shown}");
    assert!(
        lines[0].contains("run 7f3a: 18 (9 claim, 9 process.stop; each with --all): its service"),
        "{shown}"
    );
    assert!(lines[1].contains("at witness") && lines[1].contains("claim of process.p0"), "{shown}");
    assert!(shown.contains("2 of 3 steps are behind it: pointsman show 7f3a"), "{shown}");
    assert_eq!(shown.matches("close config@main").count(), 1, "{shown}");

    let shown = text(&pointsman(&runner.url(), &["status", "--all"]));
    assert!(owed(&shown)[0].contains("process.stop of process.p8, claim of process.p0"), "{shown}");
    assert_eq!(shown.matches("close config@main").count(), 3, "{shown}");
}

#[test]
fn a_move_is_previewed_started_as_previewed_and_followed_to_its_end() {
    let looks = std::sync::atomic::AtomicU32::new(0);
    let runner = Runner::start(move |request| match &request.op {
        Op::Start { dry_run: true, .. } => Some(OpReply::Preview(Box::new(preview()))),
        Op::Start { .. } => Some(OpReply::Started { run: run(RunState::Running).id, epoch: 12 }),
        Op::Show { .. } => {
            let n = looks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut view = run(if n < 2 { RunState::Running } else { RunState::Completed });
            view.sequence = u64::from(n);
            view.steps = vec![step(1, if n < 1 { "running" } else { "done" })];
            Some(OpReply::Run(Box::new(view)))
        }
        _ => None,
    });
    let done = pointsman(&runner.url(), &["failover", "cfg", "--yes", "--why", "a drill"]);
    let shown = text(&done);
    assert_eq!(code(&done), 0, "{shown}");
    for part in
        ["anna", "heartbeat 4.8 s", "WITHIN LIMIT", "run 7f3a epoch 12", "close config@main", "COMPLETED"]
    {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    let asked = runner.asked();
    let Op::Start { to, dry_run: false, .. } = &asked[1].op else { panic!("{:?}", asked[1]) };
    assert_eq!(to.as_ref().unwrap().as_str(), "secondary");
    assert_eq!(asked[1].why.as_deref(), Some("a drill"));
    assert_eq!(asked[0].why, None);
}

#[test]
fn without_a_terminal_a_move_needs_yes_and_yes_accepts_nothing() {
    let runner = Runner::start(|request| match &request.op {
        Op::Start { dry_run: true, .. } => Some(OpReply::Preview(Box::new(preview()))),
        _ => None,
    });
    let refused = pointsman(&runner.url(), &["failover", "cfg", "--why", "x"]);
    assert_eq!(code(&refused), 2, "{}", text(&refused));
    assert!(text(&refused).contains("--yes"), "{}", text(&refused));
    let dry = pointsman(&runner.url(), &["failover", "cfg", "--dry-run", "--why", "x"]);
    assert_eq!(code(&dry), 0, "{}", text(&dry));
    for request in runner.asked() {
        assert!(!request.op.changes(), "something was started: {request:?}");
        if let Op::Start { accept_unfenced, .. } = &request.op {
            assert!(accept_unfenced.is_empty(), "{request:?}");
        }
    }
}

#[test]
fn a_site_is_brought_up_to_date_and_only_a_typed_name_lets_it_be_copied_over() {
    let runner = Runner::start(|request| match &request.op {
        Op::Start { dry_run: true, .. } => Some(OpReply::Preview(Box::new(preview()))),
        Op::Start { .. } => Some(OpReply::Started { run: run(RunState::Running).id, epoch: 12 }),
        _ => None,
    });
    let begun = pointsman(&runner.url(), &["reprotect", "cfg", "--yes", "--detach", "--why", "main is back"]);
    assert_eq!(code(&begun), 0, "{}", text(&begun));
    let copy = ["reprotect", "cfg", "--by", "copy", "--yes", "--detach", "--why", "main is back"];
    let refused = pointsman(&runner.url(), &copy);
    assert_eq!(code(&refused), 2, "{}", text(&refused));
    let home = pointsman(&runner.url(), &["failback", "cfg", "--yes", "--detach", "--why", "home"]);
    assert_eq!(code(&home), 0, "{}", text(&home));
    let started: Vec<_> = runner.asked().into_iter().filter(|r| r.op.changes()).collect();
    let what = |op: &Op| match op {
        Op::Start { workflow, by, .. } => (workflow.clone(), *by),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        started.iter().map(|request| what(&request.op)).collect::<Vec<_>>(),
        [("reprotect".to_owned(), Some(ProtectBy::CatchUp)), ("failback".to_owned(), None)]
    );
}

#[test]
fn a_refusal_is_3_and_says_what_to_do() {
    let runner = Runner::start(|_| {
        let mut preview = preview();
        preview.refusals = vec![Problem::new(Code::GroupBusy, "run 81c0 has not ended")];
        Some(OpReply::Preview(Box::new(preview)))
    });
    let refused = pointsman(&runner.url(), &["failover", "cfg", "--yes", "--why", "x"]);
    assert_eq!(code(&refused), 3, "{}", text(&refused));
    for part in ["run 81c0 has not ended", "--supersede", "pointsman explain group-busy"] {
        assert!(text(&refused).contains(part), "`{part}` is not in\n{}", text(&refused));
    }
    let json = pointsman(&runner.url(), &["failover", "cfg", "--yes", "--why", "x", "--output", "json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(value["problem"]["code"], "group-busy");
}

#[test]
fn the_end_of_a_run_is_its_exit_code() {
    let states = [
        (RunState::Completed, 0),
        (RunState::Held, 4),
        (RunState::Paused, 4),
        (RunState::Faulted, 5),
        (RunState::Cancelled, 6),
        (RunState::BackedOut, 6),
        (RunState::Fenced, 6),
    ];
    for (state, expected) in states {
        let runner = Runner::start(move |_| {
            let mut view = run(state);
            view.waits_for = vec!["somebody: `pointsman resume 7f3a`".into()];
            Some(OpReply::Run(Box::new(view)))
        });
        for command in ["show", "watch"] {
            let output = pointsman(&runner.url(), &[command, "7f3a"]);
            assert_eq!(code(&output), expected, "{command} {state:?}: {}", text(&output));
            assert!(text(&output).contains("pointsman resume 7f3a"), "{}", text(&output));
        }
    }
}

#[test]
fn a_change_carries_what_was_seen_and_is_sent_again_under_its_id() {
    let dropped = std::sync::atomic::AtomicBool::new(false);
    let runner = Runner::start(move |request| match &request.op {
        Op::Show { .. } => Some(OpReply::Run(Box::new(run(RunState::Held)))),
        Op::Skip { .. } if !dropped.swap(true, std::sync::atomic::Ordering::Relaxed) => None,
        Op::Skip { .. } => {
            Some(OpReply::Recorded { what: "step 8 is skipped".into(), at: chrono::Utc::now() })
        }
        _ => None,
    });
    let done = pointsman(&runner.url(), &["skip", "7f3a", "8", "--why", "switched off"]);
    assert_eq!(code(&done), 0, "{}", text(&done));
    assert!(text(&done).contains("step 8 is skipped"), "{}", text(&done));
    let asked = runner.asked();
    assert_eq!(asked.len(), 3, "{asked:?}");
    assert_eq!(asked[1].id, asked[2].id);
    assert_eq!(asked[1].seen, Some(run(RunState::Held).sequence));
    assert_eq!(asked[1].why.as_deref(), Some("switched off"));
}

#[test]
fn an_answer_of_another_version_is_an_error_that_says_so() {
    let runner = Runner::start_raw(|_| Some(b"{\"new-kind\":{}}".to_vec()));
    let output = pointsman(&runner.url(), &["status"]);
    assert_eq!(code(&output), 1, "{}", text(&output));
    assert!(text(&output).contains("another version"), "{}", text(&output));
}

/// Nothing that a test waits for takes longer.
const BOUND: Duration = Duration::from_secs(20);
