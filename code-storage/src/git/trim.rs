//! Leaving out of a clone what a run does not need, because each directory and file of it is made for every run.

use std::io;
use std::path::Path;

use camino::Utf8Path;
use fs_err as fs;

/// Removes the logs of a new clone, and its empty directories but for those by which `git` knows a repository.
pub(super) fn trim(clone: &Utf8Path) -> io::Result<()> {
    let directory = clone.join(".git");
    for needless in ["logs", "info"] {
        let needless = directory.join(needless);
        // Patterns of a sparse check-out are there.
        if needless.exists() && !needless.join("sparse-checkout").exists() {
            fs::remove_dir_all(needless)?;
        }
    }
    remove_empty(directory.as_std_path()).map(drop)
}

fn remove_empty(directory: &Path) -> io::Result<bool> {
    let mut is_empty = true;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let is_gone = entry.file_type()?.is_dir() && remove_empty(&entry.path())?;
        is_empty &= is_gone;
    }
    let is_kept = directory.file_name().is_some_and(|name| name == "refs" || name == "objects");
    if is_empty && !is_kept {
        fs::remove_dir(directory)?;
        return Ok(true);
    }
    Ok(false)
}
