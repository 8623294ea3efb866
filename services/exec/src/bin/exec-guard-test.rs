//! The guard as a program of its own, for tests; the product has it as `pointsman exec-guard`.
//!
//! `exec-guard-test service LOCK start|other COMMAND` plays a service that runs a script, to be killed.

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use exec::{Children, Guard, Script};

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|first| first == "service") {
        return service(&args[1..]);
    }
    exec::guard::main(args)
}

fn service(args: &[OsString]) -> ExitCode {
    let [lock, kind, command] = args else {
        return ExitCode::from(2);
    };
    let children = if kind == "start" { Children::LiveOn } else { Children::AreEnded };
    let script = Script::new("/bin/sh", Duration::from_secs(60))
        .arg("-c")
        .arg(command.to_string_lossy())
        .locked_by(lock)
        .children(children)
        .grace(Duration::from_secs(1));
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return ExitCode::FAILURE;
    };
    match runtime.block_on(script.run(&Guard::program("/proc/self/exe"))) {
        Ok(ended) if ended.succeeded() => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}
