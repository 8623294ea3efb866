//! What breaks in peace is told before the night.

use std::time::{Duration, Instant};

use lab::system::plan::{GROUP, Site};
use lab::system::until;

use crate::bench::{Bench, WITHIN};
use crate::nights::{refused, status};

/// From the first error on.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// Somebody's own rows at secondary are in the way of those that come: told with the reason of its server's log.
#[test]
fn replication_breaks_in_peace_and_status_says_why() {
    let lab = Bench::start("peace-broken");
    let secondary = |sql: &str| lab.postgres[Site::Secondary.index()].psql("config", sql).unwrap();
    let last: i64 = lab.postgres[Site::Main.index()]
        .psql("config", "SELECT max(id) FROM entry")
        .unwrap()
        .parse()
        .unwrap();
    let (first, end) = (last + 100, last + 200);
    secondary(&format!(
        "INSERT INTO entry (id, n, text) SELECT i, -i, 'xyzzy' FROM generate_series({first}, {end}) i"
    ));
    until("a row cannot be applied", WITHIN, || {
        let errors = "SELECT coalesce(sum(apply_error_count), 0) > 0 FROM pg_stat_subscription_stats";
        Ok((secondary(errors) == "t").then_some(()))
    })
    .unwrap();
    let since = Instant::now();
    let told =
        "duplicate key value violates unique constraint \"entry_pkey\" (INSERT on public.entry, finished at ";
    let view =
        status(&lab, "the reason is told", |view| view.warnings.iter().any(|line| line.contains(told)));
    assert!(since.elapsed() < TOLD_WITHIN, "{:?}", since.elapsed());
    assert!(
        view.sentence.contains("csp at secondary is broken") && view.sentence.contains(told),
        "{view:#?}"
    );
    // No value of a row is.
    let all = serde_json::to_string(&view).unwrap();
    assert!(!all.contains("already exists") && !all.contains("xyzzy"), "{all}");
    let why = refused(&lab, &["switchover", GROUP, "--to", "secondary", "--yes"]);
    assert!(why.contains("secondary.replication.csp:broken") && why.contains(told), "{why}");
    assert!(lab.is_open(Site::Main));

    // Mended, it goes on by itself, and nothing is told any more.
    secondary("DELETE FROM entry WHERE text = 'xyzzy'");
    status(&lab, "it is mended", |view| {
        view.sentence.starts_with("main is live, protected")
            && !view.warnings.iter().any(|line| line.contains(told))
    });
    lab.nothing_lost(Site::Secondary);
    lab.written_at(Site::Main);
    lab.no_read_failed();
    lab.passed();
}
