//! Files and surroundings that cannot be used: each command says what, and what to do, and exits with the documented code.

use std::net::TcpListener;
use std::path::Path;

use worker_tests::harness::{DaemonSpec, Disk, Finished};

use crate::in_memory::InMemory;

/// The command must fail with 1, say all of the words on standard error, and not panic.
fn fails(done: &Finished, words: &[&str]) {
    assert_eq!(done.status.code(), Some(1), "{}{}", done.stdout, done.stderr);
    says(&done.stderr, words);
    assert!(!done.stdout.contains("started!"), "{}", done.stdout);
}

fn says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "no {word:?} in\n{text}");
    }
    assert!(!text.contains("panicked"), "{text}");
}

fn written(folder: &Path, name: &str, content: &str) -> String {
    let file = folder.join(name);
    fs_err::write(&file, content).unwrap();
    file.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_key_that_a_file_cannot_have_is_named_with_the_one_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    for (content, words) in [
        ("[start]\nlimt = 3\n", vec![":2: unknown key `start.limt`", "did you mean `start.limit`?"]),
        (
            "[[pool]]\nname = 'p'\nwork_queues = ['q']\n",
            vec![":3: unknown key `pool.work_queues`", "`pool.work_queue`?"],
        ),
        ("[proces]\npython = 'x'\n", vec![":1: unknown", "did you mean `process"]),
    ] {
        let file = written(folder.path(), "worker.toml", content);
        for command in [vec!["config", "check"], vec!["doctor", "--local"], vec!["start", "--pool", "p"]] {
            let done = DaemonSpec::bare().args(&command).args(["--config", &file]).finish().await;
            fails(&done, &words);
        }
    }
    // The SDK ignores what it does not know in its own files, so they stop no worker either.
    let profiles = "active = 'x'\n[profiles.x]\nPREFECT_WORKER_QUERY_SECOND = '5'\n";
    let file = written(folder.path(), "profiles.toml", profiles);
    let done = DaemonSpec::bare().args(["config", "check"]).env("PREFECT_PROFILES_PATH", &file).finish().await;
    assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
    says(&done.stderr, &["PREFECT_WORKER_QUERY_SECOND`", "did you mean"]);
}

#[tokio::test]
async fn a_value_of_the_wrong_type_is_named_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    for (content, words) in [
        ("[start]\nlimit = 'many'\n", vec!["worker.toml:2", "start.limit", "whole number"]),
        ("[start]\nlimit = 0\n", vec!["start.limit", "at least 1"]),
        ("[shutdown]\nruns = 'sometimes'\n", vec!["shutdown.runs", "one of"]),
        ("[start\n", vec!["worker.toml"]),
        ("[[pool]]\nlimit = 1\n", vec!["name"]),
    ] {
        let file = written(folder.path(), "worker.toml", content);
        let done = DaemonSpec::bare().args(["config", "check", "--config", &file]).finish().await;
        fails(&done, &words);
    }
    let profiles = "active = 'x'\n[profiles.x]\nPREFECT_WORKER_QUERY_SECONDS = 'often'\n";
    let file = written(folder.path(), "profiles.toml", profiles);
    let done = DaemonSpec::bare().args(["config", "check"]).env("PREFECT_PROFILES_PATH", &file).finish().await;
    fails(&done, &["profiles.toml:3", "`worker.query_seconds` must be a number", "often"]);
    let gone = DaemonSpec::bare().args(["config", "check", "--config", "/does/not/exist.toml"]).finish().await;
    fails(&gone, &["/does/not/exist.toml"]);
    let profile = DaemonSpec::bare().args(["config", "check", "--profile", "nobody"]).finish().await;
    says(&profile.stderr, &["no profile 'nobody'", "is used"]);
}

#[tokio::test]
async fn credentials_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let garbage = written(folder.path(), "garbage.pem", "no certificate");
    let start = || DaemonSpec::start("https://127.0.0.1:1/api").pool("p");
    let doctor =
        || DaemonSpec::bare().env("PREFECT_API_URL", "https://127.0.0.1:1/api").args(["doctor", "--kind", "process"]);
    let cert = "/does/not/exist.crt";
    for (variables, named) in [
        (vec![("SSL_CERT_FILE", "/does/not/exist.pem")], "/does/not/exist.pem"),
        (vec![("PREFECT_API_SSL_CERT_FILE", garbage.as_str())], garbage.as_str()),
        (vec![("WORKER_API_CLIENT_CERT", cert), ("WORKER_API_CLIENT_KEY", garbage.as_str())], "garbage.pem"),
        (vec![("WORKER_API_CLIENT_CERT", cert), ("WORKER_API_CLIENT_KEY", "/does/not/exist.key")], "/does/not/exist"),
    ] {
        let with = |spec: DaemonSpec| variables.iter().fold(spec, |spec, (name, value)| spec.env(name, value));
        fails(&with(start()).finish().await, &[named]);
        let looked = with(doctor()).finish().await;
        assert_eq!(looked.status.code(), Some(1), "{}", looked.stdout);
        says(&looked.stdout, &["error    api: ", named, "process: "]);
    }
    let kubeconfig = DaemonSpec::bare().env("WORKER_KUBERNETES_KUBECONFIG", &garbage);
    let looked = kubeconfig.args(["doctor", "--local", "--kind", "kubernetes"]).finish().await;
    assert_eq!(looked.status.code(), Some(1), "{}", looked.stdout);
    says(&looked.stdout, &["error    kubernetes: ", "garbage.pem"]);
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_written_is_named_with_the_setting() {
    let it = InMemory::start().await;
    let disk = Disk::of_mib(1);
    disk.make_read_only();
    let state = disk.path().join("state");
    let started = it.lab.daemon().pool("p").env("WORKER_STATE_DIR", &state).finish().await;
    fails(&started, &["state directory cannot be used", "small-disk", "Read-only file system", "WORKER_STATE_DIR"]);
    for directory in [state.as_path(), disk.path()] {
        let looked = DaemonSpec::bare().args(["doctor", "--local"]).env("WORKER_STATE_DIR", directory).finish().await;
        assert_eq!(looked.status.code(), Some(1), "{}", looked.stdout);
        says(&looked.stdout, &["error    state directory: ", "Read-only file system", "WORKER_STATE_DIR"]);
    }
}

#[tokio::test]
async fn a_full_disk_is_named_with_what_to_do() {
    let it = InMemory::start().await;
    let disk = Disk::of_mib(1);
    disk.fill();
    let started = it.lab.daemon().pool("p").env("WORKER_STATE_DIR", disk.path()).finish().await;
    fails(&started, &["No space left on device", "disk is not full", "WORKER_STATE_DIR"]);
    let looked = DaemonSpec::bare().args(["doctor", "--local"]).env("WORKER_STATE_DIR", disk.path()).finish().await;
    assert_eq!(looked.status.code(), Some(1), "{}", looked.stdout);
    says(&looked.stdout, &["its disk is full", "0 MiB are free", "worker cache prune"]);
}

#[tokio::test]
async fn a_port_in_use_is_named_with_the_setting() {
    let it = InMemory::start().await;
    let held = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = held.local_addr().unwrap().port().to_string();
    let start = || it.lab.daemon().pool("p");
    let health = start().arg("--with-healthcheck").env("PREFECT_WORKER_WEBSERVER_PORT", &port);
    fails(&health.finish().await, &["health server", &port, "in use", "PREFECT_WORKER_WEBSERVER_PORT"]);
    let metrics = start().env("PREFECT_CLIENT_METRICS_ENABLED", "true").env("PREFECT_CLIENT_METRICS_PORT", &port);
    fails(&metrics.finish().await, &["metrics server", &port, "in use", "PREFECT_CLIENT_METRICS_PORT"]);
}
