//! The `worker` program: parse, load, run, and map the result to an exit code. Started by itself, it supervises a run.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before anything else: a supervisor is to stay small, and its arguments are not for people to type.
    if std::env::args_os().nth(1).is_some_and(|word| word == worker::registry::SUPERVISE_RUN) {
        return worker::registry::supervise();
    }
    worker::cli::main()
}
