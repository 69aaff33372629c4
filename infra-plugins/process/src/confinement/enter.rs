//! The step between the supervisor and the run's command: a process that confines itself and becomes the command.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use camino::Utf8PathBuf;
use rustix::process::{Gid, Resource, Rlimit, Uid, getrlimit, setrlimit};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};
use serde::{Deserialize, Serialize};

use super::Confinement;
use super::room::Room;
use crate::settings::SUPERVISE_RUN;

/// The argument with which a supervisor's program becomes this.
const CONFINE: &str = "confine-run";
/// The exit code of a run that could not be confined: that of programs which start others.
const NOT_CONFINED: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;

/// What this process is told, as its argument: nothing of it is secret.
#[derive(Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) confinement: Confinement,
    /// Cgroups to enter.
    pub(crate) groups: Vec<Utf8PathBuf>,
    pub(crate) room: Option<Room>,
    pub(crate) working_dir: Utf8PathBuf,
}

/// The command that confines itself and becomes the given one.
pub(crate) fn command(orders: &Orders, program: &str, arguments: &[String]) -> io::Result<Command> {
    let mut command = Command::new("/proc/self/exe");
    // Executed by another name, this program needs to be told again that it is a supervisor.
    if std::env::args().nth(1).as_deref() == Some(SUPERVISE_RUN) {
        command.arg(SUPERVISE_RUN);
    }
    command.arg(CONFINE).arg(serde_json::to_string(orders)?).arg(program).args(arguments);
    Ok(command)
}

/// Does what the arguments say, if they say so. Returns only if it cannot.
pub(crate) fn when_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1).skip_while(|argument| argument == SUPERVISE_RUN);
    if arguments.next()? != CONFINE {
        return None;
    }
    let (orders, program) = (arguments.next()?, arguments.next()?);
    let confined = serde_json::from_str::<Orders>(&orders).map_err(io::Error::from).and_then(|orders| confine(&orders));
    if let Err(error) = confined {
        return Some(complain(&format!("the run cannot be confined: {error}"), NOT_CONFINED));
    }
    let error = Command::new(&program).args(arguments).exec();
    Some(complain(&format!("`{program}` cannot be executed: {error}"), NOT_EXECUTABLE))
}

fn complain(text: &str, code: u8) -> ExitCode {
    drop(writeln!(io::stderr().lock(), "worker: {text}"));
    ExitCode::from(code)
}

/// What needs rights comes before they are given up.
fn confine(orders: &Orders) -> io::Result<()> {
    let Orders { confinement, groups, room, working_dir } = orders;
    groups.iter().try_for_each(|group| std::fs::write(group.join("cgroup.procs"), "0"))?;
    if let Some(room) = room {
        room.enter()?;
        // The one from before may be hidden.
        std::env::set_current_dir(working_dir)?;
    }
    if let Some(most) = confinement.max_open_files {
        let now = getrlimit(Resource::Nofile);
        let most = now.maximum.map_or(most, |maximum| maximum.min(most));
        setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) })?;
    }
    if let Some(run_as) = &confinement.run_as {
        let groups: Vec<Gid> = run_as.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        set_thread_groups(&groups)?;
        let (user, group) = (Uid::from_raw(run_as.uid), Gid::from_raw(run_as.gid));
        set_thread_res_gid(group, group, group)?;
        set_thread_res_uid(user, user, user)?;
    }
    if confinement.no_new_privileges {
        set_no_new_privs(true)?;
    }
    Ok(())
}
