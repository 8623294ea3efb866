//! The journal on another host.

use std::time::Instant;

use serde_json::Value;

use crate::house::{BOUND, House, text};

#[test]
fn an_imported_journal_never_goes_on_in_its_old_epoch_and_asks_before_the_next() {
    let mut house = House::start();
    // A run that has come half way: the names cannot be moved.
    house.lose("witness");
    house.says(
        0,
        &[
            "switchover",
            "cfg",
            "--yes",
            "--detach",
            "--why",
            "planned",
            "--override",
            "witness.dns.cfg-a:answers",
        ],
    );
    let until = Instant::now() + BOUND;
    while house.state("secondary", "cs-primary") != "running" {
        assert!(Instant::now() < until, "{}", house.logs());
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let run = house.last_run()["id"].as_str().unwrap().to_owned();
    house.kill_runner();

    let export = house.folder().join("export.jsonl");
    house.says(0, &["journal", "export", "--to", export.to_str().unwrap()]);
    let cut = house.folder().join("cut.jsonl");
    let whole = std::fs::read_to_string(&export).unwrap();
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    house.new_journal();
    let refused = house.person(&["journal", "import", cut.to_str().unwrap()]);
    assert_eq!(house.code(&refused), 2, "{}", text(&refused));
    house.says(0, &["journal", "import", export.to_str().unwrap()]);
    let twice = house.person(&["journal", "import", export.to_str().unwrap()]);
    assert_eq!(house.code(&twice), 2, "{}", text(&twice));
    assert!(text(&twice).contains("is not empty"), "{}", text(&twice));

    let refused = house.person(&["runner"]);
    assert_eq!(house.code(&refused), 3, "{}", text(&refused));
    assert!(text(&refused).contains("--take-over"), "{}", text(&refused));

    house.run_runner_with(&["--take-over"]);
    house.heard(&["witness"]);
    let status: Value = serde_json::from_str(&house.says(8, &["status", "--output", "json"])).unwrap();
    assert_eq!(status["groups"][0]["mode"], "unknown", "{status}");
    assert!(status["groups"][0]["run"].is_null(), "an old run goes on: {status}");
    let shown: Value = serde_json::from_str(&house.says(6, &["show", &run, "--output", "json"])).unwrap();
    assert_eq!(shown["state"], "fenced");
    let refused = house.person(&["failover", "cfg", "--yes", "--why", "x"]);
    assert_eq!(house.code(&refused), 3, "{}", text(&refused));
    assert!(text(&refused).contains("journal-imported"), "{}", text(&refused));

    // Its services come back meanwhile: nothing is asked of them but what is true now.
    let effects = house.effects("secondary", "database.config");
    let words = ["adopt", "cfg", "--live", "secondary", "--yes", "--why", "host lost"];
    let refused = house.person(&words);
    assert_eq!(house.code(&refused), 3, "{}", text(&refused));
    assert!(text(&refused).contains("witness.dns.cfg-a cannot be asked"), "{}", text(&refused));
    let adopted = house.person(&[&words[..], &["--accept-old-runner-stopped"]].concat());
    assert_eq!(house.code(&adopted), 4, "{}", text(&adopted));
    let status: Value = serde_json::from_str(&house.says(8, &["status", "--output", "json"])).unwrap();
    assert_eq!(status["groups"][0]["epoch"], 3, "{status}");
    assert_eq!(status["groups"][0]["live"], "secondary");
    assert_eq!(house.effects("secondary", "database.config"), effects);
    assert_eq!(house.effects("witness", "dns.cfg-a"), 0);

    // Adopted, it needs no word again.
    house.kill_runner();
    house.run_runner();
    house.heard(&["witness"]);
    let again: Value = serde_json::from_str(&house.says(8, &["status", "--output", "json"])).unwrap();
    assert_eq!(again["groups"][0]["epoch"], 3, "{again}");
}

#[test]
fn who_asks_is_said() {
    let house = House::start();
    let said = house.says(0, &["whoami"]);
    assert!(said.contains("anna") && said.contains("witness"), "{said}");
    let json: Value = serde_json::from_str(&house.says(0, &["whoami", "--output", "json"])).unwrap();
    assert_eq!(json["person"], "anna");
}

#[test]
fn a_shell_completes_groups_and_runs() {
    let house = House::start();
    house.says(0, &["switchover", "cfg", "--yes", "--why", "a rehearsal"]);
    let run = house.last_run()["id"].as_str().unwrap().to_owned();
    let short = &run[run.len() - 4..];
    let script = house.says(0, &["completion", "bash"]);
    assert!(script.contains("COMPLETE"), "{script}");
    let completed = |words: &[&str]| {
        let host = house.folder().join("witness.yaml");
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"))
            .env("COMPLETE", "bash")
            .env("POINTSMAN_CONFIG", host)
            .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string())
            .env("_CLAP_COMPLETE_COMP_TYPE", "9")
            .env("_CLAP_COMPLETE_SPACE", "false")
            .env("_CLAP_IFS", "\n")
            .arg("--")
            .args(words)
            .output()
            .unwrap();
        text(&output)
    };
    assert!(
        completed(&["pointsman", "failover", ""]).contains("cfg"),
        "{}",
        completed(&["pointsman", "failover", ""])
    );
    assert!(
        completed(&["pointsman", "report", ""]).contains(short),
        "{}",
        completed(&["pointsman", "report", ""])
    );
}
