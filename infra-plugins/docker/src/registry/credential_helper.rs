//! Asking a credential helper of Docker's.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{ExitStatus, Output, Stdio};
use std::time::Duration;

use bollard::auth::DockerCredentials;
use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::hosts;

const TIME_LIMIT: Duration = Duration::from_secs(20);
/// What helpers write for a registry that they do not know.
const UNKNOWN: &str = "credentials not found in native keychain";
/// The user name of what is an identity token rather than a password.
const TOKEN_USER: &str = "<token>";

/// Why a helper gave no answer. Never what it wrote: that may be a secret.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HelperFailure {
    #[error("it is not on the PATH of the worker")]
    Missing,
    #[error("it cannot be run")]
    Run(#[source] io::Error),
    #[error("it gave no answer within {} s", TIME_LIMIT.as_secs())]
    Silent,
    #[error("it failed with {0}")]
    Failed(ExitStatus),
    #[error("its answer cannot be read")]
    Answer,
}

/// The program of a helper.
pub(super) fn program(name: &str) -> String {
    format!("docker-credential-{name}")
}

/// The credentials that a helper has for a registry. It gets the environment as its own.
///
/// Cancel safe: a helper that nobody waits for is killed.
pub(super) async fn get(
    name: &str,
    registry: &str,
    env: &BTreeMap<String, String>,
) -> Result<Option<DockerCredentials>, HelperFailure> {
    let program = on_path(&program(name), env).ok_or(HelperFailure::Missing)?;
    let server = hosts::server_of(registry);
    let run = tokio::time::timeout(TIME_LIMIT, run(&program, &server, env));
    let output = run.await.map_err(|_| HelperFailure::Silent)?.map_err(HelperFailure::Run)?;
    let Some(answer) = read(&output)? else { return Ok(None) };
    Ok(answer.credentials(server))
}

async fn run(program: &Utf8Path, server: &str, env: &BTreeMap<String, String>) -> io::Result<Output> {
    let mut helper = Command::new(program)
        .arg("get")
        .env_clear()
        .envs(env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = helper.stdin.take() {
        match stdin.write_all(server.as_bytes()).await {
            // It does not want to know.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
    }
    helper.wait_with_output().await
}

fn on_path(program: &str, env: &BTreeMap<String, String>) -> Option<Utf8PathBuf> {
    if program.contains('/') {
        return None;
    }
    let folders = env.get("PATH")?.split(':').filter(|folder| !folder.is_empty());
    folders.map(|folder| Utf8Path::new(folder).join(program)).find(|path| is_executable(path))
}

fn is_executable(path: &Utf8Path) -> bool {
    fs_err::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

struct Answer {
    username: String,
    secret: String,
}

fn read(output: &Output) -> Result<Option<Answer>, HelperFailure> {
    let text = String::from_utf8_lossy(&output.stdout);
    if text.trim() == UNKNOWN {
        return Ok(None);
    }
    if !output.status.success() {
        return Err(HelperFailure::Failed(output.status));
    }
    let answer: Value = serde_json::from_str(&text).map_err(|_| HelperFailure::Answer)?;
    let field = |name| answer.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(HelperFailure::Answer);
    Ok(Some(Answer { username: field("Username")?, secret: field("Secret")? }))
}

impl Answer {
    /// Some helpers give an empty answer for a registry that they do not know.
    fn credentials(self, server: String) -> Option<DockerCredentials> {
        let Self { username, secret } = self;
        let found = DockerCredentials { serveraddress: Some(server), ..DockerCredentials::default() };
        if username.is_empty() && secret.is_empty() {
            None
        } else if username == TOKEN_USER {
            Some(DockerCredentials { identitytoken: Some(secret), ..found })
        } else {
            Some(DockerCredentials { username: Some(username), password: Some(secret), ..found })
        }
    }
}
