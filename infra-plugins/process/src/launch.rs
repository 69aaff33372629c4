//! Launching a run: starting its supervisor, and hearing what came of it.

use std::fs::File;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::process::Child;
use tokio::time::timeout;
use worker_core::ids::LaunchKey;

use crate::confinement::Confinement;
use crate::confinement::room::Room;
use crate::error::ProcessError;
use crate::executable;
use crate::folder::RunFolder;
use crate::fork_server::ForkServer;
use crate::open_files;
use crate::pipes::Pipes;
use crate::plan::ProcessPlan;
use crate::settings::{ProcessSettings, SupervisorProgram};
use crate::supervisor::{Answer, CLAIM_LIMIT, LaunchSpec, RELEASE, Started, since_boot};
use crate::warm::WarmPool;

/// How long a supervisor may take to say what came of the launch.
const START_LIMIT: Duration = Duration::from_secs(15);

/// The same for one that is forked, before another is executed. After this time it would not claim the run any more.
const FORK_LIMIT: Duration = CLAIM_LIMIT.saturating_add(Duration::from_secs(1));

/// A run that was started, and its supervisor if that is a child of this process.
pub(crate) type Launched = (Started, Option<Child>);

/// Starts a run under a supervisor of its own; `None` if somebody else has claimed it.
pub(crate) async fn launch(
    settings: &ProcessSettings,
    warm: &WarmPool,
    forks: &ForkServer,
    key: LaunchKey,
    plan: ProcessPlan,
    folder: &RunFolder,
) -> Result<Option<Launched>, ProcessError> {
    let working_dir = match &plan.working_dir {
        Some(path) => usable(path)?,
        None => folder.temporary_directory(),
    };
    let mut spec = spec(settings, key, plan, working_dir, folder)?;
    let unusable = |source| ProcessError::RunFolder { path: folder.path().to_owned(), source };
    folder.make().map_err(unusable)?;
    fs_err::create_dir_all(folder.temporary_directory()).map_err(unusable)?;
    let forked = match start_warm(settings, warm, &mut spec).await {
        Some(answer) => Some(answer),
        None => fork(settings, forks, &mut spec).await,
    };
    let (answer, child) = match forked {
        Some(answer) => (answer, None),
        None => execute(settings, &spec).await?,
    };
    match answer {
        Answer::Started(started) => Ok(Some((started, child))),
        Answer::AlreadyClaimed => Ok(None),
        Answer::NotExecutable { errno } => {
            discard(folder);
            let source = errno.map_or_else(|| io::ErrorKind::Other.into(), io::Error::from_raw_os_error);
            Err(ProcessError::Spawn { program: spec.program, source })
        }
        Answer::NotConfined { reason } => {
            discard(folder);
            Err(ProcessError::NotConfined { reason })
        }
        Answer::Refused { reason } => {
            discard(folder);
            Err(ProcessError::Refused { reason })
        }
    }
}

/// Has a supervisor forked that starts the command; `None` if one is to be executed. It is no child of this process: nobody has to
/// wait for it.
async fn fork(settings: &ProcessSettings, forks: &ForkServer, spec: &mut LaunchSpec) -> Option<Answer> {
    let run_id = spec.key.run;
    let pipes = match forks.fork(&settings.supervisor) {
        Ok(pipes) => pipes,
        Err(error) => {
            tracing::debug!(%run_id, %error, "no supervisor can be forked; one is executed");
            return None;
        }
    };
    let server = pipes.server;
    let answer = heard(pipes, spec).await;
    if answer.is_none() {
        forks.distrust(server);
    }
    answer
}

/// Executes a supervisor that starts the command.
async fn execute(settings: &ProcessSettings, spec: &LaunchSpec) -> Result<(Answer, Option<Child>), ProcessError> {
    // The key is for people who look at the process table.
    let mut command = settings.supervisor.command(&spec.key.to_string());
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(ProcessError::NoSupervisor)?;
    let silent = || ProcessError::SilentSupervisor(io::ErrorKind::BrokenPipe.into());
    let (stdin, stdout) = child.stdin.take().zip(child.stdout.take()).ok_or_else(silent)?;
    let answer = timeout(START_LIMIT, hear(stdin, stdout, spec)).await;
    let answer = answer.map_err(|_| ProcessError::SilentSupervisor(io::ErrorKind::TimedOut.into()))?;
    Ok((answer.map_err(ProcessError::SilentSupervisor)?, Some(child)))
}

/// Has a supervisor forked whose command is there already; `None` if it is to be started cold. The supervisor is no child of this
/// process then: nobody has to wait for it.
async fn start_warm(settings: &ProcessSettings, warm: &WarmPool, spec: &mut LaunchSpec) -> Option<Answer> {
    let supervisor = &settings.supervisor;
    let words =
        [SupervisorProgram::NAME.to_owned()].into_iter().chain(supervisor.args.clone()).chain([spec.key.to_string()]);
    let program = File::open(&supervisor.program).ok()?;
    let pipes = warm.fork(spec, &program, &words.collect::<Vec<_>>()).await?;
    spec.asked_at = now();
    let zygote = pipes.server;
    let answer = heard(pipes, spec).await;
    if answer.is_none() {
        warm.distrust(spec, zygote).await;
    }
    answer
}

/// What a forked supervisor answers; `None` if it is gone or stopped and another is to be started.
async fn heard(pipes: Pipes, spec: &mut LaunchSpec) -> Option<Answer> {
    let answer = async {
        hear(pipe::Sender::from_owned_fd(pipes.tell)?, pipe::Receiver::from_owned_fd(pipes.hear)?, spec).await
    };
    match timeout(FORK_LIMIT, answer).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(answer) => Some(answer),
        // If it has claimed the run before, whoever is started now finds that.
        Err(error) => {
            tracing::debug!(run_id = %spec.key.run, %error, "a forked supervisor does not answer; another is started");
            spec.asked_at = now();
            None
        }
    }
}

/// Milliseconds since boot.
fn now() -> u64 {
    u64::try_from(since_boot().as_millis()).unwrap_or_default()
}

/// Removes the folder of a launch that came to nothing, unless somebody has claimed it meanwhile.
fn discard(folder: &RunFolder) {
    let removed = folder.claim().and_then(|claim| if claim.is_none() { folder.remove() } else { Ok(()) });
    if let Err(error) = removed {
        tracing::debug!(%error, "the folder of a run that did not start cannot be removed");
    }
}

/// A working directory that was asked for must be there.
fn usable(path: &Utf8Path) -> Result<Utf8PathBuf, ProcessError> {
    let path = path.to_owned();
    match path.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(path),
        Ok(_) => Err(ProcessError::UnusableWorkingDirectory { path, source: io::ErrorKind::NotADirectory.into() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(ProcessError::NoWorkingDirectory { path }),
        Err(source) => Err(ProcessError::UnusableWorkingDirectory { path, source }),
    }
}

fn spec(
    settings: &ProcessSettings,
    key: LaunchKey,
    plan: ProcessPlan,
    working_dir: Utf8PathBuf,
    folder: &RunFolder,
) -> Result<LaunchSpec, ProcessError> {
    let confinement = settings.confinement_of(plan.sandbox.as_deref())?;
    let [program, arguments @ ..] = plan.words.as_slice() else { return Err(ProcessError::EmptyCommand) };
    let path = plan.environment.get("PATH").map(String::as_str);
    Ok(LaunchSpec {
        release: RELEASE.to_owned(),
        key,
        owner: settings.owner.mark().to_owned(),
        folder: folder.path().to_owned(),
        asked_at: now(),
        open_files: open_files::given(),
        program: executable::resolve(program, &working_dir, path)?,
        arguments: arguments.to_vec(),
        environment: plan.environment,
        working_dir,
        report_state: plan.report_state,
        streams_output: plan.stream_output,
        python: plan.python,
        room: confinement.has_a_room().then(|| room(settings, confinement, key, folder)),
        confinement: confinement.clone(),
        warm: None,
    })
}

/// What the run sees of the worker's state: its folders for temporary files and for its code.
fn room(settings: &ProcessSettings, confinement: &Confinement, key: LaunchKey, folder: &RunFolder) -> Room {
    let code = settings.runs_directory.join(format!("{key}-code"));
    // The first is about to be made; the second is there if the worker has brought the code.
    let kept = [Some(folder.temporary_directory()), Some(code).filter(|code| code.exists())].into_iter().flatten();
    Room {
        temporary: confinement.private_tmp.then(|| folder.private_tmp()),
        hidden: confinement.run_as.as_ref().and_then(|_| settings.runs_directory.parent()).map(Utf8Path::to_owned),
        kept: kept.collect(),
    }
}

/// Hands the spec over and takes the answer.
async fn hear(
    mut stdin: impl AsyncWrite + Unpin,
    stdout: impl AsyncRead + Unpin,
    spec: &LaunchSpec,
) -> io::Result<Answer> {
    stdin.write_all(&serde_json::to_vec(spec)?).await?;
    drop(stdin);
    let mut answer = String::new();
    if BufReader::new(stdout).read_line(&mut answer).await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&answer)?)
}
