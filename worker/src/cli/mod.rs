//! The command line.

mod asking;
mod cache;
mod completions;
mod config;
mod daemon_plan;
mod deployment;
mod doctor;
mod doctor_api;
mod exit_codes;
mod init;
mod kubernetes;
mod new_file;
mod operator;
mod operator_drain;
mod policy;
mod pull;
mod reference;
mod render;
mod run_api_key;
mod sandboxing;
mod service;
mod settings;
mod shadow;
mod start;
mod template;

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::{Parser, Subcommand};

pub use daemon_plan::job_variables_md;
pub use reference::cli_md;
pub use start::StartArgs;

use exit_codes::USAGE;

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
    /// Look whether all that a worker needs is there, and say what to do about what is not
    Doctor(doctor::DoctorArgs),
    /// Show what would be launched for a flow run or deployment, and where each value of it comes from
    Render(render::RenderArgs),
    /// Look on while another worker serves a pool, and say what this one would do otherwise
    Shadow(shadow::ShadowArgs),
    /// Bring the code of a flow run to a directory by its deployment's pull steps
    Pull(pull::PullArgs),
    /// Look after the code that is kept for later runs
    Cache(cache::CacheArgs),
    /// Look at the rules that runs have to satisfy
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Prepare a cluster for workers
    #[command(subcommand)]
    Kubernetes(kubernetes::KubernetesCommand),
    /// Make the worker a service of this machine, with systemd
    #[command(subcommand)]
    Service(service::ServiceCommand),
    /// Print the base job template of a kind of infrastructure, as JSON
    Template(template::TemplateArgs),
    /// Write a worker.toml to begin with; asks for what no flag says
    Init(init::InitArgs),
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
        Command::Doctor(args) => doctor::run(&args, from),
        Command::Render(args) => render::run(&args, from),
        Command::Shadow(args) => shadow::run(&args, from),
        Command::Pull(args) => pull::run(&args, from),
        Command::Cache(args) => cache::run(&args, from),
        Command::Policy(command) => policy::run(&command, from),
        Command::Kubernetes(command) => kubernetes::run(command, from),
        Command::Service(command) => service::run(command, from),
        Command::Template(args) => template::run(&args, from),
        Command::Init(args) => init::run(args, from),
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
