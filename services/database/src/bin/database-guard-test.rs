//! The guard of scripts as a program of its own, for this crate's tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    exec::guard::main(std::env::args_os().skip(1))
}
