//! Shell completions.

use std::process::ExitCode;

use clap::CommandFactory;

use super::Cli;
use crate::console;

/// Prints the completions for a shell to standard output.
pub(super) fn print(shell: clap_complete::Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "worker", &mut script);
    console::line(String::from_utf8_lossy(&script).trim_end());
    ExitCode::SUCCESS
}
