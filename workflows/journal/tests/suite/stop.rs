//! Whatever goes wrong: nothing that waited is handed out.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use journal::{Disk, Durable, FailStop, Journal, Options, RealDisk, Which};

use crate::common::{batch, entry, group, open_plain, run, wait};

/// A disk whose syncs fail from the n-th on, or whose room is what the test says.
struct BadDisk {
    syncs: AtomicU64,
    good: u64,
    free: AtomicU64,
    /// A sync that never ends, until the test lets it.
    stuck: AtomicBool,
}

impl BadDisk {
    fn new(good: u64) -> Arc<Self> {
        let free = AtomicU64::new(u64::MAX);
        Arc::new(Self { syncs: AtomicU64::new(0), good, free, stuck: AtomicBool::new(false) })
    }
}

impl Disk for BadDisk {
    fn sync_data(&self, file: &File) -> io::Result<()> {
        if self.syncs.fetch_add(1, Ordering::SeqCst) >= self.good {
            return Err(io::Error::from_raw_os_error(5));
        }
        while self.stuck.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        RealDisk.sync_data(file)
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }
}

/// Lets a stuck sync go on, also when the test fails: the journal's end waits for its writer.
struct Release(Arc<BadDisk>);

impl Drop for Release {
    fn drop(&mut self) {
        self.0.stuck.store(false, Ordering::SeqCst);
    }
}

struct Watched {
    journal: Journal<u64>,
    seen: Arc<Mutex<Vec<u64>>>,
    stopped: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    fn open(dir: &Path, disk: Arc<dyn Disk>, reserve_bytes: u64) -> Self {
        Self::with_sink(dir, disk, reserve_bytes, |_| ())
    }

    fn with_sink(
        dir: &Path,
        disk: Arc<dyn Disk>,
        reserve_bytes: u64,
        look: impl Fn(u64) + Send + 'static,
    ) -> Self {
        let (seen, stopped) = (Arc::<Mutex<Vec<u64>>>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (see, stop) = (seen.clone(), stopped.clone());
        let fail_stop = Arc::new(move |why: &FailStop| stop.lock().unwrap().push(format!("{why:?}")));
        let commit_within = Duration::from_millis(200);
        let options = Options { reserve_bytes, disk, fail_stop, commit_within, ..Options::default() };
        let sink = move |effects: Durable<u64>| {
            look(*effects.get());
            see.lock().unwrap().push(effects.into_inner());
        };
        let (journal, _) = journal::open(dir, options, sink).unwrap();
        Self { journal, seen, stopped }
    }

    fn stopped(&self, why: &str) {
        wait(|| !self.stopped.lock().unwrap().is_empty());
        let stopped = self.stopped.lock().unwrap();
        assert!(stopped.len() == 1 && stopped[0].contains(why), "{stopped:?}");
    }

    /// The queue is gone soon after the hook has returned.
    fn closed(&self) {
        wait(|| self.journal.submit(batch(vec![], 99)).is_err());
    }

    fn seen(&self) -> Vec<u64> {
        self.seen.lock().unwrap().clone()
    }
}

#[test]
fn a_failed_sync_is_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let disk = BadDisk::new(1);
    let watched = Watched::open(dir.path(), disk.clone(), 0);
    for seq in 1..=3 {
        watched.journal.submit(batch(vec![entry(&run(1), seq)], seq)).unwrap();
        wait(|| disk.syncs.load(Ordering::SeqCst) >= seq || seq > 2);
        if seq == 1 {
            wait(|| watched.seen() == [1]);
        } else {
            break;
        }
    }
    watched.stopped("Sync");
    watched.closed();
    assert_eq!(watched.seen(), [1]);
    // Not durable: nobody reads it, though the store has it.
    assert_eq!(watched.journal.read(&run(1), 1).unwrap().count(), 1);
    assert_eq!(disk.syncs.load(Ordering::SeqCst), 2, "a failed sync is never asked again");
}

#[test]
fn another_number_than_the_next_is_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::open(dir.path(), Arc::new(RealDisk), 0);
    watched.journal.submit(batch(vec![entry(&run(1), 1)], 1)).unwrap();
    watched.journal.submit(batch(vec![entry(&group("cfg"), 1), entry(&run(1), 3)], 2)).unwrap();
    watched.stopped("OutOfOrder");
    watched.closed();
    assert!(!watched.seen().contains(&2));
    assert_eq!(watched.journal.head(&group("cfg")), None);
}

#[test]
fn a_reserved_name_or_a_deep_body_is_the_end_and_can_be_asked_before() {
    for (name, value) in
        [("seq", serde_json::json!(7)), ("deep", (0..200).fold(1.into(), |v, _| serde_json::json!([v])))]
    {
        let dir = tempfile::tempdir().unwrap();
        let watched = Watched::open(dir.path(), Arc::new(RealDisk), 0);
        let mut bad = entry(&run(1), 1);
        bad.body.insert(name.into(), value);
        assert!(bad.check().is_err());
        watched.journal.submit(batch(vec![bad], 1)).unwrap();
        watched.stopped("BadEntry");
        assert_eq!(watched.seen(), [0; 0]);
    }
}

#[test]
fn a_panic_of_the_sink_is_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let look = |effects| assert_ne!(effects, 2, "as the test wants");
    let watched = Watched::with_sink(dir.path(), Arc::new(RealDisk), 0, look);
    for seq in 1..=2 {
        watched.journal.submit(batch(vec![entry(&run(1), seq)], seq)).unwrap();
    }
    watched.stopped("as the test wants");
    watched.closed();
    assert_eq!(watched.seen(), [1]);
}

#[test]
fn a_commit_that_never_ends_is_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let disk = BadDisk::new(u64::MAX);
    disk.stuck.store(true, Ordering::SeqCst);
    let watched = Watched::open(dir.path(), disk.clone(), 0);
    let _release = Release(disk);
    watched.journal.submit(batch(vec![entry(&run(1), 1)], 1)).unwrap();
    watched.stopped("Stuck");
    assert_eq!(watched.seen(), [0; 0]);
}

/// While a commit waits for its sync the store shows it already; the journal must not.
#[test]
fn nobody_reads_what_is_not_durable_yet() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open_plain(dir.path()).unwrap();
    let mut old = batch(vec![entry(&run(1), 1), entry(&run(2), 1)], ());
    old.ended = vec![run(2)];
    journal.submit(old).unwrap();
    journal.close();

    let disk = BadDisk::new(u64::MAX);
    disk.stuck.store(true, Ordering::SeqCst);
    let options = Options { disk: disk.clone(), reserve_bytes: 0, ..Options::default() };
    let (journal, _) = journal::open(dir.path(), options, |_: Durable<()>| ()).unwrap();
    let release = Release(disk.clone());
    let late = vec![entry(&run(1), 2), entry(&run(2), 2), entry(&run(3), 1), entry(&run(4), 1)];
    journal.submit(journal::Batch { entries: late, effects: (), ended: vec![run(1), run(3)] }).unwrap();
    wait(|| disk.syncs.load(Ordering::SeqCst) == 1);
    let state = || {
        let heads = [1, 2, 3, 4].map(|n| journal.head(&run(n)).map_or(0, |head| head.seq));
        let counts = [1, 2, 3, 4].map(|n| journal.read(&run(n), 1).map_or(0, |entries| entries.count()));
        let listed =
            |which| journal.streams(which, 9).unwrap().iter().map(|l| l.stream.clone()).collect::<Vec<_>>();
        let mut out = Vec::new();
        journal.export(&mut out).unwrap();
        let exported =
            String::from_utf8(out).unwrap().lines().filter(|line| line.starts_with("{\"entry\"")).count();
        let damages = journal.verify().unwrap().damages.len();
        (heads, counts, listed(Which::Unfinished), listed(Which::Finished), exported, damages)
    };
    assert_eq!(state(), ([1, 1, 0, 0], [1, 1, 0, 0], vec![run(1)], vec![run(2)], 2, 0));
    drop(release);
    wait(|| journal.head(&run(4)).is_some());
    let finished = vec![run(3), run(2), run(1)];
    assert_eq!(state(), ([2, 2, 1, 1], [2, 2, 1, 1], vec![run(4)], finished, 6, 0));
}

#[test]
fn the_default_is_to_abort() {
    // Started again as a child: the hook ends that process.
    const CHILD: &str = "JOURNAL_TEST_ABORT";
    if let Ok(dir) = std::env::var(CHILD) {
        let (journal, _) = open_plain(Path::new(&dir)).unwrap();
        journal.submit(batch(vec![entry(&run(1), 7)], ())).unwrap();
        journal.close();
        unreachable!("it should have been ended");
    }
    let dir = tempfile::tempdir().unwrap();
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "stop::the_default_is_to_abort", "--nocapture"]).env(CHILD, dir.path());
    let ended = child.output().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.status), Some(6));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("the journal stops this process") && said.contains("1 is the next"), "{said}");
}

#[test]
fn a_full_disk_uses_the_reserve_and_then_stops_with_nothing_lost() {
    let dir = tempfile::tempdir().unwrap();
    let disk = BadDisk::new(u64::MAX);
    let watched = Watched::open(dir.path(), disk.clone(), 1 << 20);
    let reserve = dir.path().join("reserve");
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 1 << 20);
    assert!(!watched.journal.space().unwrap().low);
    watched.journal.submit(batch(vec![entry(&run(1), 1)], 1)).unwrap();
    wait(|| watched.seen() == [1]);
    // No room: the reserve is given up. It frees nothing here, so the commit is refused.
    disk.free.store(1000, Ordering::SeqCst);
    watched.journal.submit(batch(vec![entry(&run(1), 2)], 2)).unwrap();
    watched.stopped("DiskFull { free: 1000");
    watched.closed();
    assert!(!reserve.exists());
    let space = watched.journal.space().unwrap();
    assert!(space.low && space.free_bytes == 1000 && space.reserve_bytes == 0);
    assert_eq!(watched.seen(), [1]);
    // Room again: the reserve comes back.
    disk.free.store(1 << 30, Ordering::SeqCst);
    assert!(!watched.journal.space().unwrap().low);
    assert!(reserve.exists());
    watched.journal.close();
    let (journal, _) = open_plain(dir.path()).unwrap();
    assert_eq!(journal.head(&run(1)).unwrap().seq, 1);
}

/// The reserve keeps a run going: a disk on which its release makes room.
#[test]
fn the_reserve_keeps_a_run_going() {
    struct Small(std::path::PathBuf);
    impl Disk for Small {
        fn sync_data(&self, file: &File) -> io::Result<()> {
            RealDisk.sync_data(file)
        }
        fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
            let full = self.0.join("full").exists();
            Ok(if full && self.0.join("reserve").exists() { 0 } else { 100 << 20 })
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let watched = Watched::open(dir.path(), Arc::new(Small(dir.path().to_owned())), 1 << 20);
    std::fs::write(dir.path().join("full"), "").unwrap();
    watched.journal.submit(batch(vec![entry(&run(1), 1)], 1)).unwrap();
    wait(|| watched.seen() == [1]);
    assert!(!dir.path().join("reserve").exists());
    assert!(watched.stopped.lock().unwrap().is_empty());
}
