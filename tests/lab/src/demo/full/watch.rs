//! Asks every proxy in which mode it is, all the time: how long its clients could not write.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::standin::running;
use crate::system::Lab;
use crate::system::plan::{PROXIES, Site};

const EVERY: Duration = Duration::from_millis(50);
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Limited time of a proxy.
#[derive(Debug, Default)]
struct Limited {
    since: Option<Instant>,
    longest: Duration,
}

impl Limited {
    fn see(&mut self, mode: Option<&str>, now: Instant) {
        match mode {
            Some(mode) if mode.starts_with("limited") => {
                let since = *self.since.get_or_insert(now);
                self.longest = self.longest.max(now - since);
            }
            Some(_) => {
                if let Some(since) = self.since.take() {
                    self.longest = self.longest.max(now - since);
                }
            }
            // One that does not run has no clients.
            None => self.since = None,
        }
    }

    fn take(&mut self, now: Instant) -> Duration {
        let longest = std::mem::take(&mut self.longest);
        self.since = self.since.map(|_| now);
        longest
    }
}

/// Who asks. Ends when it is dropped.
#[derive(Debug)]
pub struct Proxies {
    ended: Arc<AtomicBool>,
    all: Vec<Arc<Mutex<Limited>>>,
}

impl Proxies {
    /// Begins to ask each proxy of both sites.
    ///
    /// # Errors
    ///
    /// Never for the lab's own names.
    pub fn watch(lab: &Lab) -> anyhow::Result<Proxies> {
        let ended = Arc::new(AtomicBool::new(false));
        let mut all = Vec::new();
        for (site, proxy) in Site::ALL.into_iter().flat_map(|site| PROXIES.map(|proxy| (site, proxy))) {
            let at = lab.plan.at_named(site, proxy)?;
            let limited = Arc::new(Mutex::new(Limited::default()));
            let (end, seen) = (ended.clone(), limited.clone());
            std::thread::spawn(move || ask(at, &end, &seen));
            all.push(limited);
        }
        Ok(Proxies { ended, all })
    }

    /// The longest time that any of them was in limited mode since the last call.
    #[must_use]
    pub fn longest(&self) -> Duration {
        let now = Instant::now();
        let each = self.all.iter().filter_map(|limited| Some(limited.lock().ok()?.take(now)));
        each.max().unwrap_or_default()
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn ask(at: SocketAddr, end: &AtomicBool, limited: &Mutex<Limited>) {
    while !end.load(Ordering::SeqCst) {
        let said = running::ask(at, "MODE", ANSWERS_WITHIN).ok();
        if let Ok(mut limited) = limited.lock() {
            limited.see(said.as_deref(), Instant::now());
        }
        std::thread::sleep(EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limited_time_is_what_lies_between_two_answers() {
        let mut limited = Limited::default();
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        limited.see(Some("normal 127.0.1.3"), at(0));
        limited.see(Some("limited 127.0.1.3"), at(100));
        limited.see(Some("limited 127.0.1.3"), at(200));
        limited.see(Some("normal 127.0.2.3"), at(350));
        limited.see(Some("limited 127.0.2.3"), at(400));
        limited.see(None, at(450));
        assert_eq!(limited.take(at(500)), Duration::from_millis(250));
        limited.see(Some("limited -"), at(600));
        limited.see(Some("limited -"), at(700));
        assert_eq!(limited.take(at(700)), Duration::from_millis(100), "it goes on");
        limited.see(Some("normal 127.0.2.3"), at(730));
        assert_eq!(limited.take(at(800)), Duration::from_millis(30));
    }
}
