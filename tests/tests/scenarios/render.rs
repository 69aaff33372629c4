//! `worker render`: what would be launched and where each value comes from; and `worker template`, `worker init`.

use serde_json::{Map, Value, json};
use worker_tests::api::store::NewBlock;
use worker_tests::harness::{
    DaemonSpec, DeploymentSpec, Finished, Lab, LabPool, RunSpec, repository_of, workspace_root,
};

use crate::in_memory::InMemory;

const CANARY: &str = "canary-b10c";

fn render(lab: &Lab, args: &[&str]) -> DaemonSpec {
    DaemonSpec::bare().with_python().env("PREFECT_API_URL", lab.api.api_url()).arg("render").args(args)
}

async fn rendered(lab: &Lab, args: &[&str]) -> Value {
    let done = render(lab, args).arg("--json").finish().await;
    assert!(done.status.success(), "{}", done.stderr);
    serde_json::from_str(&done.stdout).unwrap()
}

/// The value at a path of the job configuration, and who said it.
fn value_of(rendered: &Value, path: &str) -> (Value, Vec<String>) {
    let found = rendered["values"].as_array().unwrap().iter().find(|shown| shown["path"] == path);
    assert!(found.is_some(), "no {path} in {rendered:#}");
    let found = found.unwrap();
    (found["value"].clone(), serde_json::from_value(found["from"].clone()).unwrap())
}

fn variables(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

async fn deployment(pool: &LabPool, job_variables: Value) -> String {
    let spec = DeploymentSpec { job_variables: variables(&job_variables), ..DeploymentSpec::default() };
    pool.deployment(spec).await.to_string()
}

#[tokio::test]
async fn a_rendered_run_says_where_each_value_comes_from_and_no_secret() {
    let it = InMemory::start().await;
    it.store().create_block(NewBlock::secret("tok", CANARY));
    it.store().set_variable("region", "eu-1");
    let mut template = worker_tests::harness::process_template();
    template["variables"]["properties"]["env"]["default"] = json!({"FROM": "pool", "POOL": "x"});
    let pool = it.lab.pool_with(template).await;
    let spec = DeploymentSpec {
        job_variables: variables(&json!({
            "command": format!("sh -c 'echo {{{{ prefect.blocks.secret.tok }}}}'"), "working_dir": "/tmp",
            "env": {"FROM": "deployment", "PLAIN": "{{ prefect.blocks.secret.tok }}", "AREA": "{{ prefect.variables.region }}"},
        })),
        ..DeploymentSpec::default()
    };
    let id = pool.deployment(spec).await;
    let run = it
        .lab
        .api
        .create_run(id, RunSpec { job_variables: variables(&json!({"env": {"RUN": "1"}})), ..RunSpec::default() })
        .await;
    let before = it.store().read(|tables| tables.requests().len());

    let shown = rendered(&it.lab, &[&run.to_string()]).await;
    let one = |path: &str| value_of(&shown, path);
    assert_eq!(one("env.FROM"), (json!("deployment"), vec!["job variables of the deployment".to_owned()]));
    assert_eq!(one("env.POOL"), (json!("x"), vec!["default of the pool".to_owned()]));
    assert_eq!(one("env.RUN"), (json!("1"), vec!["job variables of the run".to_owned()]));
    assert_eq!(one("env.PREFECT_API_URL").1, ["setting of the worker"]);
    assert_eq!(one("env.PREFECT__FLOW_RUN_ID"), (json!(run.to_string()), vec!["worker".to_owned()]));
    assert_eq!(
        one("env.AREA"),
        (json!("eu-1"), vec!["job variables of the deployment".to_owned(), "variable `region`".to_owned()])
    );
    assert_eq!(one("env.PLAIN").0, json!("***"));
    assert!(one("env.PLAIN").1.contains(&"block `tok` of type `secret`".to_owned()));
    assert_eq!(one("working_dir").0, json!("/tmp"));
    assert_eq!(shown["plan"]["command"], json!("sh -c 'echo ***'"));
    assert_eq!((&shown["kind"], &shown["pool"]), (&json!("process"), &json!(pool.name)));
    assert!(!shown.to_string().contains(CANARY), "{shown:#}");

    let text = render(&it.lab, &["--flow-run", &run.to_string()]).finish().await;
    assert!(text.stdout.contains("\nplan:\n  command: "), "{}", text.stdout);
    assert!(
        text.stdout.contains("  \"env.FROM\": \"deployment\"  # job variables of the deployment"),
        "{}",
        text.stdout
    );
    assert!(!text.stdout.contains(CANARY), "{}", text.stdout);
    it.store().read(|tables| {
        assert!(tables.requests()[before..].iter().all(|request| request.method == "GET"), "something was changed");
    });
}

#[tokio::test]
async fn a_deployment_is_rendered_as_its_next_run_with_its_code_in_place() {
    let it = InMemory::start().await;
    let repository = tempfile::tempdir().unwrap();
    let address = repository_of(&workspace_root().join("tests/flows"), repository.path());
    let pool = it.lab.pool().await;
    let spec = DeploymentSpec {
        pull_steps: Some(json!([{"prefect.deployments.steps.git_clone": {"repository": address, "branch": "main"}}])),
        entrypoint: Some("flows.py:succeeds".to_owned()),
        ..DeploymentSpec::default()
    };
    let id = pool.deployment(spec).await.to_string();
    let shown = rendered(&it.lab, &["--deployment", &id]).await;
    assert_eq!(shown["flow_run"], "example-run");
    assert_eq!(shown["code"], "the worker runs the 1 pull steps first");
    assert!(shown["plan"]["command"].as_str().unwrap().ends_with("-m prefect.engine"), "{shown:#}");
    assert!(shown["plan"]["working_dir"].as_str().unwrap().contains("-code/"), "{shown:#}");
    assert_eq!(value_of(&shown, "command"), (Value::Null, vec!["default of the kind".to_owned()]));
    assert_eq!(value_of(&shown, "name").1, ["name of the flow run"]);

    let bare = it.lab.pool_with(Map::new()).await;
    let id = deployment(&bare, json!({"command": "true"})).await;
    let shown = rendered(&it.lab, &["--deployment", &id]).await;
    assert_eq!(shown["plan"]["command"], "true", "the template that the worker would give the pool counts");
}

#[tokio::test]
async fn what_cannot_be_rendered_says_why() {
    let it = InMemory::start().await;
    let pool = it.lab.pool().await;
    let broken = deployment(&pool, json!({"labels": {"a": 1}})).await;
    let gone = deployment(&pool, json!({"command": "{{ prefect.blocks.secret.gone }}"})).await;
    for (args, code, said) in [
        (vec!["--deployment", broken.as_str()], 1, "`labels.a` must be a string"),
        (vec!["--deployment", gone.as_str()], 1, "block `gone` of type `secret` does not exist"),
        (vec!["00000000-0000-0000-0000-000000000009"], 1, "flow run"),
        (vec!["no/such"], 1, "no/such does not exist"),
        (vec!["mine"], 2, "FLOW/DEPLOYMENT"),
        (vec![], 2, "required"),
    ] {
        let done: Finished = render(&it.lab, &args).finish().await;
        assert_eq!(done.status.code(), Some(code), "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains(said), "{args:?}: {}", done.stderr);
    }
    let id = deployment(&pool, json!({})).await;
    let other = render(&it.lab, &["--deployment", &id, "--type", "ecs"]).finish().await;
    assert!(other.status.code() == Some(1) && other.stderr.contains("'ecs'"), "{}", other.stderr);
}

#[tokio::test]
async fn the_template_of_each_kind_is_printed_and_a_file_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    for kind in ["process", "docker", "kubernetes"] {
        let done = DaemonSpec::bare().args(["template", kind]).finish().await;
        let template: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr));
        assert!(template["job_configuration"].is_object() && template["variables"]["properties"].is_object(), "{kind}");
    }
    let file = folder.path().join("t.json");
    let to_file = || DaemonSpec::bare().args(["template", "process", "--file"]).arg(&file);
    assert!(to_file().finish().await.status.success());
    let again = to_file().finish().await;
    assert!(again.status.code() == Some(1) && again.stderr.contains("--force"), "{}", again.stderr);
    assert!(to_file().arg("--force").finish().await.status.success());
    let unknown = DaemonSpec::bare().args(["template", "ecs"]).finish().await;
    assert_eq!(unknown.status.code(), Some(2), "{}", unknown.stderr);
}

#[tokio::test]
async fn init_writes_files_that_the_worker_takes_and_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("worker.toml");
    let init = || DaemonSpec::bare().arg("init").arg("--file").arg(&file);
    let nobody = init().finish().await;
    assert_eq!(nobody.status.code(), Some(1), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("no terminal") && nobody.stderr.contains("--pool"), "{}", nobody.stderr);

    let answers =
        ["--yes", "--pool", "reports \"x\"", "--type", "process", "--limit", "3", "--python", "/opt/py/bin/python"];
    let done = init().args(answers).args(["--api-url", "http://api.test:4200/api"]).finish().await;
    assert!(done.status.success() && done.stdout.contains("worker doctor --config"), "{}{}", done.stdout, done.stderr);
    let show = DaemonSpec::bare().args(["config", "show", "--set", "--config"]).arg(&file).finish().await;
    assert!(show.status.success(), "{}", show.stderr);
    assert!(show.stdout.contains("WORKER_PROCESS_PYTHON = /opt/py/bin/python"), "{}", show.stdout);
    let prefect = fs_err::read_to_string(folder.path().join("prefect.toml")).unwrap();
    assert!(prefect.contains("url = \"http://api.test:4200/api\""), "{prefect}");

    let again = init().args(answers).finish().await;
    assert!(again.status.code() == Some(1) && again.stderr.contains("--force"), "{}", again.stderr);
    for (flag, value) in
        [("--limit", "0"), ("--type", "ecs"), ("--api-url", "ftp://x"), ("--api-url", "http://me:pw@x/api")]
    {
        let refused = init().args(["--yes", "--pool", "p", flag, value]).finish().await;
        assert_eq!(refused.status.code(), Some(2), "{flag} {value}: {}", refused.stderr);
    }
}
