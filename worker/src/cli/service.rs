//! `worker service`.

use std::process::ExitCode;

use camino::Utf8PathBuf;
use clap::{Args, Subcommand};

use super::settings::{self, Source};
use crate::console;
use crate::run::ErrorChain;
use crate::service::{Install, ServiceError, Step, Uninstall, carry_out, look_around};

#[derive(Debug, Subcommand)]
pub(super) enum ServiceCommand {
    /// Install it: units, account, a file of settings to start from; and start it
    Install(InstallArgs),
    /// Stop it and remove its units; runs go on, settings and state stay
    Uninstall(UninstallArgs),
}

#[derive(Debug, Args)]
pub(super) struct InstallArgs {
    /// Work pool that the service takes runs from; repeat it for several [default: those of /etc/worker/worker.toml]
    #[arg(long, short = 'p', value_name = "NAME")]
    pool: Vec<String>,
    /// Account of the daemon and of the flows, which must exist [default: `worker`, which is made]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Where the Prefect API is; written into /etc/worker/worker.env
    #[arg(long, value_name = "URL")]
    api_url: Option<String>,
    /// Enable it, but do not start it now
    #[arg(long)]
    no_start: bool,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct UninstallArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
struct Place {
    /// Show what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Folder that stands for `/`, to prepare the image of a machine; nothing is started
    #[arg(long, value_name = "DIRECTORY")]
    root: Option<Utf8PathBuf>,
}

pub(super) fn run(command: ServiceCommand, from: Source) -> ExitCode {
    let in_words = |error: ServiceError| ErrorChain(&error).to_string();
    settings::ended(match command {
        ServiceCommand::Install(args) => with_profile(args, from).and_then(|args| install(args).map_err(in_words)),
        ServiceCommand::Uninstall(args) => uninstall(args).map_err(in_words),
    })
}

/// The service does not see the profiles of whoever installs it: of one that is named its API is taken, unless the command line
/// says otherwise. Its key is not, which is for a credential.
///
/// # Errors
/// There is no such profile: the service would be at another API than it was meant for.
fn with_profile(args: InstallArgs, from: Source) -> Result<InstallArgs, String> {
    if from.profile.is_none() {
        return Ok(args);
    }
    let (loaded, _) = from.load_with_profile()?;
    let of_profile = loaded.settings.prefect.api.url.map(|url| url.as_url().to_string());
    Ok(InstallArgs { api_url: args.api_url.or(of_profile), ..args })
}

fn install(args: InstallArgs) -> Result<String, ServiceError> {
    let Place { dry_run, root } = args.place;
    let executable = std::env::current_exe().map_err(ServiceError::File)?;
    let executable = Utf8PathBuf::try_from(executable).map_err(|error| ServiceError::File(error.into_io_error()))?;
    let start = !args.no_start;
    let asked_for = Install { root, executable, pools: args.pool, user: args.user, api_url: args.api_url, start };
    let present = look_around(asked_for.root.as_deref(), dry_run)?;
    let steps = asked_for.steps(&present)?;
    if dry_run {
        return Ok(in_full(&steps));
    }
    asked_for.check_program()?;
    carry_out(&steps, console::line)?;
    let runs = asked_for.start && asked_for.root.is_none();
    let next = if runs { "It runs: `systemctl status worker`." } else { "Start it with `systemctl start worker`." };
    Ok(format!("The service is installed. Settings are in /etc/worker. {next}"))
}

fn uninstall(args: UninstallArgs) -> Result<String, ServiceError> {
    let Place { dry_run, root } = args.place;
    let present = look_around(root.as_deref(), dry_run)?;
    let steps = Uninstall { root }.steps(&present)?;
    if dry_run {
        return Ok(in_full(&steps));
    }
    carry_out(&steps, console::line)?;
    Ok("The service is removed. Runs that were live go on to their end. /etc/worker, /var/lib/worker, /var/lib/worker-pools and \
        the account stay."
        .to_owned())
}

fn in_full(steps: &[Step]) -> String {
    let steps: Vec<String> = steps.iter().map(Step::in_full).collect();
    steps.join("\n")
}
