//! The image of a worker, for pods.

use std::path::{Path, PathBuf};
use std::process::Command;

use kubernetes_bed::BUSYBOX;
use worker_tests::harness::worker_binary;

/// An image with the programs `worker`, `worker-supervisor` and `git`, made of this machine's. It is removed with this.
pub(crate) struct WorkerImage(String);

impl WorkerImage {
    pub(crate) fn build() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let worker = worker_binary();
        let programs = [worker.with_file_name("worker-supervisor"), worker, found_in_path("git")];
        for program in &programs {
            copy(program, &folder.path().join("root/bin").join(program.file_name().unwrap()));
            for library in libraries_of(program) {
                copy(&library, &folder.path().join("root").join(library.strip_prefix("/").unwrap()));
            }
        }
        fs_err::write(folder.path().join("Dockerfile"), format!("FROM {BUSYBOX}\nCOPY root /\n")).unwrap();
        let image = Self(format!("worker-test/worker:{}", std::process::id()));
        said_by("docker", &["build", "--quiet", "--tag", &image.0, folder.path().to_str().unwrap()]);
        image
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for WorkerImage {
    fn drop(&mut self) {
        // One that a pod still uses stays.
        Command::new("docker").args(["image", "rm", &self.0]).output().map(drop).unwrap_or_default();
    }
}

fn found_in_path(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file()).unwrap()
}

fn libraries_of(program: &Path) -> Vec<PathBuf> {
    let listed = said_by("ldd", &[program.to_str().unwrap()]);
    listed.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn copy(from: &Path, to: &Path) {
    fs_err::create_dir_all(to.parent().unwrap()).unwrap();
    fs_err::copy(from, to).unwrap();
}

fn said_by(program: &str, args: &[&str]) -> String {
    let ended = Command::new(program).args(args).output().unwrap();
    assert!(ended.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&ended.stderr));
    String::from_utf8(ended.stdout).unwrap()
}
