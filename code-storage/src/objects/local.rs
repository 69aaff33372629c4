//! A directory of this machine, copied as `LocalFileSystem` copies it.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::placing::{Names, PlacingError};
use super::request::{Local, Unreadable};
use crate::copying::{PIECE, check, check_kind, copy_file, special};

/// What was copied.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) names: Names,
    pub(super) bytes: u64,
    pub(super) revision: String,
}

/// Why a directory is not copied here.
#[derive(Debug)]
pub(super) enum LocalError {
    LeftToPrefect(Unreadable),
    Files(PlacingError),
}

/// A copy for a run, which is made by a thread of its own.
#[derive(Debug, Default)]
pub(super) struct Copying {
    /// Held by the thread.
    busy: Arc<Mutex<()>>,
    stop: CancellationToken,
}

impl Copying {
    /// Copies the files of a directory to an empty one. Links stay links.
    pub(super) async fn run(&self, local: &Local, to: Utf8PathBuf, into: Utf8PathBuf) -> Result<Copied, LocalError> {
        let busy = Arc::clone(&self.busy).lock_owned().await;
        let (local, stop) = (local.clone(), self.stop.clone());
        let copying = tokio::task::spawn_blocking(move || {
            let _busy = busy;
            copy_now(&local, &to, &into, &stop)
        });
        copying.await.unwrap_or_else(|error| {
            let source = io::Error::other(error);
            Err(LocalError::Files(PlacingError::Files { path: Utf8PathBuf::new(), source }))
        })
    }

    /// Gives the copy up, and waits until the thread writes no more.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        drop(self.busy.lock().await);
    }
}

impl Drop for Copying {
    /// Nobody waits for the copy any more.
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A copy that is under way.
struct Copy<'a> {
    from: Utf8PathBuf,
    to: &'a Utf8Path,
    stop: &'a CancellationToken,
    files: Vec<Utf8PathBuf>,
    directories: Vec<Utf8PathBuf>,
    bytes: u64,
}

fn copy_now(local: &Local, to: &Utf8Path, into: &Utf8Path, stop: &CancellationToken) -> Result<Copied, LocalError> {
    let from = canonical(&local.directory)?;
    if !from.starts_with(canonical(&local.base)?) {
        return left("the deployment's path is not in its block's directory");
    }
    if from.join(".prefectignore").exists() {
        return left("its directory says which files to leave out");
    }
    let target = into.canonicalize_utf8().or_else(|_| into.parent().unwrap_or(into).canonicalize_utf8());
    if target.map_err(at(into))?.starts_with(&from) {
        return left("the flow's directory is in the one to copy");
    }
    let mut copy = Copy { from, to, stop, files: Vec::new(), directories: Vec::new(), bytes: 0 };
    let mut open = vec![Utf8PathBuf::new()];
    while let Some(inner) = open.pop() {
        copy.directory(&inner, &mut open)?;
    }
    copy.files.sort();
    let revision = copy.revision()?;
    Ok(Copied { bytes: copy.bytes, revision, names: Names::of_tree(copy.files, copy.directories) })
}

impl Copy<'_> {
    /// Copies what is in a directory, and notes the directories in it.
    fn directory(&mut self, inner: &Utf8Path, open: &mut Vec<Utf8PathBuf>) -> Result<(), LocalError> {
        let directory = self.from.join(inner);
        for entry in fs::read_dir(&directory).map_err(at(&directory))? {
            check(self.stop).map_err(at(&directory))?;
            let entry = entry.map_err(at(&directory))?;
            let inner = inner.join(text(entry.file_name())?);
            let (path, target) = (self.from.join(&inner), self.to.join(&inner));
            let metadata = entry.metadata().map_err(at(&path))?;
            if metadata.is_dir() {
                fs::create_dir(&target).map_err(at(&target))?;
                self.directories.push(inner.clone());
                open.push(inner);
                continue;
            }
            if metadata.is_symlink() {
                let link = text(fs::read_link(&path).map_err(at(&path))?.into_os_string())?;
                std::os::unix::fs::symlink(link, &target).map_err(at(&target))?;
            } else if special(&metadata) == Some("device") {
                return left("its directory holds a device");
            } else {
                // Before it is opened, which for a socket is an error that says nothing.
                let copied =
                    check_kind(&metadata).and_then(|()| copy_file(path.as_std_path(), target.as_std_path(), self.stop));
                self.bytes += copied.map_err(at(&path))?;
            }
            self.files.push(inner);
        }
        Ok(())
    }

    fn revision(&self) -> Result<String, LocalError> {
        let mut digest = Sha256::new();
        for file in &self.files {
            let path = self.to.join(file);
            digest.update(format!("{file}\0"));
            if path.is_symlink() {
                digest.update(path.read_link_utf8().map_err(at(&path))?.as_str());
            } else {
                let mut file = fs::File::open(&path).map_err(at(&path))?;
                while io::copy(&mut (&mut file).take(PIECE), &mut digest).map_err(at(&path))? > 0 {
                    check(self.stop).map_err(at(&path))?;
                }
            }
            digest.update("\n");
        }
        Ok(format!("{:x}", digest.finalize()))
    }
}

fn left<T>(reason: &'static str) -> Result<T, LocalError> {
    Err(LocalError::LeftToPrefect(Unreadable(reason)))
}

fn at(path: &Utf8Path) -> impl FnOnce(io::Error) -> LocalError {
    let path = path.to_owned();
    move |source| LocalError::Files(PlacingError::Files { path, source })
}

fn canonical(path: &Utf8Path) -> Result<Utf8PathBuf, LocalError> {
    text(fs::canonicalize(path).map_err(at(path))?.into_os_string()).map(Utf8PathBuf::from)
}

/// Python has other names, too.
fn text(name: OsString) -> Result<String, LocalError> {
    name.into_string().or_else(|_| left("its directory holds a name that is not UTF-8"))
}
