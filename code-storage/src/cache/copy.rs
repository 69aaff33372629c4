//! Copying a tree of files.

use std::io;
use std::path::Path;

use camino::Utf8Path;
use fs_err as fs;
use tokio_util::sync::CancellationToken;

use crate::copying::{check, copy_file};

/// Copies a directory to `to`, which does not exist. The copy shares nothing that can be written. Links are copied and not
/// followed.
pub(crate) async fn copy(from: &Utf8Path, to: &Utf8Path, cancel: &CancellationToken) -> io::Result<()> {
    // If this future is dropped, the thread stops soon.
    let stop = cancel.child_token();
    let guard = stop.clone().drop_guard();
    let (from, to) = (from.to_owned(), to.to_owned());
    let copied = tokio::task::spawn_blocking(move || copy_directory(from.as_std_path(), to.as_std_path(), &stop)).await;
    drop(guard);
    copied.map_err(io::Error::other)?
}

// Names in a repository need not be UTF-8.
fn copy_directory(from: &Path, to: &Path, stop: &CancellationToken) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        check(stop)?;
        let entry = entry?;
        let (kind, path, target) = (entry.file_type()?, entry.path(), to.join(entry.file_name()));
        if kind.is_dir() {
            copy_directory(&path, &target, stop)?;
        } else if kind.is_symlink() {
            fs_err::os::unix::fs::symlink(fs::read_link(&path)?, target)?;
        } else {
            copy_file(&path, &target, stop)?;
        }
    }
    Ok(())
}
