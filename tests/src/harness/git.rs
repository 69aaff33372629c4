//! Git repositories made on the spot.

use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};

use super::prefect_server::free_port;
use super::wait::{SOON, until};

/// Makes a repository at `path` whose branch `main` holds the files of `folder`, and returns its address.
pub fn repository_of(folder: &Path, path: &Path) -> String {
    git(path, &["init", "--quiet", "--initial-branch", "main", "."]);
    for entry in fs_err::read_dir(folder).expect("the folder exists") {
        let entry = entry.expect("the folder can be read");
        if entry.path().is_file() {
            fs_err::copy(entry.path(), path.join(entry.file_name())).expect("the file can be copied");
        }
    }
    git(path, &["add", "."]);
    let author = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"];
    git(path, &[author.as_slice(), &["commit", "--quiet", "--message", "flows"]].concat());
    format!("file://{}", path.display())
}

/// A server of one repository, without logins, at 127.0.0.1. It ends with this.
#[derive(Debug)]
pub struct GitDaemon {
    child: Child,
    port: u16,
}

impl GitDaemon {
    /// Makes a repository at `path` whose branch `main` holds the files of `folder`, and serves it.
    pub async fn serving(folder: &Path, path: &Path) -> Self {
        repository_of(folder, &path.join("flows"));
        let port = free_port();
        let base = format!("--base-path={}", path.display());
        let args = ["daemon", "--export-all", "--listen=127.0.0.1", &format!("--port={port}"), &base];
        let mut command = Command::new("git");
        // `git daemon` starts the server as a process of its own, which a kill of the first would leave.
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let child = command.spawn().expect("git is installed");
        until(SOON, "git to serve", async || TcpStream::connect(("127.0.0.1", port)).ok()).await;
        Self { child, port }
    }

    /// The address of the repository.
    pub fn url(&self) -> String {
        format!("git://127.0.0.1:{}/flows", self.port)
    }
}

impl Drop for GitDaemon {
    fn drop(&mut self) {
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            kill_process_group(group, Signal::KILL).unwrap_or_default();
        }
        self.child.wait().map(drop).unwrap_or_default();
    }
}

fn git(path: &Path, args: &[&str]) {
    fs_err::create_dir_all(path).expect("the harness writes into its own directory");
    let ended = Command::new("git").arg("-C").arg(path).args(args).output().expect("git is installed");
    assert!(ended.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&ended.stderr));
}
