//! The report of a run, and what proves it.

use std::path::{Path, PathBuf};

use journal::Digest;
use serde_json::Value;

use crate::house::House;

/// A failover from a lost site, which somebody knows will return, by a named risk; gives the run and the head that its last
/// event carried.
fn lost_and_moved(house: &mut House) -> (String, String) {
    house.lose("main");
    house.says(0, &["declare", "outage", "cfg", "--site", "main", "--why", "back at noon"]);
    let words = ["failover", "cfg", "--yes", "--accept-unfenced", "main", "--why", "power is off"];
    house.says(0, &words);
    let event = house.event("run-ended");
    let head = event.data["head"].as_str().unwrap().to_owned();
    (house.last_run()["id"].as_str().unwrap().to_owned(), head)
}

fn write(house: &House, name: &str, text: &str) -> PathBuf {
    let path = house.folder().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[track_caller]
fn verify(house: &House, expected: i32, head: &str, file: &Path) -> String {
    house.says(expected, &["report", "verify", "--head", head, file.to_str().unwrap()])
}

#[test]
fn a_report_says_what_happened_and_only_the_head_from_outside_proves_it() {
    let mut house = House::start();
    let (run, head) = lost_and_moved(&mut house);

    assert_eq!(house.state("secondary", "database.config"), "open");
    assert_eq!(house.effects("secondary", "database.config"), 1);
    let page = house.says(0, &["report", &run]);
    for part in [
        "State: COMPLETED",
        "main -> secondary, epoch 2",
        "Called lost: main",
        "| fence |",
        "| open |",
        "| clients |",
        "| RTO | 5 min 0 s |",
        "declare outage of main",
        "back at noon",
        "accept: main may still take writes (epoch 2)",
        "done | counts as closed: accepted by anna |",
        "closed main: counts as closed: accepted by anna |",
        "anna",
        "power is off",
        "database.enable-access is asked of secondary.database.config",
        "| OWED |",
        "not saved yet: a reprotect by copy does that",
    ] {
        assert!(page.contains(part), "`{part}` is not in\n{page}");
    }
    assert!(page.contains(&head), "{head} is not in\n{page}");
    let html = house.says(0, &["report", &run, "--form", "html"]);
    assert!(html.contains("<td>open</td>") && html.contains(&head), "{html}");

    let json = house.says(0, &["report", &run, "--output", "json"]);
    let file = write(&house, "report.json", &json);
    let found = verify(&house, 0, &head, &file);
    assert!(found.contains("as it was recorded"), "{found}");
    let other = Digest::of(b"another").to_string();
    verify(&house, 8, &other, &file);

    // One reason is rewritten, and every hash after it made anew: whole in itself, with a head of its own.
    let document: Value = serde_json::from_str(&json).unwrap();
    let lines: Vec<String> =
        document["evidence"].as_array().unwrap().iter().map(|l| l.as_str().unwrap().to_owned()).collect();
    let run_stream = format!("run/{run}");
    let (forgery, its_head) = rewritten(&lines, &[&run_stream, "group/cfg"], &run_stream);
    assert_ne!(its_head, head);
    let forged = write(&house, "forged.jsonl", &forgery.join("\n"));
    verify(&house, 0, &its_head, &forged);
    let shown = verify(&house, 8, &head, &forged);
    assert!(shown.contains("this is not what was recorded"), "{shown}");

    // One chain alone cannot be rewritten: each names the other's.
    let (forgery, its_head) = rewritten(&lines, &[&run_stream], &run_stream);
    let shown = verify(&house, 8, &its_head, &write(&house, "run-only.jsonl", &forgery.join("\n")));
    assert!(shown.contains("names another"), "{shown}");
    let alone: Vec<String> = forgery.iter().filter(|line| !in_stream(line, "group/cfg")).cloned().collect();
    let shown = verify(&house, 8, &its_head, &write(&house, "alone.jsonl", &alone.join("\n")));
    assert!(shown.contains("the group's entry"), "{shown}");
    let (forgery, _) = rewritten(&lines, &["group/cfg"], &run_stream);
    let shown = verify(&house, 8, &head, &write(&house, "group-only.jsonl", &forgery.join("\n")));
    assert!(shown.contains("the group's entry"), "{shown}");

    // A line is changed, and no hash.
    let plain: Vec<String> = lines.iter().map(|line| line.replace("power is off", "power is OFF")).collect();
    let shown = verify(&house, 8, &head, &write(&house, "plain.jsonl", &plain.join("\n")));
    assert!(shown.contains("do not match their checksum"), "{shown}");

    // The report is rewritten, and the entries are not.
    let mut forged = document.clone();
    forged["report"]["decisions"][0]["why"] = "nobody knows".into();
    let shown = verify(&house, 8, &head, &write(&house, "forged.json", &forged.to_string()));
    assert!(shown.contains("says something else"), "{shown}");

    // Without the runner, from an export: the same.
    house.kill_runner();
    let export = house.folder().join("export.jsonl");
    house.says(0, &["journal", "export", "--to", export.to_str().unwrap()]);
    let export = export.to_str().unwrap();
    let offline = house.says(0, &["report", &run, "--from", export, "--output", "json"]);
    let offline: Value = serde_json::from_str(&offline).unwrap();
    assert_eq!(offline["report"]["timeline"], document["report"]["timeline"]);
    assert_eq!(offline["report"]["proof"]["head"], document["report"]["proof"]["head"]);
    house.says(0, &["report", "verify", "--head", &head, "--run", &run, export]);
}

#[test]
fn a_report_names_what_followed_and_where_what_only_the_lost_site_had_was_saved() {
    let mut house = House::start();
    let (run, head) = lost_and_moved(&mut house);
    let json = house.says(0, &["report", &run, "--output", "json"]);
    let early = write(&house, "early.json", &json);

    house.serve("main");
    house.heard(&[]);
    house.says(0, &["failover", "cfg", "--to", "main", "--yes", "--why", "it is back"]);
    let next = house.last_run()["id"].as_str().unwrap().to_owned();
    let short = &next[next.len() - 4..];
    let page = house.says(0, &["report", &run]);
    assert!(page.contains(&format!("Followed by: run {short} failover:")), "{page}");
    assert!(page.contains("not saved yet"), "a move saves nothing:\n{page}");
    verify(&house, 0, &head, &early);

    // Where the next one is a reprotect, the ledger is to be found in its report.
    let late: Value = serde_json::from_str(&house.says(0, &["report", &run, "--output", "json"])).unwrap();
    let mut report: paper::Report = serde_json::from_value(late["report"].clone()).unwrap();
    report.followed[0].workflow = "reprotect:1.0.0".into();
    let page = report.markdown();
    assert!(page.contains(&format!("see pointsman report {short}")), "{page}");
    // Nothing is missed that was drained.
    report.rpo.measured_ms = Some(0);
    assert!(!report.markdown().contains("see pointsman report"));

    // A paper of a program that did not say what followed is still as it was recorded; one that says something else is not.
    let mut old = late.clone();
    old["report"].as_object_mut().unwrap().remove("followed");
    verify(&house, 0, &head, &write(&house, "old.json", &old.to_string()));
    let mut forged = late;
    forged["report"]["followed"][0]["workflow"] = "reprotect:1.0.0".into();
    verify(&house, 8, &head, &write(&house, "forged.json", &forged.to_string()));
}

fn stored(line: &str) -> Option<String> {
    let (_, stored) = line.strip_prefix("{\"entry\":")?.strip_suffix("}}")?.split_once("\"stored\":")?;
    Some(stored.to_owned())
}

fn in_stream(line: &str, stream: &str) -> bool {
    stored(line).is_some_and(|stored| stored.starts_with(&format!("{{\"v\":1,\"stream\":\"{stream}\"")))
}

/// The lines with a reason replaced in these chains, every hash that follows from it made anew in them, and
/// the new head of the run.
fn rewritten(lines: &[String], streams: &[&str], run: &str) -> (Vec<String>, String) {
    let mine = |line: &String| streams.iter().any(|stream| in_stream(line, stream));
    let old: Vec<String> = lines.iter().filter(|line| mine(line)).map(|line| stored(line).unwrap()).collect();
    let hash = |stored: &String| Digest::of(stored.as_bytes()).to_string();
    assert!(lines.iter().filter(|l| mine(l)).zip(&old).all(|(line, stored)| line.contains(&hash(stored))));
    let mut new = old.clone();
    loop {
        let hashes: Vec<(String, String)> = old.iter().map(hash).zip(new.iter().map(hash)).collect();
        let next: Vec<String> = old
            .iter()
            .map(|stored| {
                let text = stored.replace("power is off", "power is OFF");
                hashes.iter().fold(text, |text, (from, to)| text.replace(from, to))
            })
            .collect();
        if next == new {
            break;
        }
        new = next;
    }
    assert_ne!(old, new, "nothing was rewritten");
    let mut fresh = new.iter();
    let mut head = String::new();
    let out = lines.iter().map(|line| match mine(line) {
        true => {
            let stored = fresh.next().unwrap();
            if in_stream(line, run) {
                head = hash(stored);
            }
            format!("{{\"entry\":{{\"hash\":\"{}\",\"stored\":{stored}}}}}", hash(stored))
        }
        false => line.clone(),
    });
    (out.collect(), head)
}
