//! A site is lost with rows that nobody else has: they are saved, and it comes home by copy.

use std::collections::BTreeSet;
use std::process::Command;

use lab::system::loss::By;
use lab::system::plan::{GROUP, Site};
use lab::system::{STATUS_EVERY, databases, equal, until, until_every, users};
use schemas::view::Mode;

use crate::bench::{Bench, WITHIN};

impl Bench {
    pub(crate) fn copy_home(&self) {
        let words = ["reprotect", GROUP, "--by", "copy", "--detach", "--why", "main is back"];
        self.pointsman.typed(&self.desk(), &words, "main").unwrap();
    }

    /// Tables that a copy kept aside.
    fn kept(&self, site: Site) -> i64 {
        let sql = "SELECT count(*) FROM pg_tables WHERE schemaname = 'pointsman_kept'";
        self.postgres[site.index()].psql("config", sql).unwrap().trim().parse().unwrap()
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
    let lost: BTreeSet<i64> =
        acknowledged.difference(&lab.numbers(Site::Secondary).unwrap()).copied().collect();
    assert!(lost.len() >= 20, "{} rows were lost", lost.len());

    lab.return_site(Site::Main).unwrap();
    until_every(STATUS_EVERY, "nothing is owed", WITHIN, || {
        let debts = lab.status()?.debts.len();
        if debts == 0 { Ok(Some(())) } else { Err(anyhow::anyhow!("{debts} are owed")) }
    })
    .unwrap();
    lab.copy_home();
    let run = lab.completed(None, 0);
    assert_eq!(run.not_compared, [] as [String; 0], "users write meanwhile");

    // The ledger has each row that was acknowledged and is missing, and nothing else but what was committed there although
    // its writer never got the answer.
    let ledgers = lab.ledgers(Site::Main).unwrap();
    assert_eq!(ledgers.len(), 1, "{ledgers:?}");
    let text = std::fs::read_to_string(ledgers.first().unwrap()).unwrap();
    let unanswered: BTreeSet<i64> = users::unanswered(&file)
        .iter()
        .filter(|row| row.site() == Some(Site::Main))
        .map(|row| row.n)
        .collect();
    let judged = equal::judge_ledger(&text, &lost, &unanswered).unwrap();
    assert!(judged.wrong.is_empty(), "{judged:#?}");

    // Whoever was not there reads in the run's report where it is and how much it holds.
    let told = lab.pointsman.text(&lab.desk(), &["report", &run.id.to_string()]).unwrap();
    let name = ledgers.first().unwrap().file_name().unwrap().to_str().unwrap();
    let row = told.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{told}"));
    let rows = format!("| {} |", text.lines().count() - 1);
    assert!(row.contains(&rows) && row.contains("sha256 "), "{rows}: {row}");

    lab.equal();
    assert!(!lab.is_open(Site::Main));
    lab.mode(Mode::Normal, "pointsman failback");
    lab.moved("failback", Site::Main);
    lab.written_at(Site::Main);
    lab.lives_at(Site::Main);
    lab.equal();

    // What the copy kept aside is there until somebody says that it may go.
    assert!(lab.kept(Site::Main) > 0);
    let words = ["cleanup", GROUP, "--drop", "main", "--detach", "--why", "a test"];
    lab.pointsman.text(&lab.desk(), &words).unwrap();
    lab.completed(None, 0);
    assert_eq!(lab.kept(Site::Main), 0);
    lab.mode(Mode::Normal, "is live, protected");
    lab.passed();
}
