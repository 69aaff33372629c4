//! The supervisor of one process run, which `worker` starts: a program of its own because there is one for each run, and a
//! small one weighs a tenth of the worker's own. Not for people to type.

use std::process::ExitCode;

fn main() -> ExitCode {
    worker::registry::supervise()
}
