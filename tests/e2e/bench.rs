//! A lab for one test at a time, and what is counted in it.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lab::demo::case;
use lab::demo::kills::{Killer, Part, Shot};
use lab::system::plan::{GROUP, Logging, Site};
use lab::system::{Lab, sweep, until, users};
use schemas::view::{RunState, RunView};
use schemas::{Action, Address, Prefix, Service, Verb};

/// For what takes moments on an idle machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// A lab in normal service. Its folder stays when the test fails: its logs say why.
pub(crate) struct Bench {
    lab: Option<Lab>,
    _alone: MutexGuard<'static, ()>,
}

impl Deref for Bench {
    type Target = Lab;
    fn deref(&self) -> &Lab {
        self.lab.as_ref().unwrap()
    }
}

impl DerefMut for Bench {
    fn deref_mut(&mut self) -> &mut Lab {
        self.lab.as_mut().unwrap()
    }
}

/// One lab at a time: each is a dozen servers.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("e2e-{name}"))
}

impl Bench {
    pub(crate) fn start(name: &str) -> Bench {
        Bench::logging(name, Logging::OwnSite)
    }

    /// The same, with Message Servers that write there.
    pub(crate) fn logging(name: &str, logging: Logging) -> Bench {
        let alone = alone();
        let lab = Lab::up_with(&folder(name), logging, &mut |_| {}).unwrap();
        Bench { lab: Some(lab), _alone: alone }
    }

    /// The same with control servers and their Message Servers in pairs.
    pub(crate) fn start_in_pairs(name: &str) -> Bench {
        let alone = alone();
        let lab = Lab::up_in_pairs(&folder(name), &mut |_| {}).unwrap();
        Bench { lab: Some(lab), _alone: alone }
    }

    /// Ends the lab and removes its folder: the test has passed.
    pub(crate) fn passed(mut self) {
        let lab = self.lab.take().unwrap();
        let folder = lab.plan.folder.clone();
        drop(lab);
        sweep(&folder).unwrap();
        assert!(!folder.exists());
    }

    /// Asks for a move and does not follow it.
    pub(crate) fn begin(&self, workflow: &str, to: Site) {
        let words = [workflow, GROUP, "--to", to.name(), "--yes", "--detach", "--why", "a test"];
        self.pointsman.text(&self.desk(), &words).unwrap();
    }

    /// Moves the group and waits until the move has completed.
    pub(crate) fn moved(&mut self, workflow: &str, to: Site) -> RunView {
        self.begin(workflow, to);
        self.completed(None, 0)
    }

    /// Waits until the newest run has completed; the runner is killed as `killer` says.
    pub(crate) fn completed(&mut self, killer: Option<&Killer>, kills: usize) -> RunView {
        let (view, _) = case::follow(self, killer, kills).unwrap();
        assert_eq!(view.state, RunState::Completed, "{view:#?}");
        view
    }

    /// The writer writes at this site.
    pub(crate) fn written_at(&self, site: Site) {
        let file = self.plan.writer_file();
        let before = users::acknowledged(&file).len();
        until("the writer writes", WITHIN, || {
            let rows = users::acknowledged(&file);
            let fresh = rows.iter().skip(before).filter(|row| row.site() == Some(site)).count();
            Ok((fresh > 20).then_some(()))
        })
        .unwrap();
    }

    /// Each row that was acknowledged so far is in the database of `site`, sooner or later.
    pub(crate) fn nothing_lost(&self, site: Site) {
        let wanted: BTreeSet<i64> =
            users::acknowledged(&self.plan.writer_file()).iter().map(|row| row.n).collect();
        until(&format!("each of {} rows is at {}", wanted.len(), site.name()), WITHIN, || {
            let there = self.numbers(site)?;
            let missing: Vec<i64> = wanted.difference(&there).copied().collect();
            match missing.is_empty() {
                true => Ok(Some(())),
                false => Err(anyhow::anyhow!("missing: {missing:?}")),
            }
        })
        .unwrap();
    }

    /// What an outsider sees of the live site: names, databases, processes, proxies.
    pub(crate) fn lives_at(&self, site: Site) {
        let wrong = self.not_live_at(site).unwrap();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        until(&format!("all proxies use {}", site.name()), WITHIN, || {
            let wrong = self.not_served_by(site);
            if wrong.is_empty() { Ok(Some(())) } else { Err(anyhow::anyhow!("{}", wrong.join("; "))) }
        })
        .unwrap();
    }

    /// Whether the writer's role may log in or write.
    pub(crate) fn is_open(&self, site: Site) -> bool {
        Lab::is_open(self, site).unwrap()
    }

    /// How often Pointsman's start script of a process has started one.
    pub(crate) fn starts(&self, site: Site, process: &str) -> usize {
        let log = self.plan.path("log").join(format!("{}-{process}", site.name()));
        let text = std::fs::read_to_string(log).unwrap_or_default();
        text.lines().filter(|line| line.split_once(" start ").is_some_and(|(_, key)| !key.is_empty())).count()
    }

    /// How often the access of the configuration database was changed.
    pub(crate) fn access_changes(&self, site: Site) -> u64 {
        let sql = "SELECT coalesce(sum(changes + 1), 0)::bigint FROM pointsman.access";
        self.postgres[site.index()].psql("config", sql).unwrap().parse().unwrap()
    }

    /// How often a function of Pointsman's was called in the configuration database.
    pub(crate) fn calls(&self, site: Site, function: &str) -> String {
        let sql = format!(
            "SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions
              WHERE schemaname = 'pointsman' AND funcname = '{function}'"
        );
        self.postgres[site.index()].psql("config", &sql).unwrap()
    }

    /// Who kills the runner at these requests, in this order, at once when each is seen.
    pub(crate) fn killer(&mut self, shots: &[(Site, Service, &str, Action)]) -> Killer {
        let prefix = Prefix::new("pointsman").unwrap();
        let shot = |(site, service, resource, action): &(Site, Service, &str, Action)| {
            let address = Address {
                site: site.name().parse().unwrap(),
                service: *service,
                resource: resource.parse().unwrap(),
            };
            let subject = prefix.request(&address, Verb::Act(*action));
            Shot { part: Part::Request, address, action: *action, subject, after: Duration::ZERO }
        };
        let shots = shots.iter().map(shot).collect();
        let runner = self.runner_pid().unwrap();
        Killer::start(self.bus.urls().remove(2), shots, runner).unwrap()
    }

    /// No read failed, at either proxy.
    pub(crate) fn no_read_failed(&self) {
        for site in Site::ALL {
            let reads = users::reads(&self.plan.reader_file(site)).unwrap();
            assert_eq!(reads.failed, 0, "of {} at {}", reads.reads, site.name());
        }
    }
}
