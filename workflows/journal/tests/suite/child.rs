//! A process of its own, to be killed and traced: this test binary, started again for one test.
//!
//! It appends numbered entries and says `ack N` on its output once entry N is durable.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use journal::{Durable, Options};

use crate::common::{batch, entry, group, options, run};

const DIR: &str = "JOURNAL_TEST_DIR";
const COUNT: &str = "JOURNAL_TEST_COUNT";
const MODE: &str = "JOURNAL_TEST_MODE";

/// How the child submits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mode {
    /// The next one after the acknowledgement of the last.
    OneByOne,
    /// All at once; the first is held back until the rest is queued.
    Together,
}

/// The test that is the child's whole program. Without a folder it checks itself: it runs once in
/// one of its own.
#[test]
fn appends() {
    if let Ok(dir) = std::env::var(DIR) {
        let count = std::env::var(COUNT).unwrap().parse().unwrap();
        let mode = if std::env::var(MODE).unwrap() == "together" { Mode::Together } else { Mode::OneByOne };
        append(Path::new(&dir), count, mode, options());
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    append(dir.path(), 3, Mode::OneByOne, options());
    assert_eq!(crate::common::open_plain(dir.path()).unwrap().0.head(&run(1)).unwrap().seq, 3);
}

fn append(dir: &Path, count: u64, mode: Mode, options: Options) {
    let (acks, acked) = channel();
    let (go, gate) = channel::<()>();
    let mut gate = (mode == Mode::Together).then_some(gate);
    let sink = move |seq: Durable<u64>| {
        let seq = seq.into_inner();
        if seq == 0 {
            // The first, empty batch holds the writer until the rest waits in the queue.
            acks.send(0).unwrap();
            gate.take().into_iter().for_each(|gate| gate.recv().unwrap());
            return;
        }
        say(&format!("ack {seq}\n"));
        acks.send(seq).unwrap();
    };
    let (journal, _) = journal::open(dir, options, sink).unwrap();
    let first = journal.head(&run(1)).map_or(1, |head| head.seq + 1);
    say("open\n");
    journal.submit(batch(vec![], 0)).unwrap();
    assert_eq!(acked.recv().unwrap(), 0);
    for seq in first..first + count {
        let mut linked = entry(&group("cfg"), seq);
        linked.link = Some(run(1));
        let mut own = entry(&run(1), seq);
        if seq % 16 == 0 && mode == Mode::OneByOne && count > 100 {
            own.body.insert("long".into(), "x".repeat(20_000).into());
        }
        journal.submit(batch(vec![own, linked], seq)).unwrap();
        if mode == Mode::OneByOne {
            assert_eq!(acked.recv().unwrap(), seq);
        }
    }
    if mode == Mode::Together {
        go.send(()).unwrap();
        (first..first + count).for_each(|seq| assert_eq!(acked.recv().unwrap(), seq));
    }
    say("done\n");
    journal.close();
}

/// One line, one write.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// A child that runs [`append`]; killed when it is dropped.
pub(crate) struct Appender {
    child: Child,
    pub(crate) lines: Receiver<String>,
}

impl Appender {
    /// Starts it, under `wrapper` if there is one, such as strace.
    pub(crate) fn start(dir: &Path, count: u64, mode: Mode, wrapper: &[&str]) -> Self {
        let me: PathBuf = std::env::current_exe().unwrap();
        let me = me.to_str().unwrap().to_owned();
        let words = [me.as_str(), "--exact", "child::appends", "--nocapture", "--test-threads=1"];
        let all: Vec<&str> = wrapper.iter().copied().chain(words).collect();
        let mode = if mode == Mode::Together { "together" } else { "one-by-one" };
        let mut child = Command::new(all[0])
            .args(&all[1..])
            .env(DIR, dir)
            .env(COUNT, count.to_string())
            .env(MODE, mode)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tx, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if tx.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The next acknowledgement; `None` when the child has ended.
    pub(crate) fn ack(&self) -> Option<u64> {
        loop {
            let line = self.lines.recv_timeout(std::time::Duration::from_secs(60)).ok()?;
            if let Some(seq) = line.strip_prefix("ack ") {
                return Some(seq.parse().unwrap());
            }
        }
    }

    /// SIGKILL; returns once it is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for a good end.
    pub(crate) fn finish(mut self) {
        while self.lines.recv_timeout(std::time::Duration::from_secs(60)).is_ok() {}
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
