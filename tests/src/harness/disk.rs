//! Disks for tests that fill them or cannot write them.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A disk in memory, gone when it is dropped. Only root can make one.
#[derive(Debug)]
pub struct Disk(TempDir);

impl Disk {
    /// A disk of so many MiB.
    pub fn of_mib(size: u32) -> Self {
        let folder = tempfile::Builder::new().prefix("small-disk-").tempdir().expect("a temporary directory");
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}m"), "small-disk"], folder.path());
        Self(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// From now on nothing can be written there.
    pub fn make_read_only(&self) {
        run("mount", &["-o", "remount,ro"], self.path());
    }

    /// Leaves no space on it.
    pub fn fill(&self) {
        let chunk = vec![0; 1 << 20];
        for number in 0.. {
            if fs_err::write(self.path().join(format!("filler-{number}")), &chunk).is_err() {
                return;
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What failed may still have files open on it.
        run("umount", &["--lazy"], self.path());
    }
}

fn run(program: &str, words: &[&str], folder: &Path) {
    let status = Command::new(program).args(words).arg(folder).status();
    let status = status.unwrap_or_else(|error| panic!("{program} cannot be run: {error}"));
    assert!(status.success(), "{program} {words:?} {}: {status}; tests that make disks run as root", folder.display());
}
