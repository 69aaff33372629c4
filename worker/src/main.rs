//! The `worker` program: parse, load, run, and map the result to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    worker::cli::main()
}
