//! A PostgreSQL of a test's own.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use fs_err as fs;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use super::wait::{SOON, until};

/// PostgreSQL refuses to be run by root: this user, `nobody`, owns nothing else.
const NOBODY: u32 = 65534;

/// A running PostgreSQL, which listens on a socket in its folder. It ends with this.
#[derive(Debug)]
pub(super) struct Postgres {
    /// Killed when this is dropped; its own processes then end by themselves.
    _child: Child,
    folder: TempDir,
}

impl Postgres {
    pub(super) fn is_installed() -> bool {
        programs().is_some()
    }

    pub(super) async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("postgres-").tempdir().expect("a temporary directory");
        let programs = programs().expect("PostgreSQL is installed; `scripts/require postgres` says how");
        let is_root = fs::metadata(folder.path()).expect("it was just made").uid() == 0;
        if is_root {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).expect("root gives its own away");
        }
        let program = |name: &str| {
            let mut command = Command::new(programs.join(name));
            command.arg("-D").arg(folder.path().join("data")).current_dir(folder.path()).stdin(Stdio::null());
            command.stdout(Stdio::null()).kill_on_drop(true);
            if is_root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command
        };
        let made = program("initdb")
            .args(["-U", "postgres", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"])
            .status()
            .await;
        assert!(made.as_ref().is_ok_and(std::process::ExitStatus::success), "initdb makes a database: {made:?}");
        let child = program("postgres")
            .args(["-c", "fsync=off", "-c", "listen_addresses=", "-c", "log_min_messages=fatal", "-k"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .spawn()
            .expect("PostgreSQL can be started");
        let socket = folder.path().join(".s.PGSQL.5432");
        until(SOON, "PostgreSQL to listen", async || std::os::unix::net::UnixStream::connect(&socket).ok()).await;
        Self { _child: child, folder }
    }

    /// The address for Prefect's server.
    pub(super) fn url(&self) -> String {
        format!("postgresql+asyncpg://postgres@/postgres?host={}", self.folder.path().display())
    }
}

/// Where its programs are: Debian does not put them into the PATH.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut found: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| has_programs(folder)).collect();
    if found.is_empty() {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
        found.extend(versions.map(|version| version.path().join("bin")).filter(|folder| has_programs(folder)));
    }
    found.pop()
}

fn has_programs(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}
