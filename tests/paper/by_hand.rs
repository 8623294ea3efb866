//! A night without bus and runner.

use schemas::view::Mode;
use serde_json::Value;

use crate::house::{House, text};

/// The commands of a printed manual, each with the site at which it is typed; what is to be filled in is filled in.
fn commands(manual: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut site = String::new();
    for line in manual.lines() {
        if let Some(name) = line.strip_prefix("### ") {
            site = name.split('@').nth(1).unwrap_or_default().to_owned();
        }
        if line.starts_with("pointsman act ") {
            found.push((site.clone(), line.replace("ADDRESS-AT-secondary", "192.0.2.2")));
        }
    }
    found
}

#[test]
fn a_whole_failover_is_done_by_hand_from_the_printed_manual_and_adopted() {
    let mut house = House::start();
    house.lose("main");
    let manual = house.says(0, &["runbook", "failover", "cfg"]);
    for part in [
        "# failover:1.0.0 of cfg, main to secondary",
        "- [ ] No runner moves this group meanwhile",
        "Expected: it cannot be asked",
        "**Only when main is closed, or somebody named takes the risk that it is not.**",
        "# a rehearsal: database.config enable-access in memory",
        "Its service did not say how to do it without Pointsman",
        "- [ ] done at ____:____ by ______________",
        "`pointsman adopt cfg --why \"done by hand\"`",
    ] {
        assert!(manual.contains(part), "`{part}` is not in\n{manual}");
    }

    house.kill_runner();
    // While a service runs, nothing is done beside it.
    let beside = house.shell(
        "secondary",
        "pointsman act database.config enable-access --here --yes \
         --accept-unfenced main --why x",
    );
    assert_eq!(house.code(&beside), 3, "{}", text(&beside));
    assert!(text(&beside).contains("served by a running service"), "{}", text(&beside));
    house.lose("secondary");
    house.lose("witness");
    house.lose_bus();

    let mut done = 0;
    for (site, line) in commands(&manual) {
        if site == "main" {
            continue; // Lost: it is owed.
        }
        let yes = if line.contains("enable-access") { " --yes" } else { "" };
        let output = house.shell(&site, &format!("{line}{yes}"));
        assert_eq!(house.code(&output), 0, "{line}: {}", text(&output));
        done += 1;
    }
    assert!(done >= 6, "{done} commands in\n{manual}");
    assert_eq!(house.state("secondary", "database.config"), "open");
    assert_eq!(house.state("secondary", "cs-primary"), "running");
    assert_eq!(house.state("witness", "dns.cfg-a"), "secondary");
    // Again: a look, and nothing else.
    let again = house.shell(
        "secondary",
        "pointsman act database.config enable-access --here --yes \
         --accept-unfenced main --why again",
    );
    assert!(text(&again).contains("result: done (ALREADY-APPLIED, "), "{}", text(&again));
    let json = house.shell(
        "secondary",
        "pointsman act database.config enable-access --here --yes --output json \
         --accept-unfenced main --why again",
    );
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["answer"], "already-applied", "{json}");
    assert_eq!(house.effects("secondary", "database.config"), 1);
    let notes = std::fs::read_to_string(house.folder().join("secondary/by-hand.jsonl")).unwrap();
    let first: Value = serde_json::from_str(notes.lines().next().unwrap()).unwrap();
    assert_eq!(first["why"], "by the runbook");

    house.bus_back();
    house.serve("secondary");
    house.serve("witness");
    house.run_runner();
    house.heard(&["main"]);
    let adopted = house.person(&["adopt", "cfg", "--live", "secondary", "--yes", "--why", "done by hand"]);
    // Main is silent, and is told to be adopted later.
    assert_eq!(house.code(&adopted), 4, "{}", text(&adopted));
    let status = house.says(8, &["status", "cfg", "--output", "json"]);
    let status: Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["groups"][0]["mode"], serde_json::to_value(Mode::FailedOver).unwrap(), "{status}");
    assert_eq!(status["groups"][0]["live"], "secondary");
    assert_eq!(status["groups"][0]["epoch"], 2);
}

#[test]
fn the_rest_of_a_run_is_printed_and_what_was_done_by_hand_is_not_done_again() {
    let mut house = House::start();
    // The names cannot be moved: the run comes so far and waits.
    house.lose("witness");
    let started = house.person(&[
        "switchover",
        "cfg",
        "--yes",
        "--detach",
        "--why",
        "planned",
        "--override",
        "witness.dns.cfg-a:answers",
    ]);
    assert_eq!(house.code(&started), 0, "{}", text(&started));
    let until = std::time::Instant::now() + crate::house::BOUND;
    let rest = loop {
        let run = house.last_run()["id"].as_str().unwrap().to_owned();
        let rest = house.says(0, &["runbook", "--rest", &run]);
        let open = rest.contains(" open config@secondary");
        if !open && rest.contains("point cfg-a@witness") {
            break rest;
        }
        assert!(std::time::Instant::now() < until, "{rest}\n{}", house.logs());
        std::thread::sleep(std::time::Duration::from_millis(100));
    };
    let run = house.last_run()["id"].as_str().unwrap().to_owned();
    let short = &run[run.len() - 4..];
    assert!(rest.contains(&format!("# The rest of run {short}")), "{rest}");
    assert!(!rest.contains("close config@main"), "what is done is printed again: {rest}");
    assert!(rest.contains("pointsman act dns.cfg-a point --here"), "{rest}");
    assert!(rest.contains(&format!("`pointsman cancel {short} --leave")), "{rest}");

    // From an export alone: the same commands.
    house.kill_runner();
    let export = house.folder().join("export.jsonl");
    house.says(0, &["journal", "export", "--to", export.to_str().unwrap()]);
    let offline = house.says(0, &["runbook", "--rest", &run, "--from", export.to_str().unwrap()]);
    assert_eq!(commands(&offline), commands(&rest));

    for host in ["main", "secondary"] {
        house.lose(host);
    }
    for (site, line) in commands(&rest) {
        let output = house.shell(&site, &line);
        assert_eq!(house.code(&output), 0, "{line}: {}", text(&output));
    }
    assert_eq!(house.state("witness", "dns.cfg-a"), "secondary");
    for host in crate::house::HOSTS {
        house.serve(host);
    }
    house.run_runner();
    house.heard(&[]);
    // The run looks at each step that is left, finds it done, and ends.
    let ended = house.event("run-ended");
    assert_eq!(ended.data["state"], "completed", "{ended:?}");
    assert_eq!(house.effects("witness", "dns.cfg-a"), 1);
    let status = house.person(&["status", "cfg"]);
    assert!(text(&status).contains("live secondary"), "{}", text(&status));
}

#[test]
fn an_act_here_is_refused_where_a_request_would_be() {
    let mut house = House::start();
    house.lose("secondary");
    let act = |house: &House, more: &str| {
        let line = format!("pointsman act database.config {more}");
        let output = house.shell("secondary", &line);
        (house.code(&output), text(&output))
    };
    let (code, said) = act(&house, "enable-access --here --yes --why x");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("--accept-unfenced"), "{said}");
    let (code, said) = act(&house, "enable-access --here --accept-unfenced main --why x");
    assert_eq!(code, 2, "a terminal is needed, or --yes: {said}");
    let (code, said) = act(&house, "start --here --why x");
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("disable-access, enable-access"), "{said}");
    let (code, said) = act(&house, "disable-access --here --print");
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("in memory"), "{said}");
    // The brake holds here too.
    assert_eq!(house.code(&house.on("secondary", &["arm", "--off"])), 0);
    let (code, said) = act(&house, "enable-access --here --yes --accept-unfenced main --why x");
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("not-armed"), "{said}");
    assert_eq!(house.effects("secondary", "database.config"), 0);
}

#[test]
fn a_manual_needs_no_bus() {
    let mut house = House::start();
    let online = house.says(0, &["runbook", "failover", "cfg"]);
    house.kill_runner();
    house.lose_bus();
    let offline = house.says(0, &["runbook", "failover", "cfg", "--offline"]);
    assert!(offline.contains("this host's files; nothing was looked at"), "{offline}");
    let names = |manual: &str| -> Vec<String> {
        commands(manual).into_iter().map(|(site, line)| format!("{site} {line}")).collect()
    };
    let (online, offline) = (names(&online), names(&offline));
    // With main taken for lost there is nothing to drain; all else is the same.
    for line in offline.iter().filter(|line| !line.contains("abandon")) {
        assert!(online.contains(line), "{line} is not in {online:#?}");
    }
    assert!(offline.iter().any(|line| line.contains("abandon")), "{offline:#?}");
}

#[test]
fn a_client_without_names_of_its_own_is_told_them_by_the_manual() {
    let house = House::start();
    let file = |host: &str, dns: &str, more: &str| {
        let at = house.folder().display();
        let text = format!(
            "version: 1\nsite: {host}\ngroups: [cfg]\nstate: {at}/{host}\n\
             bus: {{ servers: [\"nats://127.0.0.1:9\"] }}\ndns: {{ {dns} }}\n{more}"
        );
        std::fs::write(house.folder().join(format!("{host}-2.yaml")), text).unwrap();
    };
    // A manual of the services knows no address: their records are values in memory.
    let manual = house.says(0, &["runbook", "failover", "cfg"]);
    assert!(manual.contains("\"addresses\":[\"ADDRESS-AT-secondary\"]"), "{manual}");
    assert!(manual.contains("Fill in: in place of each `ADDRESS-AT-…`"), "{manual}");
    let line = |manual: &str, what: &str| -> String {
        let lines = commands(manual).into_iter().map(|(_, line)| line);
        lines.into_iter().find(|line| line.contains(what)).unwrap_or_else(|| panic!("{what} in\n{manual}"))
    };
    // The file of the record's host does; of that host it is known too how its file is called.
    let addresses = "driver: rfc2136, addresses: { main: 192.0.2.1, secondary: [192.0.2.2] }";
    let folder = house.folder().display();
    let runner = format!("runner: {{ journal: {folder}/journal, groups: {folder}/groups }}\n");
    file("witness", &format!("cfg-a: {{ {addresses} }}"), &runner);
    let offline = house.on("witness-2", &["runbook", "failover", "cfg", "--offline"]);
    let offline = text(&offline);
    assert!(!offline.contains("ADDRESS-AT-"), "{offline}");
    assert!(line(&offline, "dns.cfg-a point").contains(&format!("--config '{folder}/witness-2.yaml'")));
    assert!(!line(&offline, "dns.s2app follow").contains("--config"), "{offline}");
    assert!(offline.contains("add `--config FILE`"), "{offline}");

    // The client's own driver takes them, and not one that nobody filled in. A file may be named from its own folder.
    file("secondary", "s2app: { client: exec, flush: bin/flush.sh }", "");
    let asked = |line: &str| {
        let output = house.shell("secondary", &format!("{line} --config secondary-2.yaml --print"));
        (house.code(&output), text(&output))
    };
    let flush = house.folder().join("bin/flush.sh");
    for manual in [&manual, &offline] {
        let (code, said) = asked(&line(manual, "dns.s2app follow"));
        assert_eq!(code, 0, "{said}");
        assert!(said.contains("cfg-a.example.net") && said.contains("# must say 192.0.2.2"), "{said}");
        assert!(said.contains(&flush.display().to_string()), "{said}");
    }
    file("secondary", "s2app: { client: none }", "");
    let (code, said) = asked("pointsman act dns.s2app follow --here --args '{\"to\":\"secondary\"}'");
    assert_eq!(code, 2, "{said}");
    let unfilled = line(&manual, "dns.s2app follow").replace("192.0.2.2", "ADDRESS-AT-secondary");
    let (code, said) = asked(&unfilled);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("malformed"), "{said}");
}
