//! Where the commands of a document are carried out: an API with what the documents speak of, a Docker Engine and a cluster, and
//! a folder that looks like a checkout.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use docker_bed::Machine;
use kubernetes_api::Api as Cluster;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use worker_core::ids::RunId;
use worker_tests::api::{ApiOptions, TestApi};
use worker_tests::harness::{
    DeploymentSpec, Lab, Offspring, RunSpec, command_variables, process_template, python_program, repository_of,
    worker_binary, workspace_root,
};

use crate::machines;
use crate::shell::{Ended, Shell};

/// Pools that documents name without a word that makes them.
const POOLS: [&str; 5] = ["my-pool", "reports", "etl", "gpu", "team-a"];

/// What was done before a document is read.
const BEFORE: [(&str, &str); 5] = [
    ("README.md", "echo >policy.toml"),
    ("docs/observability.md", "worker start --pool my-pool"),
    // The doctor has something to say there.
    ("docs/operating.md", "worker start --pool my-pool"),
    ("docs/operating.md", "export WORKER_PROCESS_PYTHON=\"$(command -v python-without-sdk)\""),
    ("docs/security.md", "export WORKER_POLICY_FILE=\"$PWD/draft.toml\""),
];

/// The file with what is to be written into an editor.
pub(crate) const EDITED: &str = "edited";

pub(crate) struct Sandbox {
    /// The shells; in a document about services each has a machine of its own.
    shells: Vec<Shell>,
    /// Which of them goes on.
    at: usize,
    /// What stands in documents, and what it is here; the longer first.
    stand_ins: Vec<(&'static str, String)>,
    /// How many folders have been named.
    made: u32,
    _offspring: Offspring,
    _machines: Vec<Machine>,
    _home: TempDir,
    _api: TestApi,
    _cluster: Cluster,
}

impl Sandbox {
    pub(crate) async fn prepare(document: &str) -> Self {
        let home = tempfile::Builder::new().prefix("worker-documents-").tempdir().unwrap();
        let (api, cluster) = (TestApi::start(ApiOptions::default()).await.unwrap(), Cluster::start().await);
        let kubeconfig = home.path().join("kubeconfig");
        fs_err::write(&kubeconfig, cluster.kubeconfig()).unwrap();
        let offspring = Offspring::of(home.path());
        let mut environment = environment(home.path(), api.url().as_str(), &kubeconfig);
        environment.extend([offspring.mark()]);
        let furniture = Furniture::of(&api, home.path()).await;
        let stand_ins = stand_ins(document, home.path(), api.url().as_str(), &furniture);
        let program = ["bash", "-euo", "pipefail", "-c"].map(OsString::from).to_vec();
        let (folder, variables) = (checkout_like(home.path()), home.path().join("variables"));
        let shell = Shell { program, environment, folder, variables, running: Vec::new() };
        let is_about_services = document == "docs/install.md";
        let machines = if is_about_services { machines::boot(home.path()) } else { Vec::new() };
        let (machines, shells): (Vec<Machine>, Vec<Shell>) = machines.into_iter().unzip();
        let shells = if is_about_services { shells } else { vec![shell] };
        let mut sandbox = Self {
            shells,
            at: 0,
            stand_ins,
            made: 0,
            _offspring: offspring,
            _machines: machines,
            _home: home,
            _api: api,
            _cluster: cluster,
        };
        for (_, command) in BEFORE.iter().filter(|(before, _)| *before == document) {
            let ended = sandbox.does(command).await;
            assert!(ended.is_well, "{command}: {}", ended.output);
        }
        sandbox
    }

    /// Carries a command out.
    pub(crate) async fn does(&mut self, command: &str) -> Ended {
        let command = self.stand_ins.iter().fold(command.to_owned(), |text, (said, here)| replaced(&text, said, here));
        // A folder that is not there yet.
        self.made += 1;
        let code = format!("../code-{}", self.made);
        let command = replaced(&command, "DIR", &code);
        self.shells[self.at].does(&command).await
    }

    /// Goes on at the machine that a remark names, or at the usual one.
    pub(crate) fn goes_to(&mut self, named: Option<&str>) {
        assert!(named.is_none_or(|name| name == "another machine"), "there is no machine {named:?}");
        self.at = usize::from(named.is_some());
    }

    /// Writes a file that the document shows.
    pub(crate) fn writes(&self, name: &str, text: &str) {
        fs_err::write(self.shells[self.at].folder.join(name), text).unwrap();
    }

    /// Stops what goes on; what did not end well then.
    pub(crate) async fn ends(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        for shell in &mut self.shells {
            wrong.extend(shell.ends().await);
        }
        wrong
    }
}

/// What documents speak of: pools, deployments of the flow `etl`, and runs.
struct Furniture {
    /// A run of etl/nightly that goes on, with code.
    nightly: RunId,
    /// A run of etl/daily, which is not due yet.
    daily: RunId,
}

impl Furniture {
    async fn of(api: &TestApi, home: &Path) -> Self {
        let lab = &Lab::new(api.url().as_str());
        for pool in POOLS {
            lab.api.create_pool(pool, "process", process_template()).await;
        }
        lab.api.update_pool("reports", json!({"is_paused": true})).await;
        let repository = home.join("repository");
        fs_err::create_dir(&repository).unwrap();
        let code = repository_of(&workspace_root().join("examples/flows"), &repository);
        let flow = lab.api.create_flow("etl").await;
        let goes_on = command_variables("sh -c 'while :; do sleep 1; done'");
        let nightly = lab.api.create_deployment(flow, deployment("nightly", "my-pool", goes_on, &code)).await;
        let elsewhere = "https://github.com/example/flows.git";
        let daily = lab.api.create_deployment(flow, deployment("daily", "my-pool", Map::new(), elsewhere)).await;
        api.store().set_variable("region", "eu-1");
        lab.api.create_pool("containers", "docker", docker_template()).await;
        let region = json!({"env": {"REGION": "{{ prefect.variables.region }}"}}).as_object().unwrap().clone();
        lab.api.create_deployment(flow, deployment("hourly", "containers", region, elsewhere)).await;
        let tomorrow =
            RunSpec { due: Some(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24)), ..RunSpec::default() };
        Self {
            nightly: lab.api.create_run(nightly, RunSpec::default()).await,
            daily: lab.api.create_run(daily, tomorrow).await,
        }
    }
}

fn deployment(name: &str, pool: &str, job_variables: Map<String, Value>, repository: &str) -> DeploymentSpec {
    DeploymentSpec {
        name: name.to_owned(),
        pool: pool.to_owned(),
        job_variables,
        pull_steps: Some(
            json!([{"prefect.deployments.steps.git_clone": {"repository": repository, "branch": "main"}}]),
        ),
        entrypoint: Some("etl.py:etl".to_owned()),
        ..DeploymentSpec::default()
    }
}

fn docker_template() -> Map<String, Value> {
    let path = workspace_root().join("infra-plugins/docker/src/template.json");
    let mut template: Value = serde_json::from_str(&fs_err::read_to_string(path).unwrap()).unwrap();
    template["variables"]["properties"]["image"]["default"] = "registry.internal/etl:7".into();
    template.as_object().unwrap().clone()
}

/// A folder with what a checkout has at its top, into which commands may write.
fn checkout_like(home: &Path) -> PathBuf {
    let checkout = home.join("checkout");
    fs_err::create_dir(&checkout).unwrap();
    for entry in fs_err::read_dir(workspace_root()).unwrap() {
        let name = entry.unwrap().file_name();
        if !["target", "dist", ".git", ".quickstart"].iter().any(|kept| name == *kept) {
            symlink(workspace_root().join(&name), checkout.join(&name)).unwrap();
        }
    }
    checkout
}

fn stand_ins(document: &str, home: &Path, api: &str, furniture: &Furniture) -> Vec<(&'static str, String)> {
    let path = |name: &str| home.join(name).display().to_string();
    // The draft of a policy allows the code of the one and not that of the other.
    let id = if document == "docs/security.md" { furniture.daily } else { furniture.nightly };
    if document == "docs/install.md" {
        return vec![("http://prefect.example.com:4200/api", api.to_owned())];
    }
    vec![
        ("http://127.0.0.1:4200/api", api.to_owned()),
        ("/opt/flows/.venv/bin/python", python_program("python").display().to_string()),
        ("/var/lib/worker", path("state")),
        ("FLOW/DEPLOYMENT", "etl/nightly".to_owned()),
        ("FLOW/NAME", "etl/nightly".to_owned()),
        ("RUN", furniture.nightly.to_string()),
        ("ID", id.to_string()),
        ("NAME", "my-pool".to_owned()),
        ("KIND", "process".to_owned()),
        ("FILE", "policy.toml".to_owned()),
        // Nobody waits for an hour here.
        ("--for 3600", "--for 2".to_owned()),
    ]
}

/// The text with what stands for `said` where it is a word of its own.
fn replaced(text: &str, said: &str, here: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut parts = text.split(said);
    let mut done = parts.next().unwrap().to_owned();
    for part in parts {
        let is_word = !done.ends_with(is_part) && !part.starts_with(is_part);
        done += if is_word { here } else { said };
        done += part;
    }
    done
}

fn environment(home: &Path, api: &str, kubeconfig: &Path) -> BTreeMap<OsString, OsString> {
    let programs = [home.join("programs"), worker_binary().parent().unwrap().to_owned()];
    let found = std::env::var_os("PATH").unwrap_or_default();
    let path = programs.into_iter().chain(std::env::split_paths(&found));
    stand_in_programs(&home.join("programs"));
    let at = |name: &str| home.join(name).into_os_string();
    let mut environment: BTreeMap<OsString, OsString> = [
        ("PATH", std::env::join_paths(path).unwrap()),
        ("HOME", at("home")),
        ("PREFECT_HOME", at("prefect")),
        ("WORKER_STATE_DIR", at("state")),
        ("WORKER_KUBERNETES_KUBECONFIG", kubeconfig.into()),
        ("WORKER_PROCESS_PYTHON", python_program("python").into()),
        ("PREFECT_API_URL", api.into()),
        ("PREFECT_WORKER_QUERY_SECONDS", "0.25".into()),
        ("WORKER_LOG_FORMAT", "human".into()),
        ("WORKER_PROCESS_KILL_GRACE_SECONDS", "2".into()),
        ("WORKER_SHUTDOWN_RUNS", "leave".into()),
    ]
    .map(|(name, value)| (name.into(), value))
    .into();
    for name in ["DOCKER_HOST", "CARGO_HOME", "RUSTUP_HOME", "XDG_CACHE_HOME"] {
        environment.extend(std::env::var_os(name).map(|value| (name.into(), value)));
    }
    fs_err::create_dir_all(home.join("home")).unwrap();
    environment
}

/// Programs that stand in for those that the documents call and a sandbox cannot have.
fn stand_in_programs(folder: &Path) {
    let kubernetes_validate = workspace_root().join(".tools/charts/bin/kubernetes-validate");
    // What it would apply is looked at by the schemas of Kubernetes.
    let kubectl = format!(
        "[ \"$*\" = 'apply -f -' ] || {{ echo \"there is no cluster for: kubectl $*\" >&2; exit 1; }}\n\
         manifest=$(mktemp) && cat >\"$manifest\" && exec {} --strict \"$manifest\"",
        kubernetes_validate.display()
    );
    let prefect = format!("exec {} --no-prompt \"$@\"", python_program("prefect").display());
    let others = [("sudo", "exec \"$@\""), ("python-without-sdk", "exec python3 -IS \"$@\"")];
    for (name, script) in others.into_iter().chain([("kubectl", kubectl.as_str()), ("prefect", &prefect)]) {
        executable(&folder.join(name), script);
    }
}

/// Writes a script.
pub(crate) fn executable(path: &Path, script: &str) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}
