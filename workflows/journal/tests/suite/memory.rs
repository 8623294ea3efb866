//! The twin in memory keeps the same promises, and dies where it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use journal::memory::{Loss, Medium, Memory, Moment, Pace, collect};
use journal::{Batch, Closed, Durable, FailStop, Record, StreamId, Which};

use crate::common::{batch, entry, group, run};

fn effects(kept: &std::sync::Mutex<Vec<Durable<u64>>>) -> Vec<u64> {
    kept.lock().unwrap().iter().map(|e| *e.get()).collect()
}

fn count(memory: &Memory<u64>, stream: &StreamId) -> usize {
    memory.read(stream, 1).map_or(0, |entries| entries.collect::<Result<Vec<_>, _>>().unwrap().len())
}

#[test]
fn it_dies_at_each_write_and_goes_on() {
    for moment in [Moment::Before, Moment::Torn, Moment::After] {
        for at in 1..=4 {
            let medium = Medium::default();
            let (sink, kept) = collect();
            let (memory, _) = Memory::open(&medium, Pace::Now, sink).unwrap();
            let died = Arc::new(AtomicBool::new(false));
            let saw = died.clone();
            memory.on_death(Arc::new(move |why| {
                assert!(matches!(why, FailStop::Died { write } if *write == at));
                saw.store(true, Ordering::Relaxed);
            }));
            memory.die_at(at, moment);
            for seq in 1..=5 {
                let result = memory.submit(batch(vec![entry(&run(1), seq)], seq));
                assert_eq!(result.is_err(), seq > at);
                assert_eq!(memory.submit(batch(vec![], 100 + seq)).is_err(), seq >= at);
            }
            assert!(died.load(Ordering::Relaxed) && memory.is_dead());
            assert_eq!(effects(&kept), (1..at).flat_map(|n| [n, 100 + n]).collect::<Vec<_>>());

            let (memory, opened) = Memory::<u64>::open(&medium, Pace::Now, |_| ()).unwrap();
            let survived = if moment == Moment::After { at } else { at - 1 };
            assert_eq!(count(&memory, &run(1)) as u64, survived, "{moment:?} {at}");
            assert_eq!(opened.unfinished.len(), usize::from(survived > 0));
            memory.submit(batch(vec![entry(&run(1), survived + 1)], 0)).unwrap();
            assert_eq!(memory.head(&run(1)).unwrap().seq, survived + 1);
        }
    }
}

#[test]
fn what_is_not_synced_is_neither_read_nor_handed_out() {
    let medium = Medium::default();
    let (sink, kept) = collect();
    let (memory, _) = Memory::open(&medium, Pace::Manual, sink).unwrap();
    memory.submit(batch(vec![entry(&run(1), 1)], 1)).unwrap();
    memory.write();
    memory.sync();
    memory.submit(batch(vec![entry(&run(1), 2), entry(&group("cfg"), 1)], 2)).unwrap();
    memory.write();
    assert_eq!((count(&memory, &run(1)), effects(&kept)), (1, vec![1]));

    let written = medium.fork();
    let tail = written.log().len();
    for keep in 0..=tail {
        let copy = medium.fork();
        copy.crash(Loss::Torn(keep));
        let (later, _) = Memory::<u64>::open(&copy, Pace::Now, |_| ()).unwrap();
        let whole = copy.log().len() == tail;
        assert_eq!(
            (count(&later, &run(1)), count(&later, &group("cfg"))),
            if whole { (2, 1) } else { (1, 0) }
        );
    }
    medium.crash(Loss::Unsynced);
    memory.sync();
    assert_eq!(effects(&kept), vec![1]);
    assert_eq!(memory.submit(batch(vec![], 3)), Err(Closed));
}

#[test]
fn a_sink_may_submit() {
    let medium = Medium::default();
    let slot: Arc<std::sync::OnceLock<Memory<u64>>> = Arc::default();
    let seen = slot.clone();
    let sink = move |effects: Durable<u64>| {
        let seq = effects.into_inner();
        if seq < 50 {
            seen.get().unwrap().submit(batch(vec![entry(&run(1), seq + 1)], seq + 1)).unwrap();
        }
    };
    let (memory, _) = Memory::open(&medium, Pace::Now, sink).unwrap();
    let memory = slot.get_or_init(|| memory);
    memory.submit(batch(vec![entry(&run(1), 1)], 1)).unwrap();
    assert_eq!(memory.head(&run(1)).unwrap().seq, 50);
}

#[test]
fn lists_and_bodies_are_those_of_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (disk, _) = crate::common::open_plain(dir.path()).unwrap();
    let (memory, _) = Memory::<()>::open(&Medium::default(), Pace::Now, |_| ()).unwrap();
    let mut long = entry(&run(2), 2);
    long.body.insert("long".into(), "x".repeat(100_000).into());
    let mut linked = entry(&group("cfg"), 1);
    linked.link = Some(run(2));
    let batches = || {
        let ended = Batch { entries: vec![linked.clone()], effects: (), ended: vec![run(2)] };
        [batch(vec![entry(&run(1), 1)], ()), batch(vec![entry(&run(2), 1), long.clone()], ()), ended]
    };
    let both: [&dyn Record<()>; 2] = [&disk, &memory];
    for record in both {
        batches().into_iter().for_each(|b| record.submit(b).unwrap());
    }
    crate::common::wait(|| disk.head(&group("cfg")).is_some());
    for which in [Which::All, Which::Finished, Which::Unfinished] {
        assert_eq!(disk.streams(which, 10).unwrap(), memory.streams(which, 10).unwrap());
    }
    for stream in [run(1), run(2), group("cfg")] {
        let [a, b] =
            both.map(|record| record.read(&stream, 1).unwrap().map(|e| e.unwrap()).collect::<Vec<_>>());
        assert_eq!(a, b);
    }
}
