//! The supervisor of one run: a process of its own that outlives the worker.
//!
//! It starts the command, is the one that all orphans of the run fall to, hosts the control session with the engine,
//! keeps the output within bounds, waits for the end, kills what is left, writes down how it ended, and then waits until
//! the worker, this one or a later one, lets it go. It keeps the run's environment, which is written nowhere: secrets in
//! it are masked here, and the hooks of the flow are run from here.
//!
//! One thread, no async runtime, nothing that blocks but the wait for the next thing to do.

mod clients;
mod confined;
mod durability;
mod ending;
mod fork_server;
mod hooks;
mod orphans;
mod output_limit;
mod service;
mod spec;
mod start;
mod stderr;
mod sweep;
mod takeover;
mod termination;
mod time_limit;

use std::ffi::CString;
use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

pub(crate) use fork_server::FORK_SERVER;
pub(crate) use spec::{Answer, CLAIM_LIMIT, LaunchSpec, RELEASE, Started, WarmStart, since_boot};

use crate::confinement::enter;
use crate::open_files;
use fork_server::Role;
use service::Service;
use takeover::Waiting;
use worker_core::ids::RunId;

/// The longest name that a process can have.
const NAME_LENGTH: usize = 15;

/// Most specs are shorter: it is read at once.
const USUAL_SPEC: usize = 16 * 1024;

/// The whole life of a supervisor. Reads what to start from standard input, and answers on standard output.
pub fn supervise() -> ExitCode {
    if let Some(code) = enter::when_asked() {
        return code;
    }
    if fork_server::is_asked_for() && !matches!(fork_server::serve(), Ok(Role::Supervisor)) {
        return ExitCode::SUCCESS;
    }
    match begin() {
        Ok(service) => {
            service.run();
            ExitCode::SUCCESS
        }
        Err(answer) => {
            say(&answer);
            ExitCode::FAILURE
        }
    }
}

fn begin() -> Result<Service, Answer> {
    let refused = |error: &io::Error, what: &str| Answer::Refused { reason: format!("{what}: {error}") };
    let waiting = Waiting::of_arguments();
    termination::leave_the_workers_session();
    let signals = termination::outlive_signals().map_err(|error| refused(&error, "signals cannot be handled"))?;
    let mut spec = Vec::with_capacity(USUAL_SPEC);
    io::stdin().read_to_end(&mut spec).map_err(|error| refused(&error, "the spec cannot be read"))?;
    let spec: LaunchSpec =
        serde_json::from_slice(&spec).map_err(|error| refused(&error.into(), "the spec cannot be read"))?;
    if spec.release != RELEASE {
        let reason =
            format!("the worker is of release {} and its supervisor of {RELEASE}: install both from one", spec.release);
        return Err(Answer::Refused { reason });
    }
    be_known_as(spec.key.run);
    open_files::restore(spec.open_files);
    let service = start::start(spec, signals, waiting)?;
    say(&Answer::Started(service.started()));
    termination::close_standard_streams();
    Ok(service)
}

/// For people who look at the process table, as far as there is room in a name.
fn be_known_as(run: RunId) {
    let name = format!("run-{}", run.0.simple());
    if let Ok(name) = CString::new(name.get(..NAME_LENGTH).unwrap_or(&name)) {
        rustix::thread::set_name(&name).unwrap_or_default();
    }
}

/// That nobody listens is no reason to give up a run: a later worker finds it by its folder.
fn say(answer: &Answer) {
    let line = serde_json::to_vec(answer).unwrap_or_default();
    let mut out = io::stdout().lock();
    drop(out.write_all(&line).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()));
}
