//! A move is practised beside production, which is only looked at.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::house::{HOSTS, House, text};

/// A loss that nobody can tell is asked about, and a pager that says so when it is called.
fn more(folder: &Path) -> String {
    let page = folder.join("page.sh");
    std::fs::write(&page, format!("#!/bin/sh\ntouch {}/called\n", folder.display())).unwrap();
    std::fs::set_permissions(&page, std::fs::Permissions::from_mode(0o755)).unwrap();
    let page = page.display();
    format!("loss: {{ max: 30s }}\nnotify: {{ held: {page}, completed: {page} }}\n")
}

/// Every state of production and how often it was changed.
fn world(house: &House) -> Vec<(Value, usize)> {
    let resources = [
        "database.config",
        "replication.csp",
        "replication.css",
        "cs-primary",
        "cs-backup",
        "dns.cfg-a",
        "dns.s2app",
    ];
    let all = HOSTS.iter().flat_map(|host| resources.iter().map(move |resource| (host, resource)));
    all.map(|(host, resource)| (house.state(host, resource), house.effects(host, resource))).collect()
}

#[test]
fn a_failover_is_practised_with_main_lost_and_production_is_as_before() {
    let house = House::with(more);
    house.heard(&[]);
    let before = world(&house);
    let report = house.folder().join("drill.md");
    let words = ["drill", "cfg", "--why", "monthly", "--report", report.to_str().unwrap()];
    let said = house.says(0, &words);
    for part in [
        "drill of failover main->secondary, in memory, under `pointsman.drill-",
        "lost         main",
        "open config@secondary",
        "COMPLETED",
        "would have been asked: may main still be open? (`accept --unfenced main`)",
        "would have been asked: may this be lost? (`accept --data-loss`)",
        "would have been told of `held` by",
        "would have been told of `completed` by",
        "production   unchanged",
    ] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    assert!(std::fs::read_to_string(&report).unwrap().contains("open config@secondary"));

    // Nothing of production was changed, nobody was called, and no run is known.
    assert_eq!(world(&house), before);
    assert!(!house.folder().join("called").exists(), "a drill called the pager");
    assert!(house.says(0, &["runs", "cfg"]).contains("No run yet"));
    let told = house.group_event("drilled");
    assert_eq!(told.data["drill"]["state"], "completed");
    assert_eq!(told.data["by"]["why"], "monthly");

    // The next preview says when it was practised, and which of the moves was not.
    let preview = house.says(0, &["failover", "cfg", "--dry-run", "--why", "x"]);
    let line = |text: &str| text.lines().find(|line| line.contains("last drill")).unwrap().to_owned();
    assert!(line(&preview).contains("today, main->secondary, completed in"), "{preview}");
    assert!(line(&preview).contains("2 questions"), "{preview}");
    let preview = house.says(0, &["switchover", "cfg", "--dry-run", "--why", "x"]);
    assert!(line(&preview).contains("never practised"), "{preview}");
}

#[test]
fn a_planned_move_is_practised_from_where_production_stands() {
    let mut house = House::start();
    house.heard(&[]);
    house.says(0, &["switchover", "cfg", "--yes", "--why", "CHG-1"]);
    let before = world(&house);
    let said = house.says(
        0,
        &["drill", "cfg", "--workflow", "failback", "--why", "before the way home", "--output", "json"],
    );
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!(last["drill"]["from"], "secondary");
    assert_eq!(last["drill"]["to"], "main");
    assert_eq!(last["drill"]["state"], "completed");
    assert_eq!(last["drill"]["asked"], serde_json::json!([]));
    assert_eq!(last["changed"], serde_json::json!([]));
    assert_eq!(world(&house), before);

    // What cannot be practised is refused before anything is begun.
    let unknown = house.person(&["drill", "cfg", "--workflow", "nonsense", "--why", "x"]);
    assert_eq!(house.code(&unknown), 2, "{}", text(&unknown));
    let elsewhere = house.on("main", &["drill", "cfg", "--why", "x"]);
    assert_eq!(house.code(&elsewhere), 2, "{}", text(&elsewhere));
    assert!(text(&elsewhere).contains("this host runs no runner"), "{}", text(&elsewhere));
    house.kill_runner();
    let silent = house.person(&["drill", "cfg", "--why", "x"]);
    assert_eq!(house.code(&silent), 7, "{}", text(&silent));
}

#[test]
fn a_move_that_is_refused_in_a_drill_is_recorded_so() {
    let house = House::start();
    house.heard(&[]);
    let way = |preview: &str| preview.lines().find(|line| line.contains("last drill")).unwrap().to_owned();
    house.says(0, &["drill", "cfg", "--alive", "--why", "monthly"]);
    house.group_event("drilled");
    house.says(0, &["failover", "cfg", "--yes", "--why", "INC-1"]);
    // It was practised the other way only.
    let preview = way(&text(&house.person(&["failover", "cfg", "--dry-run", "--why", "x"])));
    assert!(
        preview.contains("never secondary->main, today main->secondary: pointsman drill cfg"),
        "{preview}"
    );

    // Nothing comes to main yet: a planned move there would be refused, and is so in memory.
    let before = world(&house);
    let done = house.person(&["drill", "cfg", "--workflow", "switchover", "--why", "before CHG-1"]);
    assert_eq!(house.code(&done), 3, "{}", text(&done));
    for part in ["refused      ", "main.replication.css:stopped", "production   unchanged"] {
        assert!(text(&done).contains(part), "`{part}` is not in\n{}", text(&done));
    }
    assert!(!text(&done).contains("would have been asked"), "{}", text(&done));
    assert_eq!(world(&house), before);
    let told = house.group_event("drilled");
    assert!(told.data["drill"]["refused"].as_str().unwrap().contains("css:stopped"), "{told:?}");
    assert_eq!(told.data["by"]["why"], "before CHG-1");
    let status = house.says(8, &["status", "cfg"]);
    assert!(status.contains("drill: switchover secondary->main refused"), "{status}");
    let preview = house.person(&["switchover", "cfg", "--dry-run", "--why", "x"]);
    let line = way(&text(&preview));
    assert!(line.contains("secondary->main, refused: ") && line.contains("DID NOT START"), "{line}");
}
