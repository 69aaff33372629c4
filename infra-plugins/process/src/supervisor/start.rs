//! Claiming and starting the run.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use infra_contract::LogStream;
use rustix::process::getpid;

use super::confined;
use super::service::{Parts, Service};
use super::spec::{Answer, CLAIM_LIMIT, LaunchSpec, since_boot};
use super::takeover::Waiting;
use crate::cgroup::{self, Cgroup};
use crate::claim::{Claim, Supervised};
use crate::claim_file::{ClaimFile, Word};
use crate::confinement::Limits;
use crate::control::EnginePort;
use crate::environment::{CONTROL_PORT, CONTROL_TOKEN};
use crate::folder::RunFolder;
use crate::oom::OomWitness;
use crate::oom_score;
use crate::procfs::{self, Identity};

/// Claims the run, starts its command, and writes down which process that is. Where that fails, nobody has claimed it.
///
/// What waits to become the run does, if it can.
pub(super) fn start(spec: LaunchSpec, signals: UnixStream, waiting: Option<Waiting>) -> Result<Service, Answer> {
    let folder = RunFolder::at(spec.folder.clone());
    let supervisor = Identity::of(getpid().as_raw_nonzero().get());
    let cgroup = cgroup::path_for(&spec.key);
    let mut claim_file = claim(&spec, &folder, supervisor, cgroup.clone())?;
    let cgroup = cgroup.and_then(|path| Cgroup::make(&path));
    let limits = Limits::make(&spec.confinement, &spec.key, cgroup.as_ref());
    let limits = limits.map_err(|error| Answer::NotConfined { reason: format!("a limit cannot be set: {error}") });
    let begun = limits.and_then(|limits| match begin(&spec, &folder, cgroup.as_ref(), &limits, waiting) {
        Ok(begun) => Ok((begun, limits)),
        Err(answer) => {
            limits.remove();
            Err(answer)
        }
    });
    match begun {
        Ok((Begun { process, control, engine, oom, is_enclosed }, limits)) => {
            // A run that cannot be written down runs all the same: the worker knows it, and it carries its marker.
            drop(claim_file.add(&Word::Process(process)));
            let cgroup = cgroup.filter(|_| is_enclosed);
            let parts =
                Parts { spec, folder, claim_file, supervisor, process, control, engine, cgroup, limits, oom, signals };
            Ok(Service::new(parts))
        }
        Err(answer) => {
            // Nothing runs. What cannot be taken back is found by a later worker as a run that has vanished.
            drop(folder.lift_claim());
            drop(cgroup.map(|cgroup| cgroup.remove()));
            Err(answer)
        }
    }
}

/// A command that runs, and what belongs to it.
struct Begun {
    process: Identity,
    control: UnixListener,
    engine: Option<EnginePort>,
    oom: OomWitness,
    is_enclosed: bool,
}

/// Starts the command of a run that is claimed.
fn begin(
    spec: &LaunchSpec,
    folder: &RunFolder,
    cgroup: Option<&Cgroup>,
    limits: &Limits,
    waiting: Option<Waiting>,
) -> Result<Begun, Answer> {
    let unusable =
        |error: io::Error| Answer::Refused { reason: format!("the folder of the run cannot be used: {error}") };
    let control = bind_control(folder).map_err(unusable)?;
    let stdout = if spec.streams_output {
        open_output(folder, LogStream::Stdout)
    } else {
        OpenOptions::new().write(true).open("/dev/null")
    };
    let output =
        Output { stdout: stdout.map_err(unusable)?, stderr: open_output(folder, LogStream::Stderr).map_err(unusable)? };
    // Without a port the run is stopped by signals alone.
    let engine = EnginePort::bind().ok();
    confined::make_room(spec).map_err(|error| Answer::NotConfined { reason: error.to_string() })?;
    let environment = environment(spec, engine.as_ref());
    let oom = OomWitness::before(cgroup.map(Cgroup::path), limits.memory());
    let taken_over = waiting.and_then(|waiting| take_over(spec, &environment, waiting, cgroup, &output));
    let (process, is_enclosed) = if let Some(taken_over) = taken_over {
        taken_over
    } else {
        let command = command(spec, limits, &environment, output).map_err(unusable)?;
        spawn(command, cgroup).map_err(|error| Answer::NotExecutable { errno: error.raw_os_error() })?
    };
    Ok(Begun { process, control, engine, oom, is_enclosed })
}

/// Makes the claim. The run's cgroup, if it may have one, is named there before it is made.
fn claim(
    spec: &LaunchSpec,
    folder: &RunFolder,
    supervisor: Identity,
    cgroup: Option<Utf8PathBuf>,
) -> Result<ClaimFile, Answer> {
    let claim = Claim::Supervisor(Supervised {
        key: spec.key,
        owner: spec.owner.clone(),
        supervisor,
        boot_id: procfs::boot_id().map(str::to_owned),
        report_state: spec.report_state,
        streams_output: spec.streams_output,
        cgroup,
    });
    let age = since_boot().saturating_sub(Duration::from_millis(spec.asked_at));
    if age > CLAIM_LIMIT {
        let reason = format!("the supervisor was slow to start: the launch was asked for {} s ago", age.as_secs());
        return Err(Answer::Refused { reason });
    }
    match folder.place_claim(&claim) {
        Ok(Some(claim_file)) => Ok(claim_file),
        Ok(None) => Err(Answer::AlreadyClaimed),
        Err(error) => Err(Answer::Refused { reason: format!("the run cannot be claimed: {error}") }),
    }
}

fn bind_control(folder: &RunFolder) -> io::Result<UnixListener> {
    let (_directory, path) = folder.control()?;
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Output is appended to files by the run itself: it neither waits for a reader nor ends with one.
pub(super) fn open_output(folder: &RunFolder, stream: LogStream) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(folder.output(stream))
}

/// Where the run writes.
struct Output {
    stdout: File,
    stderr: File,
}

/// The run's variables, and where its engine finds the control session.
fn environment(spec: &LaunchSpec, engine: Option<&EnginePort>) -> BTreeMap<String, String> {
    let mut environment = spec.environment.clone();
    if let Some((port, token)) = engine.and_then(EnginePort::invitation) {
        environment.insert(CONTROL_PORT.to_owned(), port.to_string());
        environment.insert(CONTROL_TOKEN.to_owned(), token.to_owned());
    }
    environment
}

/// Makes the process that waits the run, in the run's cgroup; also whether it is in there.
fn take_over(
    spec: &LaunchSpec,
    environment: &BTreeMap<String, String>,
    waiting: Waiting,
    cgroup: Option<&Cgroup>,
    output: &Output,
) -> Option<(Identity, bool)> {
    let is_enclosed = cgroup.is_some_and(|cgroup| cgroup.take_in(waiting.number()).is_ok());
    let process = waiting.become_the_run(spec, environment, &output.stdout, &output.stderr)?;
    Some((process, is_enclosed))
}

/// Starts the command in the run's cgroup; also whether it is in there.
fn spawn(mut command: Command, cgroup: Option<&Cgroup>) -> io::Result<(Identity, bool)> {
    let mut spawn = || oom_score::without_protection(Utf8Path::new(oom_score::OWN), || command.spawn());
    let (spawned, is_enclosed) = match cgroup {
        Some(cgroup) => cgroup.around(spawn),
        None => (spawn(), false),
    };
    // Not waited for by this value: all children are waited for together, orphans too.
    Ok((Identity::of(i32::try_from(spawned?.id()).unwrap_or_default()), is_enclosed))
}

/// The command, without a shell, in a process group of its own.
fn command(
    spec: &LaunchSpec,
    limits: &Limits,
    environment: &BTreeMap<String, String>,
    output: Output,
) -> io::Result<Command> {
    let mut command = confined::command(spec, limits, spec.program.as_str(), &spec.arguments)?;
    command
        .env_clear()
        .envs(environment)
        .current_dir(&spec.working_dir)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output.stdout)
        .stderr(output.stderr);
    Ok(command)
}
