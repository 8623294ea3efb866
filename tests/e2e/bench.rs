//! A lab for one test at a time, and what is counted in it.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lab::demo::case;
use lab::demo::kills::{Killer, Part, Shot};
use lab::standin::MASTER_LOCK;
use lab::system::plan::{GROUP, NAMES, PROCESSES, PROXIES, Site};
use lab::system::{Lab, sweep, until, users};
use schemas::view::{RunState, RunView};
use schemas::{Action, Address, Prefix, Service, Verb};

/// For what takes moments on an idle machine.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// Counts the master sessions of the database that is asked.
pub(crate) static MASTER_SESSIONS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
            AND classid = {} AND objid = {}",
        MASTER_LOCK >> 32,
        MASTER_LOCK & 0xffff_ffff
    )
});

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
        let alone = alone();
        let lab = Lab::up(&folder(name), &mut |_| {}).unwrap();
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
            let rows = self.postgres[site.index()].psql("config", "SELECT n FROM entry")?;
            let there: BTreeSet<i64> = rows.lines().filter_map(|line| line.parse().ok()).collect();
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
        let [main, secondary] = &self.names;
        let servers = [&self.bind, &main.authority, &secondary.authority, &main.cache, &secondary.cache];
        for (name, last) in NAMES.into_iter().zip([3, 4]) {
            for server in servers {
                assert_eq!(server.lookup(name).unwrap(), [site.ip(last)], "{name} at {}", server.address());
            }
        }
        assert_eq!(self.master_sessions(), [(site, 1)], "master sessions, over both databases");
        assert!(self.is_open(site), "{} is closed", site.name());
        assert!(!self.is_open(site.other()), "{} is open, too", site.other().name());
        for process in PROCESSES.iter().filter(|process| process.live_only) {
            assert_eq!(self.running(site, process.name), 1, "{} at {}", process.name, site.name());
            let other = site.other();
            assert_eq!(self.running(other, process.name), 0, "{} at {}", process.name, other.name());
        }
        let normal = format!("normal {}", site.ip(3));
        let attached = format!("PONG control attached {}", site.ip(6));
        for at in Site::ALL {
            let says = |process: &str, line: &str, answer: &str| {
                until(&format!("{process} at {} says {answer}", at.name()), WITHIN, || {
                    let said = self.ask(at, process, line)?;
                    if said == answer { Ok(Some(())) } else { Err(anyhow::anyhow!("{said}")) }
                })
                .unwrap();
            };
            for proxy in PROXIES {
                says(proxy, "MODE", &normal);
            }
            says("site-scs", "PING", &attached);
        }
    }

    /// Where a configuration server holds a master session, and how many do. A database that does not answer
    /// has none that is seen.
    pub(crate) fn master_sessions(&self) -> Vec<(Site, u64)> {
        let count =
            |site: Site| self.postgres[site.index()].psql("config", &MASTER_SESSIONS).unwrap_or_default();
        let all = Site::ALL.map(|site| (site, count(site).parse().unwrap_or(0)));
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Whether the writer's role may log in and write.
    pub(crate) fn is_open(&self, site: Site) -> bool {
        let sql = "SELECT (SELECT rolcanlogin FROM pg_roles WHERE rolname = 'cfg_db')
                     OR has_table_privilege('cfg_db', 'entry', 'INSERT')";
        self.postgres[site.index()].psql("config", sql).unwrap() == "t"
    }

    /// How many processes of this name run at a site.
    pub(crate) fn running(&self, site: Site, process: &str) -> usize {
        let mark = format!("POINTSMAN_LAB_PROCESS={}/{process}", site.name());
        let lab = lab::system::marked::of_lab(&self.plan.folder);
        let is = |pid: &&u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes())
        };
        lab.iter().filter(is).count()
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
