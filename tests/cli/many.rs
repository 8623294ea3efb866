//! Moving every group of a site: one preview and one confirmation, in order, so many at once; none stops another.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use schemas::op::{Op, OpReply};
use schemas::view::{GroupView, RunState, RunView};
use schemas::{Code, Problem, RunId};
use uuid::Uuid;

use crate::pretend::{Runner, group, preview, run};
use crate::{code, pointsman, text};

/// What a pretended runner did.
#[derive(Default)]
struct Site {
    /// In which order the groups were started.
    started: Vec<String>,
    /// How often each run was looked at.
    looks: BTreeMap<RunId, u32>,
    /// How many ran at once, at most.
    most: usize,
}

const GROUPS: [(&str, u32); 5] = [("last", 30), ("held", 10), ("second", 20), ("first", 5), ("busy", 1)];

fn at(name: &str, order: u32, live: &str) -> GroupView {
    let mut view = group(name);
    view.order = order;
    view.live = Some(live.parse().unwrap());
    view
}

fn id(name: &str) -> RunId {
    let place = GROUPS.iter().position(|(group, _)| *group == name).unwrap();
    RunId(Uuid::from_u128((7 << 76) | (2 << 62) | (place as u128 + 1)))
}

fn view(name: &str, state: RunState) -> RunView {
    let mut view = run(state);
    view.id = id(name);
    view.group = Some(name.parse().unwrap());
    if state == RunState::Held {
        view.waits_for = vec![format!("step 5 failed: pointsman retry {}", view.id.short(4))];
    }
    view
}

/// Five groups at main and one elsewhere. One is refused; one is held; a run takes some looks.
fn runner(site: &Arc<Mutex<Site>>) -> Runner {
    let site = Arc::clone(site);
    Runner::start(move |request| match &request.op {
        Op::Status { .. } => {
            let mut groups: Vec<_> = GROUPS.iter().map(|(name, order)| at(name, *order, "main")).collect();
            groups.push(at("elsewhere", 1, "secondary"));
            Some(OpReply::Groups(groups))
        }
        Op::Start { group, overrides, dry_run: true, .. } => {
            let mut preview = preview();
            preview.group = group.clone();
            if group.as_str() == "busy" && overrides.is_empty() {
                preview.refusals = vec![Problem::new(Code::RedPrecondition, "space: the disk is full")];
            }
            Some(OpReply::Preview(Box::new(preview)))
        }
        Op::Start { group, .. } => {
            let mut site = site.lock().unwrap();
            site.started.push(group.to_string());
            Some(OpReply::Started { run: id(group.as_str()), epoch: 12 })
        }
        Op::Show { run } => {
            let mut site = site.lock().unwrap();
            let (name, _) = GROUPS.iter().find(|(name, _)| id(name).to_string() == *run).unwrap();
            let looks = site.looks.entry(id(name)).or_default();
            *looks += 1;
            let ends = *looks >= 3;
            let runs = |name: &str, looks: Option<&u32>| name != "held" && looks.is_none_or(|n| *n < 3);
            let now = site.started.iter().filter(|name| runs(name, site.looks.get(&id(name)))).count();
            site.most = site.most.max(now + usize::from(ends && *name != "held"));
            let state = match (*name, ends) {
                ("held", _) => RunState::Held,
                ("last", true) => RunState::BackedOut,
                (_, true) => RunState::Completed,
                _ => RunState::Running,
            };
            Some(OpReply::Run(Box::new(view(name, state))))
        }
        _ => None,
    })
}

#[test]
fn every_group_of_a_site_moves_in_order_so_many_at_once_and_none_stops_another() {
    let site = Arc::new(Mutex::new(Site::default()));
    let pretended = runner(&site);
    let words = ["failover", "--site", "main", "--at-once", "2", "--yes", "--why", "INC-1"];
    let done = pointsman(&pretended.url(), &words);
    let shown = text(&done);
    assert_eq!(code(&done), 4, "the worst is the one that needs a person\n{shown}");
    for part in [
        "live at main: 5 group(s)",
        "busy · order 1 · REFUSED",
        "the disk is full",
        "first · order 5",
        "run 0002 HELD, waits: step 5 failed: pointsman retry",
        "2 of 5 as they should be",
        "BACKED-OUT",
    ] {
        assert!(shown.contains(part), "`{part}` is not in\n{shown}");
    }
    assert!(!shown.contains("elsewhere"), "{shown}");
    let site = site.lock().unwrap();
    assert_eq!(site.started, ["first", "held", "second", "last"], "{shown}");
    assert_eq!(site.most, 2, "{shown}");
    let started = pretended.asked().into_iter().filter(|request| request.op.changes()).count();
    assert_eq!(started, 4);
}

#[test]
fn one_at_a_time_is_one_at_a_time() {
    let site = Arc::new(Mutex::new(Site::default()));
    let pretended = runner(&site);
    let words = ["switchover", "--site", "main", "--at-once", "1", "--yes", "--why", "CHG-1"];
    let done = pointsman(&pretended.url(), &words);
    assert_eq!(code(&done), 4, "{}", text(&done));
    let site = site.lock().unwrap();
    assert_eq!((site.most, site.started.len()), (1, 4));
}

#[test]
fn nothing_is_started_by_a_look_or_without_a_word() {
    let site = Arc::new(Mutex::new(Site::default()));
    let pretended = runner(&site);
    let why = ["--why", "INC-1"];
    for (words, expected, part) in [
        (&["failover", "--site", "main", "--dry-run"][..], 3, "first · order 5"),
        (&["failover", "--site", "main"][..], 2, "use `--yes`"),
        (&["failover", "--site", "third", "--yes"][..], 2, "no group is live at `third`"),
        (&["failover", "cfg", "--site", "main", "--yes"][..], 2, "cannot be used with"),
        (&["failover", "--site", "main", "--yes", "--override", "none"][..], 2, "is called `none`"),
    ] {
        let done = pointsman(&pretended.url(), &[words, &why].concat());
        assert_eq!(code(&done), expected, "{words:?}: {}", text(&done));
        assert!(text(&done).contains(part), "`{part}` is not in\n{}", text(&done));
    }
    assert!(pretended.asked().iter().all(|request| !request.op.changes()));
    // Named, the red line of one group is gone past there, and only there.
    let words = ["failover", "--site", "main", "--dry-run", "--override", "space"];
    let done = pointsman(&pretended.url(), &[&words[..], &why].concat());
    assert_eq!(code(&done), 0, "{}", text(&done));
    let named = |request: &schemas::op::OpRequest| match &request.op {
        Op::Start { group, overrides, .. } if !overrides.is_empty() => Some(group.to_string()),
        _ => None,
    };
    assert_eq!(pretended.asked().iter().filter_map(named).collect::<Vec<_>>(), ["busy"]);
}
