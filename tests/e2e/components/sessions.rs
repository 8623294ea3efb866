//! Counts master sessions over both databases, all the time.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use lab::system::live::MASTER_SESSIONS;
use lab::system::plan::Site;

use crate::bench::Bench;

const EVERY: Duration = Duration::from_millis(50);

/// Who counts. Ends when it is dropped.
pub(super) struct Sessions {
    ended: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    counting: Option<JoinHandle<Vec<String>>>,
}

impl Sessions {
    pub(super) fn watch(lab: &Bench) -> Sessions {
        let dsns = Site::ALL.map(|site| lab.postgres[site.index()].superuser_dsn("config"));
        let (ended, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (end, counted) = (ended.clone(), looks.clone());
        let counting = std::thread::spawn(move || {
            let look = || dsns.each_ref().map(|dsn| count(dsn));
            let two = |seen: &[u64; 2]| seen.iter().sum::<u64>() > 1;
            let mut wrong = Vec::new();
            while !end.load(Ordering::SeqCst) {
                let seen = look();
                // The sites are not asked at one instant, and who ends is listed a moment longer: what was there before and
                // after was there meanwhile.
                if two(&seen) {
                    let again = look();
                    if two(&again) {
                        wrong.push(format!("at main and secondary {seen:?}, then {again:?}"));
                    }
                }
                counted.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(EVERY);
            }
            wrong
        });
        Sessions { ended, looks, counting: Some(counting) }
    }

    pub(super) fn were_never_two(mut self) {
        self.ended.store(true, Ordering::SeqCst);
        let wrong = self.counting.take().unwrap().join().unwrap();
        assert!(wrong.is_empty(), "{wrong:?}");
        assert!(self.looks.load(Ordering::SeqCst) > 20, "nobody counted");
    }
}

impl Drop for Sessions {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// A database that does not answer has no session that anybody could use.
fn count(dsn: &str) -> u64 {
    let sql = MASTER_SESSIONS.as_str();
    let psql = lab::tools::postgres("psql").unwrap();
    let dsn = format!("{dsn}?connect_timeout=2");
    let done = Command::new(psql).args(["-X", "-A", "-t", "-q", "-c", sql, "-d", &dsn]).output().unwrap();
    String::from_utf8_lossy(&done.stdout).trim().parse().unwrap_or(0)
}
