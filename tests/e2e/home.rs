//! The way home: a site that was left comes back, catches up, and takes the group again.

use lab::system::loss::By;
use lab::system::plan::{GROUP, Site};
use lab::system::{STATUS_EVERY, until, until_every};
use schemas::view::{Mode, RunState, RunView};
use schemas::{Action, Service};

use crate::bench::{Bench, WITHIN};

impl Bench {
    /// Brings the site that is not live up to date; says what the command said.
    fn reprotect(&self) -> anyhow::Result<String> {
        self.pointsman.text(&self.desk(), &["reprotect", GROUP, "--yes", "--detach", "--why", "a test"])
    }

    /// Each table is the same at both sites, as far as rows were acknowledged.
    pub(crate) fn equal(&self) {
        self.tables_equal().unwrap();
    }

    pub(crate) fn mode(&self, mode: Mode, sentence: &str) {
        until_every(STATUS_EVERY, &format!("the mode is {mode:?}"), WITHIN, || {
            let status = self.status()?;
            // A live site that does not answer is told before what was last seen.
            let fits = status.mode == mode
                && status.sentence.contains(sentence)
                && !status.sentence.starts_with("nothing of ");
            if fits { Ok(Some(())) } else { Err(anyhow::anyhow!("{:?}: {}", status.mode, status.sentence)) }
        })
        .unwrap();
    }

    /// The slots of the configuration database at a site.
    pub(crate) fn slots(&self, site: Site) -> String {
        let sql =
            "SELECT coalesce(string_agg(slot_name, ' ' ORDER BY slot_name), '') FROM pg_replication_slots
                    WHERE slot_name LIKE 'lab_config%'";
        self.postgres[site.index()].psql("config", sql).unwrap()
    }
}

/// A failover whose source answers loses nothing; then main is lost, comes back, catches up and is live again.
#[test]
fn main_comes_back_catches_up_and_takes_the_group_home() {
    let mut lab = Bench::start("home");
    lab.moved("failover", Site::Secondary);
    lab.written_at(Site::Secondary);
    lab.lives_at(Site::Secondary);
    lab.mode(Mode::FailedOver, "pointsman reprotect");

    lab.lose_site(Site::Main, By::Kill).unwrap();
    lab.written_at(Site::Secondary);
    lab.return_site(Site::Main).unwrap();
    until_every(STATUS_EVERY, "main is heard and owes nothing", WITHIN, || {
        let status = lab.status()?;
        let silent = status.resources.iter().filter(|r| r.silent).count();
        match silent + status.debts.len() {
            0 => Ok(Some(())),
            _ => Err(anyhow::anyhow!("{silent} are silent, {:?} are owed", status.debts)),
        }
    })
    .unwrap();

    // The runner is killed at three requests on the way, and goes on.
    let killer = lab.killer(&[
        (Site::Main, Service::Replication, "css", Action::StartReplication),
        (Site::Main, Service::Replication, "csp", Action::Discard),
        (Site::Main, Service::Replication, "css", Action::Drain),
    ]);
    lab.reprotect().unwrap();
    let run = lab.completed(Some(&killer), 3);
    assert_eq!(run.state, RunState::Completed);
    assert!(!lab.is_open(Site::Main), "it is a closed standby");
    assert!(lab.is_open(Site::Secondary));
    lab.mode(Mode::Normal, "pointsman failback");
    assert_eq!((lab.slots(Site::Main).as_str(), lab.slots(Site::Secondary).as_str()), ("", "lab_config_rev"));
    lab.equal();
    lab.nothing_lost(Site::Main);

    let opened = lab.access_changes(Site::Main);
    let killer = lab.killer(&[
        (Site::Main, Service::Replication, "csp", Action::Capture),
        (Site::Main, Service::Database, "config", Action::EnableAccess),
    ]);
    lab.begin("failback", Site::Main);
    lab.completed(Some(&killer), 2);
    assert_eq!(lab.access_changes(Site::Main), opened + 1);
    lab.written_at(Site::Main);
    lab.lives_at(Site::Main);
    lab.mode(Mode::Normal, "main is live, protected");
    lab.equal();
    lab.nothing_lost(Site::Main);
    lab.nothing_lost(Site::Secondary);
    lab.passed();
}

/// Main is killed while it is written to: nobody knows what it kept, so it does not catch up.
#[test]
fn a_site_that_was_lost_is_not_caught_up_over_what_only_it_has() {
    let mut lab = Bench::start("orphans");
    lab.lose_site(Site::Main, By::Kill).unwrap();
    until("monitoring has started a failover", WITHIN, || lab.newest_run()).unwrap();
    lab.completed(None, 0);
    lab.return_site(Site::Main).unwrap();
    until_every(STATUS_EVERY, "nothing is owed", WITHIN, || {
        let debts = lab.status()?.debts.len();
        if debts == 0 { Ok(Some(())) } else { Err(anyhow::anyhow!("{debts} are owed")) }
    })
    .unwrap();
    let refused = lab.reprotect().unwrap_err().to_string();
    assert!(refused.contains("--by copy"), "{refused}");
    lab.mode(Mode::FailedOver, "--by copy");
    lab.passed();
}

/// Every database is closed and nothing is live: the group is established at main, and the secondary protects it.
#[test]
fn what_is_closed_everywhere_is_established() {
    let mut lab = Bench::start("establish");
    let close = "ALTER ROLE cfg_db NOLOGIN;
                 REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public FROM cfg_db;
                 SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'cfg_db'";
    let none = ["adopt", GROUP, "--none-live", "--yes", "--why", "a test"];
    let refused = lab.pointsman.text(&lab.desk(), &none).unwrap_err().to_string();
    assert!(refused.contains("main.database.config is not seen closed"), "{refused}");
    lab.postgres[0].psql("config", close).unwrap();
    lab.postgres[1].psql("config", "ALTER SUBSCRIPTION lab_config_fwd DISABLE").unwrap();
    until("no site is live", WITHIN, || lab.pointsman.text(&lab.desk(), &none).map(Some)).unwrap();
    lab.mode(Mode::Unknown, "pointsman establish");

    // A row that only the secondary has: the sites are not alike, so nothing opens and nothing is called protected.
    lab.postgres[1].psql("config", "INSERT INTO entry (id, n, text) VALUES (-1, -1, 'a stray')").unwrap();
    lab.begin("establish", Site::Main);
    let state = |wanted: fn(&RunView) -> bool| {
        until("the run has come so far", WITHIN, || Ok(lab.newest_run()?.filter(wanted))).unwrap()
    };
    let run = state(|run| run.state == RunState::Held);
    let words = run.waits_for.join(" ");
    assert!(words.contains("do not hold the same rows"), "{words}");
    assert_eq!(run.differs, ["public.entry of csp@secondary"]);
    assert!(!lab.is_open(Site::Main));
    let id = run.id.to_string();
    lab.pointsman.text(&lab.desk(), &["cancel", &id, "--why", "a test"]).unwrap();
    state(|run| run.state.ended());
    lab.postgres[1].psql("config", "DELETE FROM entry WHERE id = -1").unwrap();

    lab.begin("establish", Site::Main);
    lab.completed(None, 0);
    lab.written_at(Site::Main);
    lab.lives_at(Site::Main);
    lab.mode(Mode::Normal, "main is live, protected");
    lab.equal();
    lab.nothing_lost(Site::Secondary);
    lab.passed();
}
