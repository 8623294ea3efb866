//! A service in a process of its own: killed in the middle of an act, watched by strace, with a full disk.

#![expect(clippy::unwrap_used, reason = "tests")]

mod desk;

use std::path::Path;

use desk::*;
use lab::process::{Process, Program};
use responder::memory::{Point, World};
use schemas::{Answer, Code};
use serde_json::json;

/// The service itself: this test does something only when another one starts it.
#[test]
fn child() {
    let Ok(url) = std::env::var("RESPONDER_URL") else { return };
    let state = std::path::PathBuf::from(std::env::var("RESPONDER_STATE").unwrap());
    let world = World::in_file(state.join("world.json")).unwrap();
    match std::env::var("RESPONDER_HOLD").unwrap().as_str() {
        "checked" => world.hold("config", Point::Checked),
        "effect" => world.hold("config", Point::Effect),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let client = async_nats::connect(url).await.unwrap();
        serve(client, &state, world, Default::default()).await.unwrap();
    });
}

fn program(desk: &Desk, hold: &str, wrap: &[&str]) -> Program {
    let state = desk.state.path();
    let this = std::env::current_exe().unwrap().display().to_string();
    let mut args: Vec<String> = wrap.iter().skip(1).map(|arg| (*arg).to_owned()).collect();
    let path = match wrap.first() {
        Some(first) => {
            args.push(this);
            first.into()
        }
        None => this.into(),
    };
    args.extend(["child", "--exact", "--nocapture"].map(str::to_owned));
    let env = [
        ("RESPONDER_URL", desk.nats.url()),
        ("RESPONDER_STATE", state.display().to_string()),
        ("RESPONDER_HOLD", hold.to_owned()),
    ];
    let env = env.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    Program { path, args, env, folder: state.into(), log: state.join("log"), account: None }
}

async fn start(desk: &mut Desk, hold: &str, wrap: &[&str]) -> Process {
    let process = Process::start(&program(desk, hold, wrap)).unwrap();
    desk.up().await;
    process
}

fn effects(state: &Path) -> usize {
    World::in_file(state.join("world.json")).unwrap().effects("config").len()
}

/// Kills the service in the middle of a close, starts it again; says what then became of the key.
async fn killed(hold: &str) -> (Desk, Process, Answer) {
    let mut desk = Desk::bare().await;
    let service = start(&mut desk, hold, &[]).await;
    desk.adopt().await;
    desk.claim("config", 2, 2).await;
    let (key, before) = (key(2, "close"), hold == "checked");
    let headers = Desk::headers(2, &key, 1, CLOSE);
    let (client, body) = (desk.client.clone(), Desk::args("config").to_string());
    let subject = prefix().request(&address("config"), schemas::Verb::Act(CLOSE));
    let act = tokio::spawn(async move { client.request_with_headers(subject, headers, body.into()).await });
    let in_the_middle = async {
        loop {
            let seen = desk.ask("config", schemas::Verb::Observe, &json!(null)).await;
            let seen: schemas::Observation = serde_json::from_slice(&seen.payload).unwrap();
            let acted = effects(desk.state.path()) == usize::from(!before);
            if seen.unended == [key.clone()] && acted {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, in_the_middle).await.unwrap();
    service.kill().unwrap();
    act.abort();
    let service = start(&mut desk, "", &[]).await;
    let settled = desk.outcome("config", 2, &key, 1).await;
    (desk, service, settled.answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_effect_it_is_not_in_effect_and_may_be_done_again() {
    let (desk, service, settled) = killed("checked").await;
    assert_eq!((settled, effects(desk.state.path())), (Answer::Failed, 0));
    let again = desk.act("config", 2, &key(2, "close"), 2, CLOSE).await;
    assert_eq!((again.answer, effects(desk.state.path())), (Answer::Applied, 1));
    service.kill().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_effect_it_is_found_and_not_done_again() {
    let (desk, service, settled) = killed("effect").await;
    assert_eq!((settled, effects(desk.state.path())), (Answer::Applied, 1));
    let again = desk.act("config", 2, &key(2, "close"), 2, CLOSE).await;
    assert_eq!((again.answer, effects(desk.state.path())), (Answer::AlreadyApplied, 1));
    service.kill().unwrap();
}

/// The first line at or after `from` that has all of `words`.
#[track_caller]
fn after(lines: &[&str], from: usize, words: &[&str]) -> usize {
    let found = lines.iter().skip(from).position(|line| words.iter().all(|word| line.contains(word)));
    from + found.unwrap_or_else(|| panic!("no {words:?} after line {from}:\n{}", lines.join("\n")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_writes_then_syncs_then_acts_and_answers() {
    let mut desk = Desk::bare().await;
    let trace = desk.state.path().join("trace");
    let calls = "trace=write,writev,sendto,sendmsg,fdatasync,fsync,rename";
    let trace_to = trace.display().to_string();
    let wrap = ["strace", "-f", "-y", "-s", "4096", "-e", calls, "-o", &trace_to];
    let strace = lab::tools::in_path("strace").unwrap().display().to_string();
    let service = start(&mut desk, "", &[&[strace.as_str()], &wrap[1..]].concat()).await;
    desk.adopt().await;
    desk.claim("config", 2, 2).await;
    assert_eq!(desk.act("config", 2, &key(2, "close"), 1, CLOSE).await.answer, Answer::Applied);
    assert!(desk.outcome("config", 2, &key(2, "void"), 1).await.void);
    service.kill().unwrap();

    let text = std::fs::read_to_string(&trace).unwrap();
    // A call that another thread interrupts stands on two lines; the second says that it has returned.
    let lines: Vec<&str> = text.lines().collect();
    let synced = |from: usize| {
        let at = after(&lines, from, &["fdatasync"]);
        match lines[at].contains("unfinished") {
            true => after(&lines, at, &["fdatasync resumed", "= 0"]),
            false => at,
        }
    };
    let ledger = "services.ledger";
    let first = |words: &[&str]| after(&lines, 0, words);
    // The claim: written, synced, answered.
    let claimed = first(&[ledger, "claimed"]);
    let granted = after(&lines, 0, &["granted", "\\\"epoch\\\":2"]);
    assert!(claimed < synced(claimed) && synced(claimed) < granted);
    // The act: `started`, sync, effect in the world's file, `ended`, answer.
    let started = first(&[ledger, "started", "close"]);
    let effect = first(&["world.part", "disable-access"]);
    let ended = first(&[ledger, "\\\"ended\\\"", "close"]);
    let answered = first(&["\\\"answer\\\":\\\"applied\\\""]);
    assert!(started < synced(started) && synced(started) < effect);
    assert!(effect < ended && ended < answered);
    // Void: written, synced, answered.
    let void = first(&[ledger, "\\\"void\\\"", "/do/void"]);
    let told = after(&lines, 0, &["\\\"void\\\":true", "\\\"answer\\\":\\\"refused\\\""]);
    assert!(void < synced(void) && synced(void) < told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_gone_on_from() {
    let mut desk = Desk::bare().await;
    // A limit on files instead of a full disk: what goes beyond it fails to be written just so.
    let script = "trap '' XFSZ; ulimit -S -f 16; exec \"$@\"";
    let service = start(&mut desk, "", &["/bin/sh", "-c", script, "sh"]).await;
    desk.adopt().await;
    desk.claim("config", 2, 2).await;
    let full = async {
        for n in 0.. {
            let key = key(2, &format!("{}-{n}", "x".repeat(200)));
            let ask = desk.outcome("config", 2, &key, 1);
            match tokio::time::timeout(std::time::Duration::from_secs(1), ask).await {
                Ok(reply) if reply.code() == Some(Code::DiskFull) => {
                    assert!(!reply.void);
                    return n;
                }
                Ok(reply) => assert!(reply.void),
                Err(_) => {} // It waits for room; the next one is told.
            }
        }
        unreachable!()
    };
    let voids = tokio::time::timeout(SOON, full).await.unwrap();
    assert!(voids > 5, "{voids}");
    assert!(service.exited().is_none(), "{}", service.output());
    let free = std::process::Command::new("prlimit")
        .args([format!("--pid={}", service.pid()), "--fsize=unlimited:unlimited".into()])
        .status();
    assert!(free.unwrap().success());
    let going = async {
        while desk.outcome("config", 2, &key(2, "later"), 1).await.code() == Some(Code::DiskFull) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, going).await.unwrap();
    assert_eq!(desk.act("config", 2, &key(2, "close"), 1, CLOSE).await.answer, Answer::Applied);
    service.kill().unwrap();
    // Nothing was lost: what was void is void.
    let service = start(&mut desk, "", &[]).await;
    let first = key(2, &format!("{}-0", "x".repeat(200)));
    assert_eq!(desk.act("config", 2, &first, 1, CLOSE).await.code(), Some(Code::Void));
    service.kill().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_ends_the_service_and_nothing_is_said() {
    let mut desk = Desk::bare().await;
    let strace = lab::tools::in_path("strace").unwrap().display().to_string();
    // From the fourth sync on: adoption, claims of both resources, then this.
    let inject = "inject=fdatasync:error=EIO:when=4+";
    let null = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject];
    let service = start(&mut desk, "", &[&[strace.as_str()], &null[..]].concat()).await;
    desk.adopt().await;
    desk.claim("config", 2, 2).await;
    desk.claim("log", 2, 2).await;
    let key = key(2, "close");
    let answered = tokio::select! {
        reply = desk.outcome("config", 2, &key, 1) => Some(reply),
        () = async {
            while service.exited().is_none() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        } => None,
    };
    assert_eq!(answered, None, "it answered what is not on disk");
    let ended = service.wait_exit(SOON).unwrap();
    assert!(!ended.success(), "{ended}");
    let _again = start(&mut desk, "", &[]).await;
    assert!(desk.outcome("config", 2, &key, 1).await.void);
}
