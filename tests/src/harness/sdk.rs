//! The unmodified Prefect SDK, as users run it.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::process::Command;
use worker_core::ids::DeploymentId;

use super::binary::{python_program, workspace_root};

/// Programs of the locked Python environment against one API.
#[derive(Debug)]
pub struct Sdk {
    api_url: String,
    home: TempDir,
}

impl Sdk {
    /// For the API at `api_url`.
    pub fn new(api_url: &str) -> Self {
        let home = tempfile::Builder::new().prefix("prefect-sdk-").tempdir().expect("a temporary directory");
        Self { api_url: api_url.to_owned(), home }
    }

    /// Runs a program of the environment and returns what it printed.
    pub async fn run(&self, program: &str, args: &[&str]) -> String {
        let ended = Command::new(python_program(program))
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("PREFECT_HOME", self.home.path().join("prefect"))
            .env("PREFECT_API_URL", &self.api_url)
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .expect("the locked Python environment can be started");
        let (stdout, stderr) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        assert!(ended.status.success(), "{program} {args:?}: {}\n{stdout}\n{stderr}", ended.status);
        stdout.into_owned()
    }

    /// Deploys flows of `tests/flows/flows.py` from a folder or a git repository.
    pub async fn deploy(
        &self,
        source: &str,
        pool: &str,
        job_variables: Map<String, Value>,
        flows: &[&str],
    ) -> BTreeMap<String, DeploymentId> {
        let script = workspace_root().join("tests/flows/deploy.py");
        let script = script.to_str().expect("the checkout has a path of text");
        let job_variables = Value::Object(job_variables).to_string();
        let printed = self.run("python", &[&[script, source, pool, &job_variables], flows].concat()).await;
        // The SDK prints what it did before.
        let last = printed.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error} in {printed}"))
    }
}
