//! `worker pull`.

use std::collections::BTreeMap;
use std::io;
use std::process::ExitCode;

use camino::{Utf8Path, Utf8PathBuf};
use central_api_client::Client;
use central_api_wire::deployment::Deployment;
use clap::{ArgGroup, Args};
use code_storage::{EngineReason, NativePull, PullLog, PullOptions};
use tokio_util::sync::CancellationToken;

use super::daemon_plan::{client_of, pulling as pulling_options};
use super::deployment::Named;
use super::settings::{self, Source};
use crate::console;
use crate::pulling;
use crate::references;
use crate::run::ErrorChain;
use crate::signals::StopSignals;

/// Where readers find the code.
const CODE: &str = "code";
/// Where the steps begin: a folder of their own, so that none of their names is in the way of [`CODE`].
const STEPS: &str = "steps";

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whose").required(true).args(["flow_run", "deployment"])))]
pub(super) struct PullArgs {
    #[command(flatten)]
    of: Named,
    /// The workspace that it is in; that of Prefect's own settings if not given
    #[arg(long, value_name = "NAME")]
    workspace: Option<String>,
    /// Directory to bring it to, new or empty; the code is in its `code` afterwards
    #[arg(long, value_name = "DIR")]
    into: Utf8PathBuf,
}

pub(super) fn run(args: &PullArgs, from: Source) -> ExitCode {
    let done = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("the async runtime cannot be started: {error}"))
        .and_then(|runtime| runtime.block_on(pull(args, from)));
    settings::ended(done)
}

async fn pull(args: &PullArgs, from: Source) -> Result<String, String> {
    let (loaded, _) = from.load_or_complain(Vec::new())?;
    let client = client_of(args.workspace.as_deref(), &loaded.settings)?;
    let client = Client::new(client).map_err(|error| ErrorChain(&error).to_string())?;
    let deployment = deployment_of(&client, &args.of).await?;
    let steps = steps_of(&client, &deployment).await?;
    let made = take(&args.into).map_err(|error| format!("the directory {} cannot be used: {error}", args.into))?;
    let options = pulling_options(&loaded.settings.worker);
    let brought = bring(&args.into, steps.as_ref(), &options).await;
    if brought.is_err() {
        clear(&args.into, made);
    }
    brought
}

async fn deployment_of(client: &Client, of: &Named) -> Result<Deployment, String> {
    match of.flow_run(client).await? {
        Some(run) => of
            .deployment(client, Some(&run))
            .await?
            .ok_or_else(|| format!("the flow run {} has no deployment, so nothing says where its code is", run.id)),
        None => of.deployment(client, None).await?.ok_or_else(|| "name a flow run or a deployment".to_owned()),
    }
}

/// What to do; `None` if there is nothing to bring.
async fn steps_of(client: &Client, deployment: &Deployment) -> Result<Option<NativePull>, String> {
    let site = pulling::elsewhere(environment());
    match pulling::plan(deployment, &site, |reference| async move { references::fetch(client, &reference).await })
        .await?
    {
        Ok(pull) => Ok(Some(pull)),
        Err(EngineReason::LocalPath) => Ok(None),
        Err(reason) => Err(format!(
            "the code of the deployment '{}' cannot be pulled here: {reason}. Leave it to the flow's own process, which runs \
             every step (in Kubernetes: without `native_code`), or use only steps that bring code and \
             set_working_directory with a relative directory, or a storage block with credentials of its own",
            deployment.name
        )),
    }
}

/// The environment that steps take their settings from: this process's own.
fn environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

/// Shows what steps print.
struct Console;

impl PullLog for Console {
    fn output(&self, line: String) {
        console::line(&line);
    }
}

/// Makes sure of an empty directory. Whether it had to be made.
fn take(directory: &Utf8Path) -> io::Result<bool> {
    match fs_err::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(false),
            Some(_) => {
                Err(io::Error::new(io::ErrorKind::DirectoryNotEmpty, "it holds files. Name a new or an empty one"))
            }
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs_err::create_dir_all(directory)?;
            Ok(true)
        }
        Err(error) => Err(error),
    }
}

async fn bring(into: &Utf8Path, steps: Option<&NativePull>, options: &PullOptions) -> Result<String, String> {
    let unusable = |error: io::Error| format!("the directory {into} cannot be used: {error}");
    let Some(steps) = steps else {
        fs_err::create_dir(into.join(CODE)).map_err(unusable)?;
        return Ok("The deployment has no pull steps; there is no code to bring".to_owned());
    };
    let into = into.canonicalize_utf8().map_err(unusable)?;
    let cancel = CancellationToken::new();
    let mut signals = StopSignals::take_over().map_err(|error| format!("signals cannot be taken over: {error}"))?;
    let start = into.join(STEPS);
    let mut pull = Box::pin(pulling::into(&start, steps, options, &Console, &cancel));
    let pulled = tokio::select! {
        pulled = &mut pull => pulled,
        _ = signals.next() => {
            cancel.cancel();
            pull.await
        }
    };
    let pulled =
        pulled.map_err(|error| format!("{}. To solve it, {}", ErrorChain(&error.error), error.error.hint()))?;
    let ended = Utf8Path::new(&pulled.code.directory);
    // Relative, so that it leads there wherever the directory is mounted. What lies outside does not move with it.
    let target = ended.strip_prefix(&into).unwrap_or(ended);
    // Last, so that whoever sees it sees all of the code.
    fs_err::os::unix::fs::symlink(target, into.join(CODE)).map_err(unusable)?;
    Ok(pulling::summary(steps, &pulled))
}

/// Leaves the directory as it was found.
fn clear(directory: &Utf8Path, made: bool) {
    let left = [CODE, STEPS].map(|name| directory.join(name));
    let gone = left
        .iter()
        .filter(|path| path.symlink_metadata().is_ok())
        .try_for_each(|path| if path.is_symlink() { fs_err::remove_file(path) } else { fs_err::remove_dir_all(path) });
    let gone = gone.and_then(|()| if made { fs_err::remove_dir(directory) } else { Ok(()) });
    if let Err(error) = gone {
        console::complaint(&format!("warning: a part of the code is left: {error}"));
    }
}
