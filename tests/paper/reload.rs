//! What of the files on disk does not run yet, and having it taken.

use crate::house::{House, text};

#[test]
fn a_changed_file_is_named_then_taken_and_a_bad_one_changes_nothing() {
    let house = House::start();
    let same = house.says(0, &["config", "diff"]);
    assert!(same.contains("Nothing differs from what runs: runner, serve."), "{same}");

    let file = house.folder().join("groups/cfg.yaml");
    let was = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, was.replace("rto: 5m", "rto: 7m")).unwrap();
    let differs = house.says(8, &["config", "diff"]);
    assert!(differs.contains("group cfg: /target/rto: \"PT5M\" runs, \"PT7M\" on disk"), "{differs}");
    let taken = house.says(0, &["config", "reload", "--why", "CHG-14"]);
    assert!(taken.contains("taken: cfg"), "{taken}");
    house.says(0, &["config", "diff"]);
    assert_eq!(house.group_event("file-taken").data["by"]["why"], "CHG-14");

    // A bad one: with its place, and the runner goes on as it was.
    std::fs::write(&file, was.replace("target:", "tragte:")).unwrap();
    let refused = house.person(&["config", "reload", "--why", "CHG-15"]);
    assert_eq!(house.code(&refused), 2, "{}", text(&refused));
    for part in ["cfg.yaml:", "tragte", "nothing was changed", "explain bad-configuration"] {
        assert!(text(&refused).contains(part), "`{part}` is not in\n{}", text(&refused));
    }
    let line = was.lines().position(|line| line.starts_with("target:")).unwrap() + 1;
    assert!(text(&refused).contains(&format!("cfg.yaml:{line}:1: ")), "{}", text(&refused));
    std::fs::write(&file, was.replace("rto: 5m", "rto: 7m")).unwrap();
    house.says(0, &["config", "diff"]);

    // What stands in the host's file is named by its key, and by no value.
    let host = house.folder().join("witness.yaml");
    let text = std::fs::read_to_string(&host).unwrap();
    std::fs::write(&host, text.replace("points_at: main", "points_at: secondary")).unwrap();
    let differs = house.says(8, &["config", "diff"]);
    for part in
        ["new start of `pointsman runner`: /dns/cfg-a/points_at", "`pointsman serve`: /dns/cfg-a/points_at"]
    {
        assert!(differs.contains(part), "`{part}` is not in\n{differs}");
    }
    let named = house.says(8, &["config", "reload", "--why", "CHG-16"]);
    assert!(
        named.contains("No group's file has changed") && named.contains("/dns/cfg-a/points_at"),
        "{named}"
    );
}
