//! Where the system is live, as an outsider sees it: in databases, names, processes, and with its users.

use std::sync::LazyLock;

use super::plan::{NAMES, PROXIES, Site};
use super::{Lab, marked};
use crate::standin::{MASTER_ASKS, MASTER_LOCK};

/// Counts the master sessions of the database that is asked, whoever started them: a session that has the master's lock or
/// waits for it, and one of the servers' role that works without it: the lock is never held twice, so it alone would hide a
/// second one. A pair is one: its backup has asked for the lock and nothing else.
pub static MASTER_SESSIONS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT count(*) FROM pg_stat_activity s WHERE datname = current_database()
            AND (usename = 'cfg_db' AND query NOT IN ('', '{MASTER_ASKS}')
              OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = s.pid AND l.locktype = 'advisory'
                           AND l.objsubid = 1 AND l.classid = {} AND l.objid = {}))",
        MASTER_LOCK >> 32,
        MASTER_LOCK & 0xffff_ffff
    )
});

impl Lab {
    /// What is not as it is when the system is live at `site` and nowhere else: names at each server, sessions,
    /// access, processes.
    ///
    /// # Errors
    ///
    /// When a server does not answer.
    pub fn not_live_at(&self, site: Site) -> anyhow::Result<Vec<String>> {
        let mut wrong = Vec::new();
        let mut expect = |good: bool, what: String| {
            if !good {
                wrong.push(what);
            }
        };
        let other = site.other();
        let [main, secondary] = &self.names;
        for (server, of) in [
            (&self.bind, None),
            (&main.authority, Some(Site::Main)),
            (&main.cache, Some(Site::Main)),
            (&secondary.authority, Some(Site::Secondary)),
            (&secondary.cache, Some(Site::Secondary)),
        ] {
            if of.is_some_and(|of| self.is_lost(of)) {
                continue;
            }
            for (name, last) in NAMES.into_iter().zip([3, 4]) {
                let found = server.lookup(name)?;
                expect(found == [site.ip(last)], format!("{name} is {found:?} at {}", server.address()));
            }
        }
        let sessions = self.master_sessions();
        expect(sessions == [(site, 1)], format!("master sessions over both databases: {sessions:?}"));
        expect(self.is_open(site)?, format!("{} is closed", site.name()));
        expect(self.is_lost(other) || !self.is_open(other)?, format!("{} is open, too", other.name()));
        for process in self.plan.processes().into_iter().filter(|process| process.live_only) {
            for (at, wanted) in [(site, 1), (other, 0)] {
                let found = self.running(at, process.name);
                expect(found == wanted, format!("{found} of {} run at {}", process.name, at.name()));
            }
        }
        Ok(wrong)
    }

    /// Which proxies and control servers, of sites that are not lost, do not use what is live at `site`.
    #[must_use]
    pub fn not_served_by(&self, site: Site) -> Vec<String> {
        let normal = format!("normal {}", site.ip(3));
        let attached = format!("PONG control attached {}", site.ip(6));
        let mut wrong = Vec::new();
        for at in Site::ALL.into_iter().filter(|at| !self.is_lost(*at)) {
            let proxies = PROXIES.map(|proxy| (proxy, "MODE", &normal));
            for (process, line, wanted) in proxies.into_iter().chain([("site-scs", "PING", &attached)]) {
                let said = self.ask(at, process, line).unwrap_or_else(|error| format!("{error:#}"));
                if said != *wanted {
                    wrong.push(format!("{process} at {} says `{said}`, not `{wanted}`", at.name()));
                }
            }
        }
        wrong
    }

    /// Whether the whole site is lost.
    #[must_use]
    pub fn is_lost(&self, site: Site) -> bool {
        site.hosts().iter().all(|host| self.lost().contains_key(host))
    }

    /// Where a configuration server holds a master session, and how many do. A database that does not answer
    /// has none that is seen.
    #[must_use]
    pub fn master_sessions(&self) -> Vec<(Site, u64)> {
        let count =
            |site: Site| self.postgres[site.index()].psql("config", &MASTER_SESSIONS).unwrap_or_default();
        let all = Site::ALL.map(|site| (site, count(site).parse().unwrap_or(0)));
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// Whether the writer's role may log in or write.
    ///
    /// # Errors
    ///
    /// When the database does not answer.
    pub fn is_open(&self, site: Site) -> anyhow::Result<bool> {
        let sql = "SELECT (SELECT rolcanlogin FROM pg_roles WHERE rolname = 'cfg_db')
                     OR has_table_privilege('cfg_db', 'entry', 'INSERT')";
        Ok(self.postgres[site.index()].psql("config", sql)? == "t")
    }

    /// How many processes of this name run at a site.
    #[must_use]
    pub fn running(&self, site: Site, process: &str) -> usize {
        let mark = format!("POINTSMAN_LAB_PROCESS={}/{process}", site.name());
        let is = |pid: &&u32| {
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|pair| pair == mark.as_bytes())
        };
        marked::of_lab(&self.plan.folder).iter().filter(is).count()
    }
}
