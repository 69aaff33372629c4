//! A real image registry.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::Engine;
use crate::process::{self, Program, tail, until};

const SOON: Duration = Duration::from_secs(30);
const ATTEMPTS: usize = 10;

/// A registry on the loopback, which engines use without TLS. It is killed when this is dropped.
#[derive(Debug)]
pub struct Registry {
    address: String,
    account: Option<(String, String)>,
    /// None after it was stopped.
    server: Option<Program>,
    folder: TempDir,
}

impl Registry {
    /// Starts an empty registry, for everybody or for one account (name and password).
    pub fn start(account: Option<(&str, &str)>) -> Self {
        let folder = tempfile::Builder::new().prefix("registry-").tempdir().expect("a temporary directory");
        if let Some((name, password)) = account {
            let mut command = Command::new("htpasswd");
            command.args(["-n", "-i", "-B", name]);
            let made = process::run(command, password);
            assert!(made.status.success(), "htpasswd: {}", String::from_utf8_lossy(&made.stderr));
            std::fs::write(folder.path().join("htpasswd"), made.stdout).expect("the folder was just made");
        }
        let started = (0..ATTEMPTS).find_map(|_| serve(folder.path(), account.is_some()));
        let (server, address) = started.expect("one of several free ports stays free for a moment");
        let account = account.map(|(name, password)| (name.to_owned(), password.to_owned()));
        Self { address, account, server: Some(server), folder }
    }

    /// Host and port, as they begin the name of an image.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Pushes a local image as `repository:tag`, with the account if there is one, and returns its full name. The engine
    /// does not know that name afterwards.
    pub fn push(&self, engine: &Engine, local_image: &str, repo_tag: &str) -> String {
        let name = format!("{}/{repo_tag}", self.address);
        // The client keeps credentials in its configuration: here one of this registry, not the one of the engine.
        let config = self.folder.path().join("client");
        if let Some((account, password)) = &self.account {
            let login = ["login", "--username", account, "--password-stdin", &self.address];
            engine.docker_ok_with(&config, &login, password);
        }
        engine.docker_ok(&["tag", local_image, &name]);
        engine.docker_ok_with(&config, &["push", &name], "");
        engine.docker_ok(&["image", "rm", &name]);
        name
    }

    /// Ends the registry: from now on connections are refused.
    pub fn stop(&mut self) {
        self.server = None;
    }
}

/// Starts the registry at a free port, which another program may take before it; then there is nothing to return.
fn serve(folder: &Path, has_account: bool) -> Option<(Program, String)> {
    let address = format!("127.0.0.1:{}", free_port());
    let config = folder.join("config.yml");
    std::fs::write(&config, configuration(folder, &address, has_account)).expect("the folder was just made");
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&config);
    // Its settings can be variables as well.
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("OTEL_TRACES_EXPORTER", "none");
    // A new log for each attempt.
    let log = folder.join(format!("log-{address}"));
    let mut server = Program::start(command, &log);
    // Its own word, because another one may answer at that port.
    let listens = until(SOON, "the registry to listen", || {
        let ended = server.status();
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        match ended {
            None => text.contains("listening on").then_some(true),
            Some(_) if text.contains("address already in use") => Some(false),
            Some(ended) => panic!("the registry ended at its start: {ended}\n{}", tail(&log)),
        }
    });
    listens.then_some((server, address))
}

fn configuration(folder: &Path, address: &str, has_account: bool) -> String {
    let folder = folder.display();
    let accounts = format!("auth: {{htpasswd: {{realm: test, path: \"{folder}/htpasswd\"}}}}\n");
    format!(
        "version: 0.1
log: {{level: info, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: \"{folder}/data\"}}, delete: {{enabled: true}}}}
http: {{addr: \"{address}\"}}
{}",
        if has_account { &accounts } else { "" }
    )
}

/// A port that was free a moment ago: the registry cannot be told to choose one and say which.
fn free_port() -> u16 {
    let probe = TcpListener::bind(("127.0.0.1", 0)).expect("the system gives ports");
    probe.local_addr().expect("a bound socket has an address").port()
}
