//! The Debian package: what is in it, and how it comes to a machine, is replaced, and goes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use central_api_wire::state::StateType;
use docker_bed::Machine;
use tempfile::TempDir;
use worker_tests::harness::{SOON, debian_package, until, workspace_root};

use crate::in_memory::{InMemory, poll_path};
use crate::marks::Marks;

/// Makes the package of the programs under test, in some versions.
fn packages(versions: &[&str]) -> (TempDir, Vec<PathBuf>) {
    let folder = tempfile::tempdir().unwrap();
    let made = versions.iter().map(|version| {
        let into = folder.path().join(version);
        let package = folder.path().join(format!("{version}.deb"));
        fs_err::rename(debian_package(version, &into), &package).unwrap();
        package
    });
    let made = made.collect();
    (folder, made)
}

fn dpkg(arguments: &[&str], package: &Path) -> String {
    let output = Command::new("dpkg-deb").arg(arguments[0]).arg(package).args(&arguments[1..]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_package_has_the_programs_the_units_and_settings_that_belong_to_the_operator() {
    let (_folder, made) = packages(&["9.9.9-1"]);
    let fields = dpkg(&["--field", "Package", "Version", "Depends", "Conflicts"], &made[0]);
    for part in ["Package: prefect-worker\n", "Version: 9.9.9-1\n", "libc6 (>= ", "Conflicts: worker\n"] {
        assert!(fields.contains(part), "{part}: {fields}");
    }
    let root = tempfile::tempdir().unwrap();
    dpkg(&["--raw-extract", root.path().to_str().unwrap()], &made[0]);
    let read = |path: &str| fs_err::read_to_string(root.path().join(path)).unwrap();
    let mut settings: Vec<String> = read("DEBIAN/conffiles").lines().map(str::to_owned).collect();
    settings.sort();
    assert_eq!(settings, ["/etc/worker/worker.env", "/etc/worker/worker.toml"]);
    for (packaged, source) in [
        ("usr/lib/systemd/system/worker.service", "deploy/systemd/worker.service"),
        ("usr/lib/systemd/system/worker@.service", "deploy/systemd/worker@.service"),
        ("usr/lib/sysusers.d/worker.conf", "deploy/sysusers.d/worker.conf"),
    ] {
        assert_eq!(read(packaged), fs_err::read_to_string(workspace_root().join(source)).unwrap(), "{packaged}");
    }
    let mode = |path: &str| fs_err::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("etc/worker/worker.env"), mode("usr/bin/worker")), (0o600, 0o755));
    assert!(root.path().join("usr/bin/worker-supervisor").is_file());
    assert!(read("usr/share/bash-completion/completions/worker").contains("worker"));
    assert!(root.path().join("usr/share/doc/prefect-worker/docs/install.md").is_file());
}

/// From nothing to the end: installed, configured, started with a secret, upgraded under a live run, removed under one.
// The API goes on while the test waits for a command of Docker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_of_the_package_loses_no_run() {
    let it = InMemory::start().await;
    let (pool, marks) = (it.lab.pool().await, Marks::new());
    // The runs of the package have an account of their own.
    fs_err::set_permissions(marks.folder(), Permissions::from_mode(0o777)).unwrap();
    let (folder, made) = packages(&["0.0.1-1", "0.0.2-1"]);
    let (machine, _other) = (Machine::boot(marks.folder()), folder);
    for package in &made {
        fs_err::copy(package, marks.path(package.file_name().unwrap().to_str().unwrap())).unwrap();
    }
    let install =
        |version: &str| machine.does(&format!("dpkg --install {}", marks.path(&format!("{version}.deb")).display()));

    install("0.0.1-1");
    assert_eq!(machine.tries("systemctl is-active worker").1.trim(), "inactive", "it starts before it is configured");
    machine.writes(
        "/etc/worker/worker.env",
        &format!("PREFECT_API_URL={}\nPREFECT_WORKER_QUERY_SECONDS=0.25\n", it.lab.api.api_url()),
    );
    let settings = format!("[state]\ndir = \"/var/lib/worker\"\n[[pool]]\nname = \"{}\"\n", pool.name);
    machine.writes("/etc/worker/worker.toml", &settings);
    machine.writes("/etc/credstore/prefect-api-key", "canary-7d20");
    let run = pool.run(pool.command(&marks.held_command(0)).await).await;
    machine.does("systemctl enable --now worker");
    it.lab.reaches(run, StateType::Running).await;
    marks.count(1).await;
    let polls = it.requests("POST", &poll_path(&pool.name));
    assert!(polls.iter().all(|poll| poll.header("authorization") == "Bearer canary-7d20"), "{polls:?}");
    let of_daemon = || machine.does("systemctl show --property MainPID --value worker");
    // The brackets keep pgrep from finding the shell that it is called from.
    let live = |what: &str| machine.does(&format!("pgrep --full '[t]est -e released' >/dev/null && {what}"));
    let before = of_daemon();
    assert!(live("worker status").contains(&pool.name), "root's `worker status` finds the service by its settings");

    install("0.0.2-1");
    let after = of_daemon();
    assert_ne!(before, after, "the daemon is that of the old package");
    assert_eq!(machine.does("cat /etc/worker/worker.toml"), settings.trim_end());
    let id = run.to_string();
    let (short, _) = id.split_at(8);
    until(SOON, "the run, taken over", async || live("worker runs").contains(short).then_some(())).await;
    let second = pool.run(pool.command(&marks.command("second")).await).await;
    it.lab.reaches(second, StateType::Completed).await;
    marks.release();
    it.lab.reaches(run, StateType::Completed).await;
    assert_eq!(marks.made(), ["started", "second"], "a run was executed twice");

    let journal = machine.journal();
    assert!(!journal.contains("canary-7d20") && journal.contains("Taking over 1 runs"), "{journal}");
    let shown = machine.does("systemctl show worker; systemctl cat worker");
    assert!(!shown.contains("canary-7d20"), "{shown}");

    fs_err::remove_file(marks.path("released")).unwrap();
    let last = pool.run(pool.command(&marks.held_command(0)).await).await;
    it.lab.reaches(last, StateType::Running).await;
    marks.count(3).await;
    let said = machine.does("dpkg --purge prefect-worker");
    assert!(said.contains("runs are still live"), "{said}");
    live("test ! -e /etc/worker/worker.toml && test -d /var/lib/worker/runs");
}
