//! A Docker Engine and its client.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::process;
use crate::{Options, PrivateEngine};

/// An image with a static busybox under all its names.
pub const BUSYBOX: &str = "worker-test/busybox:1";
/// An image with Python and the locked Prefect SDK.
pub const FLOWS: &str = "worker-test/flows:1";

const USUAL_HOST: &str = "unix:///var/run/docker.sock";

/// A Docker Engine that answers, with [`BUSYBOX`] in it.
#[derive(Debug)]
pub struct Engine {
    host: String,
    /// The client's configuration: an empty folder instead of the user's, who may have credentials and contexts.
    config: TempDir,
}

impl Engine {
    /// The engine that `scripts/docker-bed` has prepared: that of `DOCKER_HOST`, else the one at the usual socket.
    pub fn shared() -> Self {
        let host = std::env::var_os("DOCKER_HOST").and_then(|host| host.into_string().ok());
        let engine = Self::at(host.filter(|host| !host.is_empty()).unwrap_or_else(|| USUAL_HOST.to_owned()));
        let found = engine.docker(&["image", "inspect", "--format", "{{.Id}}", BUSYBOX]);
        let complaint = String::from_utf8_lossy(&found.stderr);
        assert!(found.status.success(), "run scripts/docker-bed: {} at {}", complaint.trim(), engine.host);
        engine
    }

    /// A new engine of its own, for tests that stop or kill it.
    pub fn private(options: Options) -> PrivateEngine {
        PrivateEngine::new(options)
    }

    pub(crate) fn at(host: String) -> Self {
        let config = tempfile::Builder::new().prefix("docker-config-").tempdir().expect("a temporary directory");
        Self { host, config }
    }

    /// Where it listens, as `DOCKER_HOST` has it.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Runs the client to its end, whatever that is.
    pub fn docker(&self, args: &[&str]) -> Output {
        self.docker_with(self.config.path(), args, "")
    }

    /// Runs a command of the client that has to succeed, and returns what it says, without the last line's end.
    pub fn docker_ok(&self, args: &[&str]) -> String {
        self.docker_ok_with(self.config.path(), args, "")
    }

    /// The same with another configuration of the client, and with standard input.
    pub(crate) fn docker_ok_with(&self, config: &Path, args: &[&str], input: &str) -> String {
        let Output { status, stdout, stderr } = self.docker_with(config, args, input);
        let stderr = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "docker {args:?} at {} ended with {status}: {stderr}", self.host);
        String::from_utf8_lossy(&stdout).trim_end().to_owned()
    }

    fn docker_with(&self, config: &Path, args: &[&str], input: &str) -> Output {
        let mut command = Command::new("docker");
        command.arg("--config").arg(config).args(["--host", &self.host]).args(args);
        command.env_remove("DOCKER_HOST").env_remove("DOCKER_CONTEXT");
        process::run(command, input)
    }
}
