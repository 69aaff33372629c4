//! The command line.

mod completions;
mod config;
mod daemon_plan;
mod operator;
mod operator_drain;
mod settings;
mod start;

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::{Parser, Subcommand};

pub use start::StartArgs;

/// Executes the scheduled runs of Prefect work pools.
#[expect(clippy::doc_markdown, reason = "the text is the help, where backticks would be shown")]
#[derive(Debug, Parser)]
#[command(name = "worker", version, max_term_width = 110, arg_required_else_help = true)]
pub struct Cli {
    /// Prefect profile to use instead of the active one [env: PREFECT_PROFILE]
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Settings file to read after /etc/worker/worker.toml, ~/.config/worker/worker.toml and ./worker.toml [env: WORKER_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<Utf8PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve one or more work pools until stopped
    Start(Box<StartArgs>),
    #[command(flatten)]
    Operator(operator::OperatorCommand),
    /// Look at the settings in force
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print the version, and that of the Prefect API it speaks
    Version,
    /// Print completions for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// The exit code of a mistake on the command line, as shells and other programs have it. Everything else that goes wrong
/// exits with 1.
const USAGE: u8 = 2;

/// Parses the arguments and does what they say.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no failures; the rest is the user's mistake, and clap names the flag.
            let code = if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
            if error.print().is_err() {
                return ExitCode::FAILURE;
            }
            return code;
        }
    };
    let from = settings::Source { profile: cli.profile, config: cli.config };
    match cli.command {
        Command::Start(args) => start::run(&args, &from),
        Command::Operator(command) => operator::run(command, from),
        Command::Config(command) => config::run(&command, from),
        Command::Version => version(),
        Command::Completions { shell } => completions::print(shell),
    }
}

fn version() -> ExitCode {
    crate::console::line(&format!(
        "worker {}\nPrefect client {} (API {})",
        env!("CARGO_PKG_VERSION"),
        central_api_wire::CLIENT_VERSION,
        central_api_wire::API_VERSION
    ));
    ExitCode::SUCCESS
}
