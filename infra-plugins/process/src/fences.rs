//! Launches that were given up, and what is left of them.
//!
//! Between the start of a supervisor and its claim the worker may die. A later one that finds no claim cannot tell whether
//! a supervisor is on its way: it makes the claim itself, for nobody, and keeps it for longer than any supervisor that
//! was asked before may still claim.

use std::io;
use std::time::{Duration, SystemTime};

use camino::Utf8Path;
use uuid::Uuid;

use crate::claim::{Claim, Fence};
use crate::folder::RunFolder;
use crate::supervisor::{CLAIM_LIMIT, since_boot};

/// How long a fence is kept.
pub(crate) const FENCE_TIME: Duration = CLAIM_LIMIT.saturating_mul(2);

/// How old something must be that an earlier worker process is taken to have left: longer than all tries of a launch.
pub(crate) const LEFTOVER_AGE: Duration = Duration::from_secs(35);

/// The length of a launch key: an id, a hyphen and eight digits.
const KEY_LENGTH: usize = 45;

/// The claim on the run. If there was none it is now one for nobody: it is certain then that nobody has claimed the run and
/// nobody will.
pub(crate) fn put_up(folder: &RunFolder) -> io::Result<Claim> {
    loop {
        if let Some(claim) = folder.claim()? {
            return Ok(claim);
        }
        folder.make()?;
        let put_up_at = u64::try_from(since_boot().as_micros()).unwrap_or_default();
        let claim = Claim::Nobody(Fence { put_up_at });
        if folder.place_claim(&claim)?.is_some() {
            return Ok(claim);
        }
    }
}

/// Removes the folder of a launch that was given up, if it still is by this very fence: a later one has its own time.
pub(crate) fn take_down(folder: &RunFolder, fence: Fence) {
    let removed = folder.claim().and_then(|claim| match claim {
        Some(Claim::Nobody(standing)) if standing == fence => folder.remove(),
        Some(Claim::Nobody(_) | Claim::Supervisor(_) | Claim::Torn) | None => Ok(()),
    });
    if let Err(error) = removed {
        tracing::debug!(%error, "the folder of a launch that was given up cannot be removed");
    }
}

/// Removes what earlier worker processes left of launches that came to nothing.
pub(crate) fn clear_leftovers(runs_directory: &Utf8Path) {
    for folder in folders(runs_directory).unwrap_or_default() {
        let is_old = folder
            .path()
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|modified| SystemTime::now().duration_since(modified).is_ok_and(|age| age > LEFTOVER_AGE));
        if is_old && matches!(folder.claim(), Ok(None | Some(Claim::Nobody(_)))) {
            drop(folder.remove());
        }
    }
}

/// The folders of runs in a directory, in which there may be other things.
pub(crate) fn folders(runs_directory: &Utf8Path) -> io::Result<Vec<RunFolder>> {
    let entries = match runs_directory.read_dir_utf8() {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if is_key(entry.file_name()) {
            folders.push(RunFolder::at(entry.into_path()));
        }
    }
    Ok(folders)
}

fn is_key(name: &str) -> bool {
    name.len() == KEY_LENGTH && name.rsplit_once('-').is_some_and(|(run, _)| Uuid::parse_str(run).is_ok())
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn a_fence_keeps_later_claims_out_and_is_taken_down_with_its_folder() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().join("run")).unwrap();
        let folder = RunFolder::at(path);
        let claim = put_up(&folder).unwrap();
        assert_eq!(put_up(&folder).unwrap(), claim);
        assert!(folder.place_claim(&claim).unwrap().is_none());
        let Claim::Nobody(fence) = claim else { panic!("somebody's: {claim:?}") };
        take_down(&folder, fence);
        assert!(!folder.path().exists());
    }

    #[test]
    fn the_time_of_a_fence_that_was_lifted_takes_no_later_one_down() {
        let directory = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(Utf8PathBuf::from_path_buf(directory.path().join("run")).unwrap());
        let Claim::Nobody(first) = put_up(&folder).unwrap() else { panic!("nobody has claimed it") };
        folder.lift_claim().unwrap();
        let second = Claim::Nobody(Fence { put_up_at: first.put_up_at + 1 });
        assert!(folder.place_claim(&second).unwrap().is_some());
        take_down(&folder, first);
        assert_eq!(folder.claim().unwrap(), Some(second));
    }

    #[test]
    fn old_folders_that_nobody_claimed_are_cleared_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let key = |number: u32| format!("00000000-0000-0000-0000-000000000007-{number:08}");
        let names = [key(1), key(2), format!("{}-prefect", key(3)), "other".to_owned()];
        for name in &names {
            RunFolder::at(directory.join(name)).make().unwrap();
        }
        let old = SystemTime::now() - LEFTOVER_AGE * 2;
        for name in names.iter().skip(1) {
            std::fs::File::open(directory.join(name)).unwrap().set_modified(old).unwrap();
        }
        clear_leftovers(directory);
        let left: Vec<bool> = names.iter().map(|name| directory.join(name).exists()).collect();
        assert_eq!(left, [true, false, true, true]);
    }

    #[test]
    fn only_folders_named_like_a_launch_key_are_folders_of_runs() {
        let key = "00000000-0000-0000-0000-000000000007-00000001";
        assert!(is_key(key));
        assert!(!is_key(&format!("{key}-prefect")));
        assert!(!is_key("lost+found"));
    }
}
