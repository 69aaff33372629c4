//! Starting something of a run such that it is kept apart.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, lchown};
use std::process::Command;

use camino::Utf8Path;

use super::spec::LaunchSpec;
use crate::confinement::enter::{self, Orders};
use crate::confinement::{Limits, RunAs};

/// For everybody, and nobody removes what is another's.
const TEMPORARY: u32 = 0o1777;

/// A command of the run, with neither environment nor streams yet.
pub(super) fn command(spec: &LaunchSpec, limits: &Limits, program: &str, arguments: &[String]) -> io::Result<Command> {
    if !spec.confinement.changes_the_process() && limits.groups.is_empty() {
        let mut command = Command::new(program);
        command.args(arguments);
        return Ok(command);
    }
    let orders = Orders {
        confinement: spec.confinement.clone(),
        groups: limits.groups.clone(),
        room: spec.room.clone(),
        working_dir: spec.working_dir.clone(),
    };
    enter::command(&orders, program, arguments)
}

/// Makes the directories that the run is going to have for itself, and gives them to its user.
pub(super) fn make_room(spec: &LaunchSpec) -> io::Result<()> {
    let Some(room) = &spec.room else { return Ok(()) };
    if let Some(temporary) = &room.temporary {
        std::fs::create_dir_all(temporary)?;
        std::fs::set_permissions(temporary, Permissions::from_mode(TEMPORARY))?;
    }
    let Some(run_as) = &spec.confinement.run_as else { return Ok(()) };
    room.kept.iter().try_for_each(|directory| give(directory, run_as))
}

/// Gives a directory and all that is in it to a user. Links are given, and not followed.
fn give(path: &Utf8Path, to: &RunAs) -> io::Result<()> {
    lchown(path, Some(to.uid), Some(to.gid))?;
    if path.symlink_metadata()?.is_dir() {
        for entry in path.read_dir_utf8()? {
            give(entry?.path(), to)?;
        }
    }
    Ok(())
}
