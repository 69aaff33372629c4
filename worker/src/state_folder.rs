//! The folder in which a daemon keeps what must survive it.
//!
//! The state directory is shared by all daemons of a user on a machine, because people start several with the same settings.
//! Each takes the first folder `daemon-<n>` in it that nobody holds and that belongs to the same API, so that a daemon which
//! comes back finds its own. Folders further on that nobody holds were left by daemons that did not come back: what they
//! knew is taken over.

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};

use camino::{Utf8Path, Utf8PathBuf};
use url::Url;

/// More daemons than these on one state directory are a mistake.
const MOST: u32 = 256;

/// A folder that this process holds until it ends, however it ends.
#[derive(Debug)]
pub struct StateFolder {
    path: Utf8PathBuf,
    name: String,
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

impl StateFolder {
    /// Where it is.
    pub fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// Its name, by which its runs are told from those of other daemons.
    pub fn name(&self) -> &str {
        &self.name
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
                fs_err::write(&api_path, api).map_err(unusable(&api_path))?;
            }
            Err(source) => return Err(unusable(&api_path)(source)),
        }
        Ok(Some(Self { path, name, _lock: lock }))
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
        if let Some(folder) = StateFolder::take(state_dir, number, &api)? {
            return Ok(folder);
        }
    }
    Err(StateFolderError::Full { path: state_dir.to_owned() })
}

/// Folders of this API that nobody holds any more.
pub fn take_left(state_dir: &Utf8Path, api_url: &Url) -> Vec<StateFolder> {
    let api = without_credentials(api_url);
    let exists = |number: &u32| state_dir.join(format!("daemon-{number}")).exists();
    (1..=MOST)
        .take_while(exists)
        .filter_map(|number| StateFolder::take(state_dir, number, &api).ok().flatten())
        .collect()
}

fn without_credentials(url: &Url) -> String {
    let mut url = url.clone();
    // A URL that takes no credentials has none.
    let _has_none = url.set_username("").and_then(|()| url.set_password(None));
    url.into()
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
        let left = || take_left(&state_dir, &api).iter().map(|folder| folder.name().to_owned()).collect::<Vec<_>>();
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
    fn a_directory_that_cannot_be_made_is_named() {
        let (kept, _) = state_dir();
        let file = Utf8Path::from_path(kept.path()).unwrap().join("file");
        fs_err::write(&file, "").unwrap();
        let error = take(&file.join("state"), &url("http://one/api")).unwrap_err();
        assert!(error.to_string().contains("file/state"), "{error}");
    }
}
