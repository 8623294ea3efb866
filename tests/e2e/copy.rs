//! A site is lost with rows that nobody else has: they are saved, and it comes home by copy.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use lab::system::loss::By;
use lab::system::plan::{GROUP, Site};
use lab::system::{STATUS_EVERY, databases, until, until_every, users};
use schemas::view::Mode;
use serde_json::Value;

use crate::bench::{Bench, WITHIN};

impl Bench {
    /// The site's name is typed, at a terminal that `script` (util-linux) makes.
    fn copy_home(&self) {
        let program = self.pointsman.path.display();
        let line = format!(
            "{program} --config {} reprotect {GROUP} --by copy --detach --why 'main is back'",
            self.desk().display()
        );
        let mut typing = Command::new("script")
            .args(["-qec", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        typing.stdin.take().unwrap().write_all(b"main\n").unwrap();
        let done = typing.wait_with_output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    }

    /// Tables that a copy kept aside.
    fn kept(&self, site: Site) -> i64 {
        let sql = "SELECT count(*) FROM pg_tables WHERE schemaname = 'pointsman_kept'";
        self.postgres[site.index()].psql("config", sql).unwrap().trim().parse().unwrap()
    }

    fn numbers(&self, site: Site) -> BTreeSet<i64> {
        let rows = self.postgres[site.index()].psql("config", "SELECT n FROM entry").unwrap();
        rows.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

#[test]
fn main_was_lost_with_rows_of_its_own_and_comes_home_by_copy() {
    let mut lab = Bench::start("copy");
    let file = lab.plan.writer_file();
    // A link that stalls: rows are acknowledged at main that the secondary never gets.
    let sender = databases::sender(&lab.postgres[0], "lab_config_fwd").unwrap();
    assert!(Command::new("kill").args(["-STOP", &sender.to_string()]).status().unwrap().success());
    let before = users::acknowledged(&file).len();
    until("rows are acknowledged that the secondary does not have", WITHIN, || {
        Ok((users::acknowledged(&file).len() > before + 20).then_some(()))
    })
    .unwrap();
    lab.lose_site(Site::Main, By::Kill).unwrap();
    until("monitoring has started a failover", WITHIN, || lab.newest_run()).unwrap();
    lab.completed(None, 0);
    lab.written_at(Site::Secondary);
    let acknowledged: BTreeSet<i64> = users::acknowledged(&file)
        .iter()
        .filter(|row| row.site() == Some(Site::Main))
        .map(|row| row.n)
        .collect();
    let lost: BTreeSet<i64> = acknowledged.difference(&lab.numbers(Site::Secondary)).copied().collect();
    assert!(lost.len() >= 20, "{} rows were lost", lost.len());

    lab.return_site(Site::Main).unwrap();
    until_every(STATUS_EVERY, "nothing is owed", WITHIN, || {
        let debts = lab.status()?.debts.len();
        if debts == 0 { Ok(Some(())) } else { Err(anyhow::anyhow!("{debts} are owed")) }
    })
    .unwrap();
    lab.copy_home();
    lab.completed(None, 0);

    // The ledger has each row that was acknowledged and is missing.
    let folder = lab.plan.host("s1db").join("state/ledgers");
    let ledgers = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let ledger =
        ledgers.filter(|path| path.extension().is_some_and(|end| end == "jsonl")).collect::<Vec<_>>();
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    let text = std::fs::read_to_string(&ledger[0]).unwrap();
    let saved: BTreeSet<i64> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["table"] == "public.entry" && line["do"] == "insert")
        .map(|line| line["new"]["n"].as_str().unwrap().parse().unwrap())
        .collect();
    let unsaved: Vec<&i64> = lost.difference(&saved).collect();
    assert!(unsaved.is_empty(), "lost and not in the ledger: {unsaved:?}");
    // And nothing else, but what was committed there although its writer never got the answer.
    let unanswered: BTreeSet<i64> = users::unanswered(&file)
        .iter()
        .filter(|row| row.site() == Some(Site::Main))
        .map(|row| row.n)
        .collect();
    let more: Vec<&i64> = saved.iter().filter(|n| !lost.contains(n) && !unanswered.contains(n)).collect();
    assert!(more.is_empty(), "in the ledger and not lost: {more:?}");

    lab.equal();
    assert!(!lab.is_open(Site::Main));
    lab.mode(Mode::Normal, "pointsman failback");
    lab.moved("failback", Site::Main);
    lab.written_at(Site::Main);
    lab.lives_at(Site::Main);
    lab.equal();

    // What the copy kept aside is there until somebody says that it may go.
    assert!(lab.kept(Site::Main) > 0);
    lab.moved("cleanup", Site::Secondary);
    assert_eq!(lab.kept(Site::Main), 0);
    lab.mode(Mode::Normal, "protected");
    lab.passed();
}
