//! Code that an init container brings into the pod.

use central_api_wire::state::StateType;
use serde_json::{Value, json};
use tempfile::TempDir;
use worker_core::ids::RunId;
use worker_tests::harness::{DeploymentSpec, GitDaemon, workspace_root};

use super::image::WorkerImage;
use super::{Bed, kubernetes_pool};

/// A pod on this machine's network, with code from a repository there.
struct Pulling {
    bed: Bed,
    image: WorkerImage,
    git: GitDaemon,
    _repository: TempDir,
}

impl Pulling {
    async fn new() -> Self {
        let (mut bed, repository) = (Bed::new().await, tempfile::tempdir().unwrap());
        bed.pool = kubernetes_pool(&bed.it.lab, bed.namespace.name(), &[&bed.marks], |manifest| {
            manifest["spec"]["template"]["spec"]["hostNetwork"] = true.into();
        })
        .await;
        let git = GitDaemon::serving(&workspace_root().join("tests/flows"), repository.path()).await;
        Self { bed, image: WorkerImage::build(), git, _repository: repository }
    }

    async fn run(&self, branch: &str, mut variables: Value) -> RunId {
        variables["native_code"] = true.into();
        let clone = json!({"repository": self.git.url(), "branch": branch});
        let spec = DeploymentSpec {
            job_variables: variables.as_object().unwrap().clone(),
            pull_steps: Some(json!([{"prefect.deployments.steps.git_clone": clone}])),
            entrypoint: Some("flows.py:succeeds".to_owned()),
            ..DeploymentSpec::default()
        };
        self.bed.pool.run(self.bed.pool.deployment(spec).await).await
    }
}

#[tokio::test]
async fn code_that_an_init_container_brings_is_where_the_flow_starts() {
    let it = Pulling::new().await;
    let lab = &it.bed.it.lab;
    let command = format!("cp flows.py {}/", it.bed.marks.folder().display());
    let run = it.run("main", json!({"command": command, "report_state": "worker"})).await;
    let missing = it.run("nowhere", json!({"command": "true"})).await;
    let _daemon = it.bed.daemon().env("WORKER_KUBERNETES_INIT_IMAGE", it.image.name()).started().await;
    lab.reaches(run, StateType::Completed).await;
    let (copied, original) = (it.bed.marks.path("flows.py"), workspace_root().join("tests/flows/flows.py"));
    assert_eq!(fs_err::read(copied).unwrap(), fs_err::read(original).unwrap());

    let state = lab.reaches(missing, StateType::Crashed).await;
    let message = state.message.unwrap();
    assert!(message.contains("worker-pull") && message.contains("does not have branch `nowhere`"), "{message}");
}
