//! The operator's commands: what they are told, that a runner which is killed owes it all the same, and that
//! nothing waits for them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::house::{BOUND, House};

/// Writes down what it is told; it works once there is a file `works`, and hangs while there is one `hangs`.
const PAGE: &str = "#!/bin/sh
echo try >> FOLDER/tries
if [ -e FOLDER/hangs ]; then echo $$ >> FOLDER/hung; sleep 600; fi
if [ ! -e FOLDER/works ]; then echo no such pager >&2; exit 3; fi
cat >> FOLDER/said
echo $POINTSMAN_NOTIFY $POINTSMAN_GROUP $POINTSMAN_STATE $POINTSMAN_TO $POINTSMAN_SHORT >> FOLDER/short
";

fn notifying(folder: &Path) -> String {
    let page = folder.join("page.sh");
    std::fs::write(&page, PAGE.replace("FOLDER", &folder.display().to_string())).unwrap();
    std::fs::set_permissions(&page, std::fs::Permissions::from_mode(0o755)).unwrap();
    let page = page.display();
    format!("notify: {{ held: {page}, failed: {page}, completed: {page} }}\n")
}

fn lines(house: &House, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(house.folder().join(name)).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn until(house: &House, what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + BOUND;
    while !done() {
        assert!(Instant::now() < until, "waited for {what}\n{}", house.logs());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_command_that_failed_is_called_by_the_next_runner_until_it_works_and_then_no_more() {
    let mut house = House::with(notifying);
    house.heard(&[]);
    let check = house.says(0, &["config", "check"]);
    assert!(check.contains("group cfg"), "{check}");

    // It fails: the run does not care.
    house.says(0, &["switchover", "cfg", "--yes", "--why", "CHG-1"]);
    let run = house.last_run();
    assert_eq!(run["state"], "completed");
    until(&house, "a second try", || lines(&house, "tries").len() >= 2);
    let status = house.says(8, &["status", "cfg"]);
    assert!(status.contains("notify.completed") && status.contains("no such pager"), "{status}");
    assert!(lines(&house, "said").is_empty());

    // The runner is killed, the pager mended, the next runner tells it.
    house.kill_runner();
    std::fs::write(house.folder().join("works"), "").unwrap();
    house.run_runner();
    let told = house.group_event("notified");
    assert_eq!(told.data["notice"], 1);
    let said: Vec<Value> = lines(&house, "said").iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!(said[0]["notify"], "completed");
    assert_eq!(said[0]["run"], run["id"]);
    assert_eq!(said[0]["why"], "CHG-1");
    let short = said[0]["short"].as_str().unwrap();
    assert_eq!(lines(&house, "short"), [format!("completed cfg completed secondary {short}")]);

    // One more life of the runner: it was told, and is not told again.
    let tries = lines(&house, "tries").len();
    house.kill_runner();
    house.run_runner();
    house.heard(&[]);
    assert_eq!(lines(&house, "tries").len(), tries);

    // A command that hangs delays nothing, and ends with its runner.
    std::fs::write(house.folder().join("hangs"), "").unwrap();
    house.says(0, &["switchover", "cfg", "--yes", "--why", "CHG-2"]);
    until(&house, "a command that hangs", || !lines(&house, "hung").is_empty());
    house.says(0, &["switchover", "cfg", "--yes", "--why", "CHG-3"]);
    house.kill_runner();
    until(&house, "the end of the commands", || {
        lines(&house, "hung").iter().all(|pid| !Path::new("/proc").join(pid).exists())
    });
    std::fs::remove_file(house.folder().join("hangs")).unwrap();
    house.run_runner();
    until(&house, "both to be told", || lines(&house, "short").len() == 3);
}

#[test]
fn a_wait_for_a_persons_word_is_told() {
    let mut house = House::with(notifying);
    std::fs::write(house.folder().join("works"), "").unwrap();
    house.heard(&[]);
    house.lose("main");
    house.says(0, &["failover", "cfg", "--yes", "--detach", "--why", "INC-1"]);
    until(&house, "the word", || !lines(&house, "short").is_empty());
    assert!(
        lines(&house, "short")[0].starts_with("held cfg waiting secondary "),
        "{:?}",
        lines(&house, "short")
    );
    let said: Value = serde_json::from_str(&lines(&house, "said")[0]).unwrap();
    let text = said["text"].as_str().unwrap();
    assert!(text.contains("--unfenced main"), "{text}");
}
