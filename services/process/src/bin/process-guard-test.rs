//! The guard as a program of its own, for tests; the product has it as `pointsman exec-guard`.

use std::process::ExitCode;

fn main() -> ExitCode {
    exec::guard::main(std::env::args_os().skip(1))
}
