//! A full disk.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use worker_tests::chaos::{Arena, Plan, play};

/// A disk of a few megabytes, in memory. Only root can make one.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mounted() -> Self {
        let folder = tempfile::Builder::new().prefix("small-disk-").tempdir().unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=12m", "small-disk"], folder.path());
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What failed may still have files open on it.
        run("umount", &["--lazy"], self.0.path());
    }
}

fn run(program: &str, words: &[&str], folder: &Path) {
    let status = Command::new(program).args(words).arg(folder).status().unwrap();
    assert!(status.success(), "{program} {words:?} {}: {status}", folder.display());
}

#[tokio::test]
async fn a_full_disk_is_survived() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("NOT RUN: only root can make a disk that is small enough to fill");
        return;
    }
    let disk = SmallDisk::mounted();
    let plan = Plan::on_small_disk(1);
    let arena = Arena::in_memory(1).await.with_state_in(disk.0.path());
    play(&arena, &plan).await.expect_no_violation(&plan);
}
