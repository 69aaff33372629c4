//! The units, and what the worker says to systemd.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use central_api_wire::state::StateType;
use rustix::process::Signal;
use tempfile::TempDir;
use worker_tests::harness::{DaemonSpec, SOON, until, workspace_root};

use crate::in_memory::InMemory;
use crate::marks::Marks;

/// What `systemd-analyze security` may say at most: 4.0 is what flows leave, see docs/decisions/0020.
const EXPOSURE: &str = "40";

/// The units as `worker service install` writes them into a folder, so that their programs exist.
async fn installed(more: &[&str]) -> TempDir {
    let root = tempfile::tempdir().unwrap();
    fs_err::create_dir(root.path().join("etc")).unwrap();
    let folder = root.path().to_str().unwrap();
    let install = DaemonSpec::bare().args(["service", "install", "--root", folder]).args(more);
    let done = install.finish().await;
    assert!(done.status.success(), "{}{}", done.stdout, done.stderr);
    root
}

fn unit(root: &Path, name: &str) -> PathBuf {
    root.join("etc/systemd/system").join(name)
}

fn analyzed(arguments: &[&str], unit: &Path) -> (bool, String) {
    let output = Command::new("systemd-analyze").args(arguments).arg(unit).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn systemd_finds_nothing_to_say_about_the_units() {
    let root = installed(&["--pool", "reports", "--pool", "two words", "--user", "root"]).await;
    fs_err::copy(unit(root.path(), "worker@.service"), unit(root.path(), "worker@re-ports.service")).unwrap();
    for name in ["worker.service", "worker@re-ports.service"] {
        let said = analyzed(&["verify"], &unit(root.path(), name));
        assert_eq!(said, (true, String::new()), "{name}");
    }
}

#[tokio::test]
async fn the_sandbox_of_the_units_is_as_tight_as_it_was() {
    for name in ["worker.service", "worker@.service"] {
        let packaged = workspace_root().join("deploy/systemd").join(name);
        let (holds, said) = analyzed(&["security", "--offline=true", "--no-pager", "--threshold", EXPOSURE], &packaged);
        assert!(holds, "{said}");
        assert!(said.contains("Overall exposure level"), "{said}");
    }
}

#[tokio::test]
async fn an_image_of_a_machine_gets_the_service_and_loses_it_again() {
    let root = installed(&["--pool", "reports", "--api-url", "http://127.0.0.1:4200/api"]).await;
    let link = root.path().join("etc/systemd/system/multi-user.target.wants/worker.service");
    assert!(link.is_symlink(), "the service is not enabled");
    let text = fs_err::read_to_string(unit(root.path(), "worker.service")).unwrap();
    assert!(text.contains("/worker start --wait-for-api --pool reports\n"), "{text}");
    let accounts = fs_err::read_to_string(root.path().join("etc/passwd")).unwrap();
    assert!(accounts.contains("worker:") && accounts.contains(":/var/lib/worker:"), "{accounts}");
    let variables = fs_err::read_to_string(root.path().join("etc/worker/worker.env")).unwrap();
    assert!(variables.ends_with("\nPREFECT_API_URL=http://127.0.0.1:4200/api\n"), "{variables}");
    let settings = root.path().join("etc/worker/worker.toml");
    let checked = DaemonSpec::bare().args(["config", "check", "--config"]).arg(&settings).finish().await;
    assert!(checked.status.success(), "{}", checked.stderr);

    let uninstall = DaemonSpec::bare().args(["service", "uninstall", "--root"]).arg(root.path());
    let done = uninstall.clone().finish().await;
    assert!(done.status.success(), "{}{}", done.stdout, done.stderr);
    assert!(!link.is_symlink() && !unit(root.path(), "worker.service").exists() && settings.exists());
    let again = uninstall.finish().await;
    assert!(!again.status.success() && again.stderr.contains("was not installed"), "{}", again.stderr);
}

#[tokio::test]
async fn what_would_be_done_is_shown_without_doing_it() {
    let root = tempfile::tempdir().unwrap();
    let install =
        DaemonSpec::bare().args(["service", "install", "--dry-run", "--root"]).arg(root.path()).finish().await;
    assert!(install.status.success(), "{}", install.stderr);
    for part in ["write ", "worker.service (mode 644):", "KillMode=process", "systemctl --root="] {
        assert!(install.stdout.contains(part), "{part}: {}", install.stdout);
    }
    assert_eq!(fs_err::read_dir(root.path()).unwrap().count(), 0);
}

/// Systemd, as far as a service speaks with it.
struct NotifySocket {
    folder: TempDir,
    socket: UnixDatagram,
    heard: Vec<String>,
}

impl NotifySocket {
    fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { folder, socket, heard: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("notify")
    }

    /// Waits until something was said, and returns all that was said before.
    async fn hears(&mut self, wanted: &str) -> String {
        until(SOON, wanted, async || {
            let mut message = [0; 1024];
            while let Ok(length) = self.socket.recv(&mut message) {
                self.heard.push(String::from_utf8_lossy(&message[..length]).into_owned());
            }
            self.heard.iter().any(|message| message.contains(wanted)).then_some(())
        })
        .await;
        self.heard.concat()
    }
}

#[tokio::test]
async fn a_daemon_that_waits_for_runs_asks_systemd_for_more_time() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    let run = pool.run(pool.command(&marks.held_command(0)).await).await;
    let mut systemd = NotifySocket::open();
    let daemon = pool
        .daemon()
        .env("NOTIFY_SOCKET", systemd.path())
        .env("WATCHDOG_USEC", "2000000")
        .env("WORKER_SHUTDOWN_RUNS", "wait")
        .env("WORKER_SHUTDOWN_DRAIN_TIMEOUT_SECONDS", "3600");
    let mut daemon = daemon.started().await;
    it.lab.reaches(run, StateType::Running).await;
    systemd.hears("READY=1").await;
    let before = systemd.hears("WATCHDOG=1").await;
    assert!(!before.contains("EXTEND_TIMEOUT_USEC"), "{before}");

    daemon.signal(Signal::TERM);
    systemd.hears("STOPPING=1").await;
    systemd.heard.clear();
    systemd.hears("EXTEND_TIMEOUT_USEC=30000000").await;
    marks.release();
    it.lab.reaches(run, StateType::Completed).await;
    assert!(daemon.exited(Duration::from_secs(20)).await.success());
}

#[tokio::test]
async fn a_profile_that_is_not_there_is_no_api_to_install_for() {
    let folder = tempfile::tempdir().unwrap();
    let (root, profiles) = (folder.path().join("root"), folder.path().join("profiles.toml"));
    fs_err::create_dir_all(root.join("etc")).unwrap();
    fs_err::write(&profiles, "[profiles.ours]\nPREFECT_API_URL = \"http://api.test/api\"\n").unwrap();
    let install = |profile: &str| {
        let spec = DaemonSpec::bare().env("PREFECT_PROFILES_PATH", &profiles);
        spec.args(["--profile", profile, "service", "install", "--root", root.to_str().unwrap()])
    };
    let refused = install("nobody").finish().await;
    assert_eq!(refused.status.code(), Some(1), "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains("there is no 'nobody'"), "{}", refused.stderr);
    assert!(!root.join("etc/worker").exists() && !root.join("etc/systemd").exists(), "nothing was made");
    let done = install("ours").finish().await;
    assert!(done.status.success(), "{}{}", done.stdout, done.stderr);
    let variables = fs_err::read_to_string(root.join("etc/worker/worker.env")).unwrap();
    assert!(variables.contains("http://api.test/api"), "{variables}");
}
