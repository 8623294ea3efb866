//! Scripts under the guard, with real processes.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::time::{Duration, Instant};

use bench::Bench;
use exec::{Check, Children, Guard, How, Occasion, Script};

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_exit_code_is_enough() {
    let bench = Bench::new();
    for code in [0, 1, 7, 255] {
        let ended = bench.run(&format!("exit {code}")).await;
        assert_eq!(ended.how, How::Exited { code });
        assert_eq!(ended.succeeded(), code == 0);
    }
    assert_eq!(bench.run("exit 1").await.check(), Check::NotInEffect);
}

#[tokio::test]
async fn a_script_knows_what_it_is_run_for_and_no_secrets() {
    let bench = Bench::new();
    let occasion = Occasion {
        action: "start".into(),
        resource: "cs-primary".into(),
        site: "main".into(),
        key: "run/do/1".into(),
        attempt: 2,
        epoch: 12,
        ..Occasion::default()
    };
    let ended =
        bench.script("env; pwd; echo '{\"pid\": 7}'").on(&occasion).run(&bench.guard()).await.unwrap();
    let text = &ended.stdout.text;
    for line in [
        "POINTSMAN_ACTION=start",
        "POINTSMAN_RESOURCE=cs-primary",
        "POINTSMAN_SITE=main",
        "POINTSMAN_KEY=run/do/1",
        "POINTSMAN_ATTEMPT=2",
        "POINTSMAN_EPOCH=12",
        "/",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} in {text}");
    }
    // Cargo sets dozens of variables for a test; none of them reaches the script.
    assert!(!text.contains("CARGO"), "{text}");
    assert_eq!(ended.json().unwrap()["pid"], 7);
}

#[tokio::test]
async fn a_script_reads_what_it_is_given_and_need_not() {
    let bench = Bench::new();
    let text = "line\n".repeat(20_000);
    let read = bench.script("wc -c").stdin(text.clone()).run(&bench.guard()).await.unwrap();
    assert_eq!(read.stdout.text.trim(), text.len().to_string());
    let unread = bench.script("exit 0").stdin(text).run(&bench.guard()).await.unwrap();
    assert!(unread.succeeded(), "{unread}");
    let nothing = bench.run("wc -c").await;
    assert_eq!(nothing.stdout.text.trim(), "0");
    let long = bench.script("exit 0").stdin("x".repeat(1 << 20)).run(&bench.guard()).await;
    assert!(long.unwrap_err().never_ran());
}

#[tokio::test]
async fn megabytes_are_counted_and_the_end_is_kept() {
    let bench = Bench::new();
    let ended = bench.run("head -c 5000000 /dev/zero | tr '\\0' x; echo; echo last; echo err >&2").await;
    assert_eq!(ended.how, How::Exited { code: 0 });
    assert!(ended.stdout.text.ends_with("x\nlast\n"));
    assert_eq!(ended.stdout.text.len(), 64 * 1024);
    assert_eq!(ended.stdout.dropped, 5_000_006 - 64 * 1024);
    assert_eq!(ended.stderr.text, "err\n");
}

#[tokio::test]
async fn a_hanging_script_is_ended_also_when_it_ignores_term() {
    let bench = Bench::new();
    for trap in ["", "trap '' TERM; "] {
        let ended = bench
            .script_within(
                &format!("{trap}{} sleep 60; sleep 60", bench.note_pid()),
                Duration::from_millis(500),
            )
            .grace(Duration::from_millis(300))
            .run(&bench.guard())
            .await
            .unwrap();
        assert_eq!(ended.how, How::TimedOut);
        assert_eq!(ended.left, 0);
        assert!(ended.took < Duration::from_secs(10), "{:?}", ended.took);
        bench.assert_noted_are_gone();
    }
}

#[tokio::test]
async fn a_death_by_signal_is_told() {
    let bench = Bench::new();
    let ended = bench.run("kill -9 $$").await;
    assert_eq!(ended.how, How::Signalled { signal: 9 });
    let ended = bench.run("kill -SEGV $$").await;
    assert_eq!(ended.how, How::Signalled { signal: 11 });
    assert!(matches!(ended.check(), Check::CannotTell(_)));
}

#[tokio::test]
async fn what_cannot_be_executed_is_told() {
    let bench = Bench::new();
    let not_executable = bench.path("plain.sh");
    std::fs::write(&not_executable, "exit 0").unwrap();
    for program in [bench.path("nowhere.sh"), not_executable, bench.dir()] {
        let ended = Script::new(program, LONG).run(&bench.guard()).await.unwrap();
        assert!(matches!(ended.how, How::NotStarted { .. }), "{ended:?}");
        assert!(ended.never_ran());
    }
    let error =
        Script::new("/bin/true", LONG).run(&Guard::program(bench.path("no-guard"))).await.unwrap_err();
    assert!(error.never_ran());
    let error =
        Script::new("/bin/true", LONG).arg("x".repeat(300_000)).run(&bench.guard()).await.unwrap_err();
    assert!(error.never_ran());
}

/// A daemon of each kind: in the group, in its own session, forked twice.
const DAEMONS: [&str; 3] = [
    "sh -c 'NOTE; exec sleep 300' &",
    "setsid sh -c 'NOTE; exec sleep 300' &",
    "setsid sh -c '(NOTE; exec sleep 300) & exit' & wait",
];

#[tokio::test]
async fn a_good_start_leaves_its_daemons_alone() {
    let bench = Bench::new();
    for daemon in DAEMONS {
        let start = format!("{}\nwhile ! test -s {}; do :; done", bench.daemon(daemon), bench.noted());
        let began = Instant::now();
        let ended = bench.script(&start).children(Children::LiveOn).run(&bench.guard()).await.unwrap();
        assert!(ended.succeeded(), "{ended:?}");
        // It holds the script's output, and nobody waited for its end.
        assert!(began.elapsed() < LONG);
        bench.assert_noted_live();
        exec::lock(&bench.lock_path(), Duration::ZERO).await.unwrap();
        bench.assert_noted_live();
        bench.kill_noted();
    }
}

#[tokio::test]
async fn a_daemon_that_goes_on_writing_never_gets_sigpipe() {
    let bench = Bench::new();
    let counter = bench.path("counter");
    // It writes to the output of its start script for ever, and counts what it could write.
    let daemon =
        format!("sh -c 'NOTE; while echo line; do echo . >>{}; sleep 0.01; done' &", counter.display());
    let start = format!("{}\nwhile ! test -s {}; do :; done", bench.daemon(&daemon), bench.noted());
    let ended = bench.script(&start).children(Children::LiveOn).run(&bench.guard()).await.unwrap();
    assert!(ended.succeeded());
    let written = || std::fs::metadata(&counter).map_or(0, |meta| meta.len());
    let before = written();
    bench::until("the daemon wrote on", || written() > before + 40);
    bench.assert_noted_live();
    bench.kill_noted();
}

#[tokio::test]
async fn a_failed_start_and_any_other_script_leave_nothing() {
    let bench = Bench::new();
    for (daemon, (code, children)) in DAEMONS.iter().flat_map(|daemon| {
        [(3, Children::LiveOn), (0, Children::AreEnded), (1, Children::AreEnded)].map(|case| (daemon, case))
    }) {
        let script =
            format!("{}\nwhile ! test -s {}; do :; done; exit {code}", bench.daemon(daemon), bench.noted());
        let ended = bench
            .script(&script)
            .children(children)
            .grace(Duration::from_millis(500))
            .run(&bench.guard())
            .await
            .unwrap();
        assert_eq!(ended.how, How::Exited { code });
        bench.assert_noted_are_gone();
    }
}

#[tokio::test]
async fn two_scripts_of_one_resource_never_overlap() {
    let bench = Bench::new();
    let inside = bench.path("inside");
    let script = format!("mkdir {0} || exit 9; sleep 0.2; rmdir {0}", inside.display());
    let script = bench.script(&script);
    let guard = bench.guard();
    let (first, second, third) = tokio::join!(script.run(&guard), script.run(&guard), script.run(&guard));
    for ended in [first, second, third] {
        assert!(ended.unwrap().succeeded());
    }
    // Where the bound is shorter than the wait, nothing is started.
    let held = exec::lock(&bench.lock_path(), LONG).await.unwrap();
    let ended = bench
        .script_within(&format!("touch {}", inside.display()), Duration::from_millis(100))
        .run(&guard)
        .await
        .unwrap();
    assert_eq!(ended.how, How::Locked);
    assert!(!inside.exists());
    drop(held);
}
