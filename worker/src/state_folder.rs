//! The folder in which a daemon keeps what must survive it.
//!
//! The state directory is shared by all daemons of a user on a machine, because people start several with the same settings.
//! Each takes the first folder `daemon-<n>` in it that nobody holds and that belongs to the same API, so that a daemon which
//! comes back finds its own. Folders further on that nobody holds were left by daemons that did not come back: what they
//! knew is taken over.

mod marks;

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use infra_contract::Owner;
use url::Url;

/// What the API has not taken yet.
const SPOOL: &str = "spool";
/// The same of a daemon that was taken over.
const TAKEN_SPOOL: &str = "spool-of-";
/// Names the folder to which the content of this one is being moved.
const MOVED: &str = "moves-to";

/// More daemons than these on one state directory are a mistake.
const MOST: u32 = 256;

/// A folder that this process holds until it ends, however it ends.
#[derive(Debug)]
pub struct StateFolder {
    path: Utf8PathBuf,
    name: String,
    owner: Owner,
    _lock: File,
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateFolderError {
    /// A file system error.
    #[error("the state directory cannot be used: {path}")]
    Unusable {
        /// What could not be used.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Every folder is held.
    #[error("all {MOST} folders of the state directory {path} are in use by other workers or other APIs")]
    Full {
        /// The state directory.
        path: Utf8PathBuf,
    },
}

impl StateFolderError {
    /// A folder that was taken cannot be used after all.
    pub fn unusable(folder: &StateFolder, source: io::Error) -> Self {
        Self::Unusable { path: folder.path.clone(), source }
    }
}

impl StateFolder {
    /// Where it is.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// By what the infrastructure of its daemon is told from that of others.
    pub const fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Begins to take over another folder: from now on nobody else does, and this one answers for its marks.
    ///
    /// # Errors
    /// It could not be written down; nothing is taken over.
    pub fn begin_taking_over(&self, left: &Self) -> io::Result<()> {
        write_whole(&left.path.join(MOVED), &self.name)?;
        let known = marks::read(&self.path)?;
        let taken: Vec<String> = marks::read(&left.path)?.into_iter().filter(|mark| !known.contains(mark)).collect();
        marks::write(&self.path, known.iter().chain(&taken))?;
        for mark in taken {
            self.owner.take_over(mark);
        }
        Ok(())
    }

    /// Ends it: the other folder is empty, and the next daemon in it begins anew, under a mark of its own.
    ///
    /// # Errors
    /// Something could not be removed; taking over is to be begun again.
    pub fn end_taking_over(left: &Self) -> io::Result<()> {
        for file in [crate::journal::FILE, marks::FILE, MOVED] {
            match fs_err::remove_file(left.path.join(file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Whether there is anything in it to take over.
    pub fn is_worth_taking_over(&self) -> bool {
        [crate::journal::FILE, SPOOL, MOVED].iter().any(|name| self.path.join(name).exists())
    }

    /// Where what the API has not taken yet is kept.
    pub fn spool(&self) -> Utf8PathBuf {
        self.path.join(SPOOL)
    }

    /// Moves what another daemon had spooled into this folder; where it is now, if there was any.
    ///
    /// # Errors
    /// It could not be moved.
    pub fn take_spool(&self, left: &Self) -> io::Result<Option<Utf8PathBuf>> {
        let name = format!("{TAKEN_SPOOL}{}", left.owner.mark());
        let taken = self.path.join(name);
        match fs_err::rename(left.spool(), &taken) {
            Ok(()) => Ok(Some(taken)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What was moved here and is perhaps not delivered yet.
    pub fn taken_spools(&self) -> Vec<Utf8PathBuf> {
        let entries = self.path.read_dir_utf8().into_iter().flatten().flatten();
        entries
            .filter(|entry| entry.file_name().starts_with(TAKEN_SPOOL))
            .map(camino::Utf8DirEntry::into_path)
            .collect()
    }

    /// Answers for its own mark alone from the next start on: nothing is left of what was taken over.
    ///
    /// # Errors
    /// It could not be written down.
    pub fn forget_what_was_taken_over(&self) -> io::Result<()> {
        marks::write(&self.path, std::iter::once(&self.owner.mark().to_owned()))
    }

    /// The folder to which the content of this one is being moved.
    fn moves_to(&self) -> Option<String> {
        fs_err::read_to_string(self.path.join(MOVED)).ok()
    }

    /// Takes the folder if nobody holds it and it belongs to this API or to none.
    fn take(state_dir: &Utf8Path, number: u32, api: &str) -> Result<Option<Self>, StateFolderError> {
        let name = format!("daemon-{number}");
        let path = state_dir.join(&name);
        let unusable = |path: &Utf8Path| {
            let path = path.to_owned();
            move |source| StateFolderError::Unusable { path, source }
        };
        private_directory(&path).map_err(unusable(&path))?;
        let lock_path = path.join("lock");
        let lock = private_file(&lock_path).map_err(unusable(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(source)) => return Err(unusable(&lock_path)(source)),
        }
        let api_path = path.join("api");
        match fs_err::read_to_string(&api_path) {
            Ok(known) if known == api => {}
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_whole(&api_path, api).map_err(unusable(&api_path))?;
            }
            Err(source) => return Err(unusable(&api_path)(source)),
        }
        let owner = marks::owner(&path, &name).map_err(unusable(&path))?;
        Ok(Some(Self { path, name, owner, _lock: lock }))
    }
}

/// Takes a folder for a daemon of this API.
///
/// # Errors
/// The state directory cannot be written.
pub fn take(state_dir: &Utf8Path, api_url: &Url) -> Result<StateFolder, StateFolderError> {
    private_directory(state_dir).map_err(|source| StateFolderError::Unusable { path: state_dir.to_owned(), source })?;
    let api = without_credentials(api_url);
    for number in 1..=MOST {
        // One that is being taken over is for whoever began it.
        let free = StateFolder::take(state_dir, number, &api)?.filter(|folder| folder.moves_to().is_none());
        if let Some(folder) = free {
            return Ok(folder);
        }
    }
    Err(StateFolderError::Full { path: state_dir.to_owned() })
}

/// Folders of this API that nobody holds any more, for the daemon of a folder. One whose content another daemon began to take
/// over is left to that one while it lives.
pub fn take_left(own: &StateFolder, state_dir: &Utf8Path, api_url: &Url) -> Vec<StateFolder> {
    let api = without_credentials(api_url);
    let exists = |number: &u32| state_dir.join(format!("daemon-{number}")).exists();
    (1..=MOST)
        .filter(exists)
        .filter_map(|number| StateFolder::take(state_dir, number, &api).ok().flatten())
        .filter(|left| left.moves_to().is_none_or(|to| to == own.name || !is_held(&state_dir.join(to))))
        .collect()
}

fn without_credentials(url: &Url) -> String {
    let mut url = url.clone();
    // A URL that takes no credentials has none.
    let _has_none = url.set_username("").and_then(|()| url.set_password(None));
    url.into()
}

fn is_held(folder: &Utf8Path) -> bool {
    File::open(folder.join("lock")).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

/// Writes a file whole or not at all, and not before it would survive a power cut.
fn write_whole(path: &Utf8Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = fs_err::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs_err::rename(&beside, path)?;
    // The name survives a power cut only with the directory.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn private_directory(path: &Utf8Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn private_file(path: &Utf8Path) -> io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state_dir() -> (tempfile::TempDir, Utf8PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("state");
        (directory, path)
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn each_daemon_has_a_folder_of_its_own_and_finds_it_again() {
        let (_kept, state_dir) = state_dir();
        let api = url("http://127.0.0.1:4200/api");
        let first = take(&state_dir, &api).unwrap();
        let second = take(&state_dir, &api).unwrap();
        assert_eq!((first.name(), second.name()), ("daemon-1", "daemon-2"));
        drop(second);
        let again = take(&state_dir, &api).unwrap();
        assert_eq!(again.name(), "daemon-2");
    }

    #[test]
    fn what_others_left_is_taken_over_and_what_is_held_is_not() {
        let (_kept, state_dir) = state_dir();
        let api = url("http://127.0.0.1:4200/api");
        let first = take(&state_dir, &api).unwrap();
        let (second, third) = (take(&state_dir, &api).unwrap(), take(&state_dir, &api).unwrap());
        drop((first, third));
        let alone = take(&state_dir, &api).unwrap();
        let left =
            || take_left(&alone, &state_dir, &api).iter().map(|folder| folder.name().to_owned()).collect::<Vec<_>>();
        assert_eq!((alone.name(), left()), ("daemon-1", vec!["daemon-3".to_owned()]));
        drop(second);
        assert_eq!(left(), ["daemon-2", "daemon-3"]);
    }

    #[test]
    fn a_folder_of_another_api_is_left_alone() {
        let (_kept, state_dir) = state_dir();
        drop(take(&state_dir, &url("http://one/api")).unwrap());
        let taken = take(&state_dir, &url("http://two/api")).unwrap();
        assert_eq!(taken.name(), "daemon-2");
        drop(taken);
        let back = take(&state_dir, &url("http://user:secret@one/api")).unwrap();
        assert_eq!(back.name(), "daemon-1");
        let written = fs_err::read_to_string(back.path().join("api")).unwrap();
        assert!(!written.contains("secret"));
    }

    #[test]
    fn a_mark_goes_with_the_records_and_the_next_daemon_in_the_folder_has_another() {
        let (_kept, state_dir) = state_dir();
        let api = url("http://127.0.0.1:4200/api");
        let own = take(&state_dir, &api).unwrap();
        let other = take(&state_dir, &api).unwrap();
        let mark = other.owner().mark().to_owned();
        drop(other);
        let left = take_left(&own, &state_dir, &api).pop().unwrap();
        own.begin_taking_over(&left).unwrap();
        assert!(own.owner().answers_for(&mark));
        drop(left);
        let third = take(&state_dir, &api).unwrap();
        assert_eq!(third.name(), "daemon-3", "a folder that is being taken over is for whoever began it");
        assert!(take_left(&third, &state_dir, &api).is_empty());
        let left = take_left(&own, &state_dir, &api).pop().unwrap();
        own.begin_taking_over(&left).unwrap();
        StateFolder::end_taking_over(&left).unwrap();
        drop((left, own));
        let (again, fresh) = (take(&state_dir, &api).unwrap(), take(&state_dir, &api).unwrap());
        assert!(again.owner().answers_for(&mark), "a restart does not forget it");
        assert_eq!(fresh.name(), "daemon-2");
        assert!(!fresh.owner().answers_for(&mark));
        again.forget_what_was_taken_over().unwrap();
        drop(again);
        assert!(!take(&state_dir, &api).unwrap().owner().answers_for(&mark));
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_named() {
        let (kept, _) = state_dir();
        let file = Utf8Path::from_path(kept.path()).unwrap().join("file");
        fs_err::write(&file, "").unwrap();
        let error = take(&file.join("state"), &url("http://one/api")).unwrap_err();
        assert!(error.to_string().contains("file/state"), "{error}");
    }
}
