//! The bed itself: what other tests take for granted.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::TcpStream;
use std::path::Path;

use docker_bed::{BUSYBOX, Engine, Options, PrivateEngine, Registry};

/// Starts a container that stays, and ends at once when it is asked to.
fn start_container(engine: &Engine) -> String {
    engine.docker_ok(&["run", "--detach", "--network", "none", "--init", BUSYBOX, "sleep", "600"])
}

fn state(engine: &Engine, container: &str) -> String {
    engine.docker_ok(&["container", "inspect", "--format", "{{.State.Status}} {{.State.Pid}}", container])
}

fn refusal(engine: &Engine, args: &[&str]) -> String {
    let output = engine.docker(args);
    assert!(!output.status.success(), "{args:?} succeeded: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn folder_of(engine: &Engine) -> &Path {
    Path::new(engine.host().strip_prefix("unix://").unwrap()).parent().unwrap()
}

#[test]
fn the_shared_engine_runs_a_container() {
    let said = Engine::shared().docker_ok(&["run", "--rm", "--network", "none", BUSYBOX, "echo", "hello"]);
    assert_eq!(said, "hello");
}

#[test]
fn a_registry_for_everybody_takes_and_gives_images() {
    let (engine, registry) = (Engine::shared(), Registry::start(None));
    let image = registry.push(&engine, BUSYBOX, "open/busybox:1");
    assert_eq!(image, format!("{}/open/busybox:1", registry.address()));
    let unknown = refusal(&engine, &["image", "inspect", &image]);
    assert!(unknown.to_lowercase().contains("no such image"), "{unknown}");
    engine.docker_ok(&["pull", "--quiet", &image]);
    engine.docker_ok(&["image", "rm", &image]);
}

#[test]
fn a_registry_with_an_account_refuses_strangers() {
    let (engine, registry) = (Engine::shared(), Registry::start(Some(("ci", "hunter2"))));
    let image = registry.push(&engine, BUSYBOX, "closed/busybox:1");
    let pull = refusal(&engine, &["pull", "--quiet", &image]);
    assert!(pull.contains("no basic auth credentials"), "{pull}");
    let wrong = refusal(&engine, &["login", "--username", "ci", "--password", "wrong", registry.address()]);
    assert!(wrong.contains("401") || wrong.contains("unauthorized"), "{wrong}");
}

#[test]
fn a_stopped_registry_refuses_connections() {
    let mut registry = Registry::start(None);
    TcpStream::connect(registry.address()).unwrap();
    registry.stop();
    assert_eq!(TcpStream::connect(registry.address()).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn with_live_restore_a_container_survives_the_stop_and_the_death_of_its_engine() {
    let mut engine = Engine::private(Options { live_restore: true });
    let container = start_container(&engine);
    let before = state(&engine, &container);
    assert!(before.starts_with("running "), "{before}");
    engine.restart();
    assert_eq!(state(&engine, &container), before);
    engine.kill();
    refusal(&engine, &["version"]);
    engine.start();
    assert_eq!(state(&engine, &container), before);
    // It is not only said to run.
    assert_eq!(engine.docker_ok(&["exec", &container, "echo", "here"]), "here");
}

#[test]
fn without_live_restore_a_container_ends_with_its_engine() {
    let mut engine = Engine::private(Options::default());
    let stopped = start_container(&engine);
    engine.restart();
    assert_eq!(state(&engine, &stopped), "exited 0");
    let orphaned = start_container(&engine);
    engine.kill();
    engine.start();
    assert_eq!(state(&engine, &orphaned), "exited 0");
}

#[test]
fn private_engines_are_apart_and_leave_nothing_behind() {
    let engines = [(); 2].map(|()| Engine::private(Options { live_restore: true }));
    let containers = engines.each_ref().map(|engine| start_container(engine));
    let pids = [0, 1].map(|index| {
        assert_eq!(engines[index].docker_ok(&["ps", "--quiet", "--no-trunc"]), containers[index]);
        let state = state(&engines[index], &containers[index]);
        state.strip_prefix("running ").unwrap().parse::<u32>().unwrap()
    });
    let folders = engines.each_ref().map(|engine| folder_of(engine).to_owned());
    let [killed, running] = engines;
    let mut killed: PrivateEngine = killed;
    killed.kill();
    drop((killed, running));
    for (folder, pid) in folders.iter().zip(pids) {
        assert!(!folder.exists(), "{}", folder.display());
        assert!(!Path::new("/proc").join(pid.to_string()).exists(), "{pid}");
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!folders.iter().any(|folder| mounts.contains(folder.to_str().unwrap())), "{mounts}");
}
