//! The commands besides `start`.

use std::path::Path;

use serde_json::{Value, json};
use worker_tests::harness::{DaemonSpec, DeploymentSpec, Finished, Lab, repository_of, workspace_root};

use crate::in_memory::InMemory;

const CANARY: &str = "canary-5f1c";

#[tokio::test]
async fn config_show_prints_every_setting_with_its_source_and_no_secret() {
    let spec = DaemonSpec::bare()
        .args(["config", "show"])
        .env("PREFECT_API_URL", format!("http://user:{CANARY}@127.0.0.1:4200/api"))
        .env("PREFECT_API_KEY", CANARY)
        .env("PREFECT_API_AUTH_STRING", format!("admin:{CANARY}"))
        .env("PREFECT_CLIENT_CUSTOM_HEADERS", format!(r#"{{"X-Token": "{CANARY}"}}"#))
        .env("WORKER_START_LIMIT", "7");
    let shown = spec.finish().await;
    assert!(shown.status.success(), "{}", shown.stderr);
    assert!(shown.stdout.contains("WORKER_START_LIMIT = 7    # start.limit (environment WORKER_START_LIMIT)"));
    assert!(shown.stdout.contains("# worker.query_seconds (default)"), "{}", shown.stdout);
    assert!(shown.stdout.contains("PREFECT_API_KEY = ****"), "{}", shown.stdout);
    assert!(!shown.stdout.contains(CANARY) && !shown.stderr.contains(CANARY), "{}{}", shown.stdout, shown.stderr);
}

#[tokio::test]
async fn config_check_names_everything_that_is_wrong_at_once() {
    let spec = DaemonSpec::bare()
        .args(["config", "check"])
        .env("PREFECT_WORKER_QUERY_SECONDS", "soon")
        .env("WORKER_LOG_FORMAT", "xml");
    let checked = spec.finish().await;
    assert!(!checked.status.success());
    for wrong in ["environment PREFECT_WORKER_QUERY_SECONDS", "environment WORKER_LOG_FORMAT"] {
        assert!(checked.stderr.contains(wrong), "{}", checked.stderr);
    }
    let right = DaemonSpec::bare().args(["config", "check"]).finish().await;
    assert!(right.status.success(), "{}", right.stderr);
}

#[tokio::test]
async fn version_and_completions_are_printed() {
    let version = DaemonSpec::bare().arg("version").finish().await;
    assert!(version.status.success() && version.stdout.contains("(API 0.8.4)"), "{}", version.stdout);
    for shell in ["bash", "zsh", "fish"] {
        let completions = DaemonSpec::bare().args(["completions", shell]).finish().await;
        assert!(completions.status.success() && completions.stdout.contains("no-create-pool-if-not-found"), "{shell}");
    }
    let unknown = DaemonSpec::bare().args(["start", "--nope"]).finish().await;
    assert!(unknown.status.code() == Some(2) && unknown.stderr.contains("--nope"), "{}", unknown.stderr);
}

#[tokio::test]
async fn doctor_says_what_is_wrong_with_a_kind_and_what_to_do() {
    let spec = DaemonSpec::bare().env("WORKER_PROCESS_PYTHON", "/does/not/exist/python").args(["doctor", "--local"]);
    let ill = spec.clone().args(["--kind", "process"]).finish().await;
    assert_eq!(ill.status.code(), Some(1), "{}{}", ill.stdout, ill.stderr);
    assert!(ill.stdout.contains("\nerror    process: ") && ill.stdout.contains("\n         "), "{}", ill.stdout);

    let unknown = DaemonSpec::bare().args(["doctor", "--kind", "ecs"]).finish().await;
    assert!(unknown.status.code() == Some(2) && unknown.stderr.contains("process"), "{}", unknown.stderr);
    let elsewhere = spec.args(["--pool", "p"]).env("WORKER_START_TYPE", "ecs").finish().await;
    assert_eq!(elsewhere.status.code(), Some(1), "{}", elsewhere.stderr);
    assert!(elsewhere.stdout.contains("this worker has no kind 'ecs'"), "{}", elsewhere.stdout);
}

#[tokio::test]
async fn rights_in_a_cluster_are_printed_as_manifests() {
    let printed = DaemonSpec::bare().args(["kubernetes", "rbac", "--namespace", "flows"]).finish().await;
    assert!(printed.status.success(), "{}", printed.stderr);
    for part in ["OBSERVER_NAMESPACES=flows\n", "kind: Role\n", "kind: RoleBinding\n", "namespace: \"flows\"\n"] {
        assert!(printed.stdout.contains(part), "{part}: {}", printed.stdout);
    }
    assert!(!printed.stdout.contains("ClusterRole"), "{}", printed.stdout);
    let refused = DaemonSpec::bare().args(["kubernetes", "rbac", "--namespace", "Flows"]).finish().await;
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
}

/// `worker pull` for the run of a deployment with these steps, into this folder.
async fn pulled(lab: &Lab, steps: Value, into: &Path) -> Finished {
    let spec = DeploymentSpec {
        pull_steps: Some(steps),
        entrypoint: Some("flows.py:succeeds".to_owned()),
        ..DeploymentSpec::default()
    };
    let pool = lab.pool().await;
    let run = pool.run(pool.deployment(spec).await).await;
    pull(lab, &run.to_string(), into).await
}

async fn pull(lab: &Lab, run: &str, into: &Path) -> Finished {
    let spec = DaemonSpec::bare().env("PREFECT_API_URL", lab.api.api_url());
    spec.args(["pull", "--flow-run", run, "--into", into.to_str().unwrap()]).finish().await
}

fn clone_of(repository: &str, branch: &str) -> Value {
    json!({"prefect.deployments.steps.git_clone": {"repository": repository, "branch": branch}})
}

#[tokio::test]
async fn pull_brings_the_code_of_a_run_and_links_to_where_the_steps_ended() {
    let it = InMemory::start().await;
    let (folder, repository) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let address = repository_of(&workspace_root().join("tests/flows"), repository.path());
    let into = folder.path().join("new");
    let done = pulled(&it.lab, json!([clone_of(&address, "main")]), &into).await;
    assert!(done.status.success() && done.stdout.contains(&format!("{address} at ")), "{}{}", done.stdout, done.stderr);
    assert!(into.join("code/flows.py").is_file());
    let link = fs_err::read_link(into.join("code")).unwrap();
    assert!(link.is_relative() && link.starts_with("steps"), "{}", link.display());

    let again = pulled(&it.lab, json!([clone_of(&address, "main")]), &into).await;
    assert!(again.status.code() == Some(1) && again.stderr.contains("Name a new or an empty one"), "{}", again.stderr);
    assert!(into.join("code/flows.py").is_file(), "what was there is left alone");

    let empty = folder.path().join("empty");
    let none = pulled(&it.lab, json!([]), &empty).await;
    assert!(none.status.success(), "{}", none.stderr);
    assert_eq!(fs_err::read_dir(empty.join("code")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_pull_that_fails_says_why_and_leaves_nothing() {
    let it = InMemory::start().await;
    let (folder, repository) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let address = repository_of(&workspace_root().join("tests/flows"), repository.path());
    let mut login = clone_of("https://127.0.0.1:1/r", "main");
    login["prefect.deployments.steps.git_clone"]["access_token"] = CANARY.into();
    for (steps, said) in [
        (json!([clone_of(&address, "main"), clone_of(&address, "nowhere")]), "does not have branch `nowhere`"),
        (
            json!([{"prefect.deployments.steps.run_shell_script": {"script": "true"}}]),
            "run_shell_script` has to run where the flow runs",
        ),
        (json!([login]), "https://127.0.0.1:1/r could not be reached"),
    ] {
        let mounted = tempfile::tempdir().unwrap();
        for into in [folder.path().join("new"), mounted.path().to_owned()] {
            let failed = pulled(&it.lab, steps.clone(), &into).await;
            assert_eq!(failed.status.code(), Some(1), "{said}");
            assert!(failed.stderr.contains(said) && !failed.stderr.contains(CANARY), "{}", failed.stderr);
        }
        assert!(!folder.path().join("new").exists(), "{said}");
        assert_eq!(fs_err::read_dir(mounted.path()).unwrap().count(), 0, "{said}");
    }
    let unknown = pull(&it.lab, "00000000-0000-0000-0000-000000000009", &folder.path().join("new")).await;
    assert!(unknown.status.code() == Some(1) && unknown.stderr.contains("does not exist"), "{}", unknown.stderr);
    let no_id = pull(&it.lab, "mine", &folder.path().join("new")).await;
    assert_eq!(no_id.status.code(), Some(2), "{}", no_id.stderr);
}
