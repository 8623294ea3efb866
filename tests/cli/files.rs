//! Commands about files, and what they leave on the disk.

use std::path::Path;

use crate::{code, command, text};

fn run(words: &[&str], folder: &Path) -> std::process::Output {
    command().current_dir(folder).args(words).output().unwrap()
}

#[test]
fn init_writes_files_that_check_and_never_overwrites() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let init = run(&["init", "etc"], folder);
    assert_eq!(code(&init), 0, "{}", text(&init));
    for name in ["host.yaml", "defaults.yaml", "groups/cfg.yaml"] {
        assert!(folder.join("etc").join(name).is_file(), "{name}");
    }
    let check = run(&["config", "check", "--config", "etc/host.yaml"], folder);
    // Valid; only the secrets that it names are still to be put there.
    assert_eq!(code(&check), 8, "{}", text(&check));
    assert!(text(&check).contains("group cfg between main and secondary"), "{}", text(&check));
    let said = text(&check);
    let warnings: Vec<&str> = said.lines().filter(|line| line.starts_with("warning:")).collect();
    assert!(!warnings.is_empty() && warnings.iter().all(|line| line.contains("is not there")), "{said}");

    std::fs::write(folder.join("etc/host.yaml"), "mine").unwrap();
    let again = run(&["init", "etc"], folder);
    assert_eq!(code(&again), 2, "{}", text(&again));
    assert_eq!(std::fs::read_to_string(folder.join("etc/host.yaml")).unwrap(), "mine");
}

#[test]
fn a_bad_file_is_2_with_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir_all(folder.join("groups")).unwrap();
    std::fs::write(folder.join("groups/g.yaml"), "version: 1\ngroup: g\nsites: [a, b]\nfenc: {}\n").unwrap();
    let check = run(&["config", "check", "--config", "none.yaml", "--groups", "groups"], folder);
    assert_eq!(code(&check), 2, "{}", text(&check));
    for part in ["groups/g.yaml:4:1", "unknown field `fenc`", "fenc: {}", "^^^^"] {
        assert!(text(&check).contains(part), "`{part}` is not in\n{}", text(&check));
    }
    let host = "version: 1\nsite: a\ngroups: [g]\nbus: { servers: [\"nats://127.0.0.1:1\"] }\nstate: state\nprocess:\n  \
                power-b: { driver: exec, start: on.sh, stop: off.sh, closes: b, health: { http: \"http://127.0.0.1:1/\" } }\n";
    std::fs::write(folder.join("host.yaml"), host).unwrap();
    let check = run(&["config", "check", "--config", "host.yaml"], folder);
    assert_eq!(code(&check), 2, "{}", text(&check));
    for part in ["host.yaml:7:", "`closes: b` needs `driver: exec` with a `check` script"] {
        assert!(text(&check).contains(part), "`{part}` is not in\n{}", text(&check));
    }
    std::fs::write(
        folder.join("w.yaml"),
        "document: { dsl: '1.0.3', name: x }\ndo:\n  - a: { nonsense: 1 }\n",
    )
    .unwrap();
    let validate = run(&["validate", "w.yaml"], folder);
    assert_eq!(code(&validate), 2, "{}", text(&validate));
    assert!(text(&validate).contains("w.yaml:"), "{}", text(&validate));
    let json = run(&["validate", "w.yaml", "--output", "json"], folder);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(value["errors"][0]["line"].is_u64(), "{value}");
    // A function of a catalog has no head, and is checked by itself; a call of one is compared with what it takes.
    let function = "input: { schema: { document: { required: [site] } } }\nmetadata: { dr: { effect: closes } }\n\
                    call: group.await-closed:1.0.0@default\nwith: { place: '${ .site }' }\n";
    std::fs::write(folder.join("site.wait.yaml"), function).unwrap();
    let call = "document: { dsl: '1.0.3', namespace: t, name: t, version: '1.0.0' }\n\
                do:\n  - a:\n      call: site.open:1.0.0@default\n      with: { site: main }\n";
    std::fs::write(folder.join("w.yaml"), call).unwrap();
    let validate = run(&["validate", "site.wait.yaml", "w.yaml"], folder);
    assert_eq!(code(&validate), 2, "{}", text(&validate));
    for part in
        ["site.wait.yaml:4:9", "takes no `place`", "w.yaml:5:13", "`site.open` needs `databases` in `with`"]
    {
        assert!(text(&validate).contains(part), "`{part}` is not in\n{}", text(&validate));
    }
    let mended = function.replace("place", "site").replace("closes", "observes");
    std::fs::write(folder.join("site.wait.yaml"), mended).unwrap();
    let validate = run(&["validate", "site.wait.yaml"], folder);
    assert_eq!(code(&validate), 0, "{}", text(&validate));
    let what = "site.wait, a function that observes, with 1 tasks; it takes site";
    assert!(text(&validate).contains(what), "{}", text(&validate));
    assert_eq!(code(&run(&["validate", "absent.yaml"], folder)), 2);
    assert_eq!(code(&run(&["validate"], folder)), 2);
}

#[test]
fn what_would_fail_on_the_night_is_warned_of_by_day() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir_all(folder.join("groups")).unwrap();
    let group = "version: 1\ngroup: g\nsites: [a, b]\nlive_only: [cs, web]\neverywhere: [proxy]\n\
                 trigger: { run: failovre }\n";
    std::fs::write(folder.join("groups/h.yaml"), group).unwrap();
    let host = "version: 1\nsite: a\ngroups: [g, other]\nbus: { servers: [\"nats://127.0.0.1:1\"] }\nstate: state\n\
                page: page.sh\nrunner: { journal: journal, groups: groups }\ndatabase:\n  \
                config: { group: g, driver: postgres, dsn: \"file:config.dsn\", writers: [] }\nprocess:\n  \
                cs: { group: g, driver: exec, start: on.sh, stop: off.sh, health: { http: \"http://127.0.0.1:1/\" } }\n  \
                web: { group: g, driver: exec, start: on.sh, stop: off.sh, check: is.sh, repoint: { a: a.sh, moon: m.sh }, pointed: p.sh }\n  \
                proxy: { group: g, driver: exec, start: on.sh, stop: off.sh }\n  \
                webb: { group: other, driver: memory }\n  lost: { group: g, driver: memory }\n";
    std::fs::write(folder.join("host.yaml"), host).unwrap();
    let check = run(&["config", "check", "--config", "host.yaml"], folder);
    assert_eq!(code(&check), 8, "{}", text(&check));
    let lost = format!("process.lost: {}/groups/h.yaml names none at `a`", folder.display());
    for part in [
        "groups: there is no file for the group `other`",
        "process.web: repoint: `moon` is no site of a group",
        "groups/h.yaml: its group is `g`",
        "config.dsn is not there",
        "database.config: `writers` is empty",
        "page.sh is not there, or no program",
        "trigger.run: there is no workflow `failovre`",
        "process.cs: no `check` script",
        "process.cs: start: ",
        "on.sh is not there, or no program",
        lost.as_str(),
    ] {
        assert!(text(&check).contains(part), "`{part}` is not in\n{}", text(&check));
    }
    for part in ["process.web: no", "process.proxy: no", "webb"] {
        assert!(!text(&check).contains(part), "`{part}` is in\n{}", text(&check));
    }
}

#[test]
fn one_wrong_key_is_one_error_at_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(code(&run(&["init", "--host", "database", "."], folder)), 0);
    let file = folder.join("host.yaml");
    let right = std::fs::read_to_string(&file).unwrap();
    // Both replications need this database.
    let wrong = right.replacen("    driver: postgres ", "    drivr: postgres ", 1);
    assert_ne!(wrong, right);
    std::fs::write(&file, &wrong).unwrap();
    let check = run(&["config", "check", "--config", "host.yaml"], folder);
    assert_eq!(code(&check), 2, "{}", text(&check));
    let line = wrong.lines().position(|line| line.starts_with("    drivr:")).unwrap() + 1;
    let place = format!("host.yaml:{line}:5");
    for part in [place.as_str(), "is `drivr` meant to be `driver`?", "\n1 error"] {
        assert!(text(&check).contains(part), "`{part}` is not in\n{}", text(&check));
    }
}

#[test]
fn the_brake_is_let_go_and_pulled() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let text_of_host =
        "version: 1\nsite: a\nbus: { servers: [nats://localhost], person: anna }\nstate: state\n";
    std::fs::write(folder.join("host.yaml"), text_of_host).unwrap();
    let flag = folder.join("state/armed");
    for (words, there, part) in [
        (&["arm"][..], true, "The brake is off: "),
        (&["arm"][..], true, "The brake is off, as before: "),
        (&["arm", "--off"][..], false, "The brake is on: "),
        (&["arm", "--off"][..], false, "The brake is on, as before: "),
    ] {
        let output = run(&[&["--config", "host.yaml"], words].concat(), folder);
        assert_eq!(code(&output), 0, "{}", text(&output));
        assert_eq!(flag.exists(), there);
        if there {
            let said = std::fs::read_to_string(&flag).unwrap();
            assert!(said.contains("\"by\":\"anna ("), "{said}");
        }
        assert!(text(&output).contains(part), "{}", text(&output));
    }
}

#[test]
fn the_set_up_of_a_database_is_printed_from_the_hosts_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    assert_eq!(code(&run(&["init", ".", "--host", "database"], folder)), 0);
    let setup = run(&["--config", "host.yaml", "setup", "postgres", "--print"], folder);
    assert_eq!(code(&setup), 0, "{}", text(&setup));
    for part in ["'main'", "'config'", "cfg_db", "rev_config", "pub_config", "COMMIT;"] {
        assert!(text(&setup).contains(part), "`{part}` is not in\n{}", text(&setup));
    }
    assert!(text(&setup).starts_with("-- Pointsman: set-up of the database DATABASE (resource `config`)"));
    // Several, each in its own database.
    let host = "version: 1\nsite: main\ngroups: [cfg]\nbus: { servers: [\"nats://127.0.0.1:1\"] }\ndatabase:\n  \
                config: { driver: postgres, dsn: \"file:config.dsn\", writers: [a] }\n  \
                log: { driver: postgres, dsn: \"file:log.dsn\", writers: [a] }\n";
    std::fs::write(folder.join("two.yaml"), host).unwrap();
    let two = || run(&["--config", "two.yaml", "setup", "postgres", "--print"], folder);
    assert_eq!(code(&two()), 2, "{}", text(&two()));
    for name in ["config", "log"] {
        let dsn = format!("host=127.0.0.1 dbname={name}_db user=pointsman");
        std::fs::write(folder.join(format!("{name}.dsn")), dsn).unwrap();
    }
    let said = text(&two());
    for part in [
        "\\connect \"config_db\"\n-- Pointsman",
        "\\connect \"log_db\"\n-- Pointsman",
        "database log_db (resource `log`)",
    ] {
        assert!(said.contains(part), "`{part}` is not in\n{said}");
    }
    let other = run(&["--config", "host.yaml", "setup", "postgres", "--print", "--database", "x"], folder);
    assert_eq!(code(&other), 2, "{}", text(&other));
}

#[test]
fn a_relative_path_of_the_hosts_file_counts_from_its_folder_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::create_dir_all(folder.join("a/main")).unwrap();
    let host = "version: 1\nsite: a\nbus: { servers: [\"tls://127.0.0.1:1\"], creds: bus.creds, tls: { ca: ca.pem } }\n\
                state: state\n";
    std::fs::write(folder.join("a/main/host.yaml"), host).unwrap();
    let check = |expected: i32| {
        let check = run(&["config", "check", "--config", "a/main/host.yaml"], folder);
        assert_eq!(code(&check), expected, "{}", text(&check));
        text(&check)
    };
    let said = check(8);
    for name in ["bus.creds", "ca.pem"] {
        let part = format!(": {}/a/main/{name} is not there", folder.display());
        assert!(said.contains(&part), "`{part}` is not in\n{said}");
    }
    for name in ["bus.creds", "ca.pem"] {
        let path = folder.join("a/main").join(name);
        std::fs::write(&path, "x").unwrap();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, closed).unwrap();
    }
    check(0);
}

#[test]
fn a_journal_that_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let verify = run(&["journal", "verify", "--journal", "none"], folder.path());
    assert_eq!(code(&verify), 1, "{}", text(&verify));
    assert!(text(&verify).contains("could not open the journal none"), "{}", text(&verify));
}

#[test]
fn a_manual_from_the_files_alone_goes_where_its_workflow_goes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let host = "version: 1\nsite: witness\nbus: { servers: [\"nats://127.0.0.1:1\"] }\nstate: state\n\
                runner: { journal: journal, groups: groups }\n";
    std::fs::create_dir_all(folder.join("etc/groups")).unwrap();
    std::fs::write(folder.join("etc/host.yaml"), host).unwrap();
    let group = "version: 1\ngroup: cfg\nsites: [main, secondary]\ndatabases:\n  \
                 config: { kind: one-live, replication: { main->secondary: csp, secondary->main: css } }\n";
    std::fs::write(folder.join("etc/groups/cfg.yaml"), group).unwrap();
    let print = |words: &[&str]| {
        let mut all = vec!["--config", "etc/host.yaml", "runbook"];
        all.extend(words);
        all.push("--offline");
        run(&all, folder)
    };
    let live = |site: &str| format!("{site} is taken to be the live site; see that it is");
    for (words, title, taken, there, absent) in [
        (
            &["failover", "cfg"][..],
            "main to secondary",
            live("main"),
            &["close config@main", "open config@secondary"][..],
            &["open config@main", "every resource answers"][..],
        ),
        (
            &["switchover", "cfg"][..],
            "main to secondary",
            live("main"),
            &["close config@main", "open config@secondary"][..],
            &["open config@main", "at a lost site"][..],
        ),
        (
            &["failback", "cfg"][..],
            "secondary to main",
            live("secondary"),
            &["close config@secondary", "open config@main"][..],
            &["open config@secondary"][..],
        ),
        (
            &["establish", "cfg"][..],
            "secondary to main",
            "either secondary nor main is taken to be live".to_owned(),
            &["close config@secondary", "close config@main", "open config@main"][..],
            &["open config@secondary"][..],
        ),
        (
            &["reprotect", "cfg", "--by", "catch-up"][..],
            "secondary to main",
            live("secondary"),
            &["close config@main"][..],
            &["open config@", "close config@secondary"][..],
        ),
        (
            &["cleanup", "cfg"][..],
            "main to secondary",
            live("main"),
            &["drop css@main"][..],
            &["open config@"][..],
        ),
    ] {
        let output = print(words);
        let said = text(&output);
        assert_eq!(code(&output), 0, "{words:?}: {said}");
        for part in [&format!("of cfg, {title}"), &taken].map(String::as_str).iter().chain(there) {
            assert!(said.contains(part), "{words:?}: `{part}` is not in\n{said}");
        }
        // Said twice: a box before, an assumption after.
        assert_eq!(said.matches(taken.as_str()).count(), 2, "{words:?}: {said}");
        for part in absent {
            assert!(!said.contains(part), "{words:?}: `{part}` is in\n{said}");
        }
    }
    for (words, part) in [
        (&["reprotect", "cfg"][..], "`--by catch-up`, or `--by copy`"),
        (&["failback", "cfg", "--to", "secondary"][..], "the way home goes to main"),
        (&["failover", "cfg", "--by", "copy"][..], "takes no `--by`"),
        (&["failover", "cfg", "--to", "moon"][..], "no site `moon`"),
    ] {
        let output = print(words);
        assert_eq!(code(&output), 2, "{}", text(&output));
        assert!(text(&output).contains(part), "`{part}` is not in\n{}", text(&output));
    }
}
