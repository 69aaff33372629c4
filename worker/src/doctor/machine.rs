//! What of this machine every kind needs: the state directory, its disk, open files.

use std::io;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use futures::future::join3;
use rustix::fs::{Access, access, statvfs};
use rustix::process::{Resource, getrlimit};
use uuid::Uuid;

use super::{Check, Found, bounded};

/// A network file system that hangs must not hold up the rest.
const LIMIT: Duration = Duration::from_secs(10);

const MIB: u64 = 1 << 20;
/// With less than this the journal and the spool cannot be relied on.
const LEAST_SPACE: u64 = 64 * MIB;
/// With less than this, code and the output of runs soon fill the disk.
const SOUND_SPACE: u64 = 1024 * MIB;
const LEAST_INODES: u64 = 1000;

/// Open files of a daemon without runs: journal, spool, sockets, libraries.
const FILES_OF_DAEMON: u64 = 100;
/// Open files of a run while it is being started and watched.
const FILES_OF_RUN: u64 = 4;

/// What is looked at.
#[derive(Clone, Debug)]
pub struct MachineUnderLook {
    /// The state directory.
    pub state_dir: Utf8PathBuf,
    /// The most runs at the same time, of all pools together; none if a pool has no limit.
    pub run_limit: Option<u64>,
}

/// Looks at the machine.
pub async fn look_at_machine(machine: &MachineUnderLook) -> Vec<Check> {
    let directory = machine.state_dir.clone();
    let writable = bounded("state directory", LIMIT, on_thread(move || state_directory(&directory)));
    let directory = machine.state_dir.clone();
    let disk = bounded("disk", LIMIT, on_thread(move || disk(&directory)));
    let run_limit = machine.run_limit;
    let files =
        bounded("open files", LIMIT, async move { vec![open_files(getrlimit(Resource::Nofile).maximum, run_limit)] });
    let (writable, disk, files) = join3(writable, disk, files).await;
    vec![writable, disk, files]
}

/// Calls that block, apart from those that do not.
async fn on_thread(look: impl FnOnce() -> Found + Send + 'static) -> Vec<Found> {
    match tokio::task::spawn_blocking(look).await {
        Ok(found) => vec![found],
        Err(error) => {
            vec![Found::error(format!("the look at it failed: {error}"), "report this as a bug of the worker")]
        }
    }
}

const ANOTHER_DIRECTORY: &str =
    "name a directory that this user can write with WORKER_STATE_DIR or `dir` in the section [state]";

fn state_directory(directory: &Utf8Path) -> Found {
    if !directory.exists() {
        let parent = existing(directory);
        return match access(parent.as_std_path(), Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => Found::ok(format!("{directory} does not exist yet and can be made")),
            Err(error) => Found::error(
                format!("{directory} cannot be made: {parent} is not writable: {}", io::Error::from(error)),
                ANOTHER_DIRECTORY,
            ),
        };
    }
    match try_writing(directory) {
        Ok(()) => Found::ok(format!("{directory} can be written")),
        Err(error) if error.kind() == io::ErrorKind::StorageFull => Found::error(
            format!("{directory} cannot be written: its disk is full"),
            format!("free space, or {ANOTHER_DIRECTORY}"),
        ),
        Err(error) => Found::error(format!("{directory} cannot be written: {error}"), ANOTHER_DIRECTORY),
    }
}

/// Rights say little on network file systems and for root, and an empty file needs no space: so a byte is written.
fn try_writing(directory: &Utf8Path) -> io::Result<()> {
    let file = directory.join(format!(".doctor-{}", Uuid::new_v4()));
    let written = std::fs::write(&file, "x");
    match (written, std::fs::remove_file(&file)) {
        (Err(error), _) | (Ok(()), Err(error)) => Err(error),
        (Ok(()), Ok(())) => Ok(()),
    }
}

fn disk(directory: &Utf8Path) -> Found {
    let on = existing(directory);
    match statvfs(on.as_std_path()) {
        Ok(disk) => disk_space(on, disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_ffree, disk.f_files > 0),
        Err(error) => Found::warning(
            format!("the space of {on} is not known: {}", io::Error::from(error)),
            "look at it with `df`",
        ),
    }
}

fn disk_space(on: &Utf8Path, bytes: u64, inodes: u64, counts_inodes: bool) -> Found {
    let free = bytes / MIB;
    let hint = "free space there: `worker cache prune` removes code that is kept; or move the state directory with WORKER_STATE_DIR";
    if bytes < LEAST_SPACE {
        Found::error(format!("{free} MiB are free at {on}: too little for the journal and the output of runs"), hint)
    } else if counts_inodes && inodes < LEAST_INODES {
        Found::error(format!("only {inodes} more files can be made at {on}"), hint)
    } else if bytes < SOUND_SPACE {
        Found::warning(format!("only {free} MiB are free at {on}"), hint)
    } else {
        Found::ok(format!("{} GiB are free at {on}", free / 1024))
    }
}

/// The worker raises its own limit to the most that it may have.
fn open_files(most: Option<u64>, run_limit: Option<u64>) -> Found {
    let Some(most) = most else { return Found::ok("any number of files may be open") };
    let enough_for = most.saturating_sub(FILES_OF_DAEMON) / FILES_OF_RUN;
    let text = format!("{most} files may be open, enough for about {enough_for} runs at the same time");
    match run_limit {
        Some(limit) if limit > enough_for => Found::warning(
            format!("{text}, fewer than the limits of the pools together ({limit})"),
            "raise it with LimitNOFILE= in the unit, or `ulimit -Hn` in the shell that starts the worker",
        ),
        _ if enough_for < 100 => Found::warning(
            text,
            "raise it with LimitNOFILE= in the unit, or `ulimit -Hn` in the shell that starts the worker",
        ),
        _ => Found::ok(text),
    }
}

/// The directory, or what of its path exists.
fn existing(directory: &Utf8Path) -> &Utf8Path {
    directory.ancestors().find(|path| path.exists()).unwrap_or(Utf8Path::new("/"))
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn little_space_warns_and_next_to_none_is_an_error() {
        let on = Utf8Path::new("/x");
        let grade = |bytes, inodes, counted| disk_space(on, bytes, inodes, counted).severity;
        assert_eq!(grade(10 * SOUND_SPACE, 5000, true), Grade::Ok);
        assert_eq!(grade(SOUND_SPACE - 1, 5000, true), Grade::Warning);
        assert_eq!(grade(LEAST_SPACE - 1, 5000, true), Grade::Error);
        assert_eq!(grade(10 * SOUND_SPACE, 3, true), Grade::Error);
        assert_eq!(grade(10 * SOUND_SPACE, 0, false), Grade::Ok, "some file systems do not count them");
    }

    #[test]
    fn the_limits_of_pools_are_held_against_that_of_open_files() {
        assert_eq!(open_files(None, Some(10_000)).severity, Grade::Ok);
        assert_eq!(open_files(Some(4096), Some(500)).severity, Grade::Ok);
        let short = open_files(Some(1024), Some(500));
        assert_eq!(short.severity, Grade::Warning);
        assert!(short.message.contains("about 231 runs") && short.message.contains("(500)"), "{}", short.message);
    }

    #[test]
    fn a_look_at_the_state_directory_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        assert_eq!(state_directory(folder).severity, Grade::Ok);
        assert_eq!(state_directory(&folder.join("a/b")).severity, Grade::Ok);
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
        let file = folder.join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(state_directory(&file).severity, Grade::Error, "a file is no directory");
    }
}
