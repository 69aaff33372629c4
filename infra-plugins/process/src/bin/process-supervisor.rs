//! A supervisor as a program of its own, for the tests of this crate: the worker brings one of its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    infra_process::supervise()
}
