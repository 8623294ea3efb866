//! Workers against expressions that no process survives. The test program is its own worker.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::{Duration, Instant};

use expressions::{Code, Evaluator, ExprError, Inline, Limits, Pool, Worker, WorkerCommand, worker};
use serde_json::{Value, json};

type Test = (&'static str, fn());

const TESTS: &[Test] = &[
    ("a worker gives what jq gives", a_worker_gives_what_jq_gives),
    ("what takes too much is fenced, and the next one is not hurt", what_takes_too_much_is_fenced),
    ("a killed worker is replaced", a_killed_worker_is_replaced),
    ("a dropped worker is gone", a_dropped_worker_is_gone),
    ("a pool serves many threads", a_pool_serves_many_threads),
    ("a worker that does not start is told apart", a_worker_that_does_not_start),
    ("a warm worker is quick", a_warm_worker_is_quick),
];

fn main() {
    if std::env::args().nth(1).as_deref() == Some(worker::SUBCOMMAND) {
        worker::main().unwrap();
        return;
    }
    for (name, test) in TESTS {
        test();
        println!("test {name} ... ok");
    }
}

fn fresh() -> Worker {
    Worker::new(WorkerCommand::own().unwrap(), Limits::default())
}

fn eval(worker: &mut dyn Evaluator, source: &str, input: &Value) -> Result<Value, ExprError> {
    worker.eval(source, &[], input)
}

fn a_worker_gives_what_jq_gives() {
    let mut worker = fresh();
    let input =
        json!({ "a": [1, 2.5, "x", null, true], "n": 18_446_744_073_709_551_615_u64, "k": { "ä": -3 } });
    for source in
        [".a | map(type)", ".n", ".a[1] * 2", ".k", "[.a[] | tostring]", ".missing.deeper", "@json", "1.0"]
    {
        let inline = eval(&mut Inline::new(), source, &input);
        assert_eq!(eval(&mut worker, source, &input), inline, "{source}");
        assert!(inline.is_ok(), "{source}: {inline:?}");
    }
    let x = json!({ "b": 7 });
    assert_eq!(worker.eval("$x.b + .", &[("x", &x)], &json!(1)), Ok(json!(8)));
    let error = eval(&mut worker, ".a + 1", &json!({ "a": "text" })).unwrap_err();
    assert_eq!(error.code, Code::Failed);
    let long = json!("y".repeat(300_000));
    assert_eq!(eval(&mut worker, "[., .] | map(length)", &long), Ok(json!([300_000, 300_000])));
}

fn what_takes_too_much_is_fenced() {
    let mut worker = fresh();
    for source in [
        "last(repeat(1))",
        "reduce range(60) as $i (\"a\"; . + .)",
        "[range(1e12)]",
        "[limit(100000000; repeat(\"aaaaaaaaaa\"))] | length",
        "last(range(1e12))",
        "\"a\" * 1000000000 | length",
        "reduce range(1000000) as $i (null; [.]) | tojson | length",
    ] {
        let began = Instant::now();
        let error = eval(&mut worker, source, &Value::Null).unwrap_err();
        assert_eq!(error.code, Code::Fenced, "{source}: {error}");
        assert!(began.elapsed() < Duration::from_secs(5), "{source}");
        assert_eq!(eval(&mut worker, ". + 1", &json!(1)), Ok(json!(2)), "after {source}");
    }
}

fn alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn a_killed_worker_is_replaced() {
    let mut worker = fresh();
    assert_eq!(eval(&mut worker, ". + 1", &json!(1)), Ok(json!(2)));
    let pid = worker.pid().unwrap();
    let raw = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
    let error = eval(&mut worker, ". + 1", &json!(1)).unwrap_err();
    assert_eq!(error.code, Code::Fenced);
    assert_eq!(eval(&mut worker, ". + 1", &json!(1)), Ok(json!(2)));
    assert_ne!(worker.pid().unwrap(), pid);
}

fn a_dropped_worker_is_gone() {
    let mut worker = fresh();
    eval(&mut worker, ". + 1", &json!(1)).unwrap();
    let pid = worker.pid().unwrap();
    assert!(alive(pid));
    drop(worker);
    assert!(!alive(pid));
}

fn a_pool_serves_many_threads() {
    let pool = Pool::new(2, &WorkerCommand::own().unwrap(), Limits { time: Duration::from_millis(500) });
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for i in 0..20 {
                    if thread == 0 && i == 3 {
                        let error = pool.eval("last(repeat(1))", &[], &Value::Null).unwrap_err();
                        assert_eq!(error.code, Code::Fenced);
                    }
                    assert_eq!(
                        pool.eval(". + 1", &[], &json!(thread * 100 + i)),
                        Ok(json!(thread * 100 + i + 1))
                    );
                }
            });
        }
    });
}

fn a_worker_that_does_not_start() {
    let command = WorkerCommand { program: "/nonexistent/worker".into(), args: Vec::new() };
    let mut worker = Worker::new(command, Limits::default());
    let error = eval(&mut worker, ". + 1", &json!(1)).unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
}

fn a_warm_worker_is_quick() {
    let mut worker = fresh();
    eval(&mut worker, ". + 1", &json!(1)).unwrap();
    let began = Instant::now();
    for i in 0..1000 {
        assert_eq!(eval(&mut worker, ". + 1", &json!(i)), Ok(json!(i + 1)));
    }
    let each = began.elapsed() / 1000;
    println!("     a warm evaluation: {each:?}");
    assert!(each < Duration::from_millis(5), "{each:?}");
}
