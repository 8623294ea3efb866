//! What would be done, and that nothing is.

use serde_json::Value;

use crate::house::{House, text};

#[test]
fn a_plan_says_each_step_from_todays_observations_and_leaves_no_entry() {
    let mut house = House::start();
    house.kill_runner();
    let before = house.entries();
    house.run_runner();
    house.heard(&[]);

    let plan = house.says(0, &["plan", "switchover", "cfg"]);
    for part in [
        "main->secondary",
        "stop cs-backup@main",
        "close config@main",
        "drain csp@secondary",
        "open config@secondary",
        "start cs-primary@secondary",
        "point cfg-a@witness",
        "then it is completed",
        "estimate: no estimate",
        "assumed: each step that can be asked succeeds",
        "loss: nothing, once every stream is drained",
    ] {
        assert!(plan.contains(part), "`{part}` is not in\n{plan}");
    }
    let order = |part: &str| plan.find(part).unwrap_or_else(|| panic!("`{part}`"));
    assert!(order("close config@main") < order("open config@secondary"), "{plan}");
    assert!(!plan.contains("OWED"), "{plan}");

    // What is so already is said; the dry run of the command says the same.
    let dry = house.says(0, &["failover", "cfg", "--dry-run", "--why", "x"]);
    assert!(dry.contains("open config@secondary") && dry.contains("then it is completed"), "{dry}");
    let json = house.says(0, &["plan", "failover", "cfg", "--output", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    let step = |name: &str| {
        let steps = json["plan"]["steps"].as_array().unwrap();
        steps.iter().find(|step| step["name"] == name).unwrap_or_else(|| panic!("{name}: {json}")).clone()
    };
    assert_eq!(step("close config@main")["foreseen"]["expected"], "done");

    // As if main were lost, while all is well: the paper for that night.
    for words in
        [["plan", "failover", "cfg", "--lost", "main"], ["runbook", "failover", "cfg", "--lost", "main"]]
    {
        let night = house.says(0, &words);
        assert!(night.contains("abandon csp@secondary") && !night.contains("drain csp@secondary"), "{night}");
    }
    let nowhere = house.person(&["plan", "failover", "cfg", "--lost", "nowhere"]);
    assert_eq!(house.code(&nowhere), 2, "{}", text(&nowhere));

    house.kill_runner();
    assert_eq!(house.entries(), before, "a plan left an entry");
    for (host, resource) in [("main", "database.config"), ("secondary", "database.config")] {
        assert_eq!(house.effects(host, resource), 0, "{host} {resource}");
    }
    house.run_runner();
    house.heard(&[]);

    // With the site lost: what cannot be asked is owed, and the opening waits for somebody's word.
    house.lose("main");
    let plan = house.says(0, &["plan", "failover", "cfg"]);
    let line = |plan: &str, part: &str| {
        plan.lines().find(|line| line.contains(part)).unwrap_or_else(|| panic!("`{part}`: {plan}")).to_owned()
    };
    assert!(line(&plan, "close config@main").contains("OWED"), "{plan}");
    assert!(line(&plan, "closed main").contains("WAITS"), "{plan}");
    assert!(plan.contains("waiting comes on top") || plan.contains("no estimate"), "{plan}");

    // After a move the next plan has its times.
    house.serve("main");
    house.heard(&[]);
    house.says(0, &["switchover", "cfg", "--yes", "--why", "a rehearsal"]);
    let plan = house.says(0, &["plan", "switchover", "cfg"]);
    assert!(plan.contains("secondary->main"), "{plan}");
    assert!(plan.contains("as run"), "{plan}");
    let unknown = house.person(&["plan", "nonsense", "cfg"]);
    assert_eq!(house.code(&unknown), 2, "{}", text(&unknown));
}
