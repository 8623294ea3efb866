//! What a copy kept aside is dropped by the name of what keeps it, and by nothing else.

use std::process::Output;

use schemas::op::{Op, OpReply, Preview};
use schemas::view::RunState;
use schemas::{Aside, AsideAt, Code, Problem};

use crate::pretend::{Runner, preview, run};
use crate::{code, pointsman, text};

/// A runner whose receivers keep so many tables at main and at the secondary, where that was seen.
fn kept(main: Option<u64>, secondary: Option<u64>, refusals: Vec<Problem>) -> Runner {
    let at = |site: &str, tables: Option<u64>| AsideAt {
        site: site.parse().unwrap(),
        resource: "css".parse().unwrap(),
        seen: tables.map(|tables| Aside { tables, ..Aside::default() }),
    };
    let aside = Some(vec![at("main", main), at("secondary", secondary)]);
    let workflow = "cleanup:1.0.0".into();
    let found = Preview { workflow, aside, refusals, ..preview() };
    Runner::start(move |request| match &request.op {
        Op::Start { dry_run: true, .. } => Some(OpReply::Preview(Box::new(found.clone()))),
        Op::Start { .. } => Some(OpReply::Started { run: run(RunState::Running).id, epoch: 12 }),
        _ => None,
    })
}

fn cleanup(runner: &Runner, more: &[&str]) -> Output {
    let words = [&["cleanup", "cfg", "--detach", "--why", "x"][..], more].concat();
    pointsman(&runner.url(), &words)
}

fn started(runner: &Runner) -> bool {
    runner.asked().iter().any(|request| request.op.changes())
}

#[test]
fn kept_tables_are_dropped_by_the_name_of_what_keeps_them_and_not_by_yes() {
    for (main, secondary, word, wrong) in
        [(3, 0, "main", "secondary"), (0, 3, "secondary", "cfg"), (1, 1, "cfg", "main")]
    {
        let runner = kept(Some(main), Some(secondary), Vec::new());
        let wanted = format!("`--drop {word}`");
        for (more, exit, part) in [
            (&[] as &[&str], 2, wanted.as_str()),
            (&["--yes"][..], 2, wanted.as_str()),
            (&["--yes", "--drop", wrong][..], 3, "nothing was started"),
        ] {
            let refused = cleanup(&runner, more);
            assert_eq!(code(&refused), exit, "{more:?}: {}", text(&refused));
            assert!(text(&refused).contains(part), "{more:?}: {}", text(&refused));
        }
        assert!(!started(&runner), "something was started");
        let begun = cleanup(&runner, &["--drop", word]);
        assert_eq!(code(&begun), 0, "{}", text(&begun));
        assert!(started(&runner), "nothing was started");
    }
}

#[test]
fn of_a_site_that_was_not_seen_nobody_says_that_it_keeps_something() {
    for (main, secondary, wanted) in [
        (Some(1), Some(1), "dropped at both sites: "),
        (Some(1), None, "dropped at both sites, as far as they keep some: "),
        (None, None, "dropped at both sites, as far as they keep some: "),
    ] {
        let runner = kept(main, secondary, Vec::new());
        let refused = cleanup(&runner, &[]);
        assert_eq!(code(&refused), 2, "{}", text(&refused));
        assert!(text(&refused).contains(wanted), "`{wanted}` is not in\n{}", text(&refused));
    }
}

#[test]
fn where_nothing_is_kept_aside_a_cleanup_starts_nothing() {
    let runner = kept(Some(0), Some(0), Vec::new());
    let ways: [&[&str]; 4] = [&[], &["--yes"], &["--drop", "main"], &["--dry-run"]];
    for more in ways {
        let done = cleanup(&runner, more);
        assert_eq!(code(&done), 0, "{more:?}: {}", text(&done));
        let part = "nothing is kept aside: no run is started";
        assert!(text(&done).contains(part), "{more:?}: {}", text(&done));
    }
    let json = |more: &[&str]| -> serde_json::Value {
        let done = cleanup(&runner, &[&["--output", "json"][..], more].concat());
        assert_eq!(code(&done), 0, "{more:?}: {}", text(&done));
        serde_json::from_slice(&done.stdout).unwrap()
    };
    let (done, dry) = (json(&[]), json(&["--dry-run"]));
    assert!(done["started"].is_null() && done.get("started").is_some(), "{done}");
    assert!(done["preview"]["aside"].is_array(), "{done}");
    assert!(dry["preview"]["aside"].is_array() && dry.get("started").is_none(), "{dry}");
    assert!(!started(&runner), "something was started");
}

#[test]
fn that_nothing_is_kept_aside_hides_no_refusal_and_no_run_that_is_to_be_superseded() {
    let runner = kept(Some(0), Some(0), vec![Problem::new(Code::Declared, "main is gone")]);
    for more in [&[][..], &["--dry-run"]] {
        let refused = cleanup(&runner, more);
        assert_eq!(code(&refused), 3, "{more:?}: {}", text(&refused));
        assert!(text(&refused).contains("main is gone"), "{}", text(&refused));
    }
    assert!(!started(&runner), "something was started");

    let runner = kept(Some(0), Some(0), Vec::new());
    let other = run(RunState::Held).id.to_string();
    let asked = cleanup(&runner, &["--supersede", &other]);
    assert_eq!(code(&asked), 2, "{}", text(&asked));
    assert!(text(&asked).contains("of which nothing is kept: `--drop cfg`"), "{}", text(&asked));
    let begun = cleanup(&runner, &["--supersede", &other, "--drop", "cfg"]);
    assert_eq!(code(&begun), 0, "{}", text(&begun));
    assert!(started(&runner), "nothing was started");
}
