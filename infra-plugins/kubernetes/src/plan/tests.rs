//! Pool templates that users have, filled in by the core's own resolver and planned.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use infra_contract::Owner;
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Map, Value, json};
use uuid::Uuid;
use worker_core::ids::{DeploymentId, FlowId, LaunchKey, RunId, TransitionId, WorkPoolId};
use worker_core::job_configuration::{
    DeploymentContext, FlowContext, FlowRunContext, PreparationContext, WorkPoolContext, resolve,
};
use worker_core::spec::{ReportState, RunSpec};

use super::*;
use crate::fields::OWN_VARIABLES;
use crate::manifest::secrets::secret_name;
use crate::settings::Secrets;
use crate::template;

pub(crate) const IMAGE: &str = "prefecthq/prefect:3.8.0-python3.11";

pub(crate) fn settings() -> KubernetesSettings {
    KubernetesSettings {
        owner: Owner::new("here-0a1b2c3d"),
        state_directory: "/nowhere".into(),
        kubeconfig: None,
        context: None,
        namespaces: Vec::new(),
        label_filters: BTreeMap::new(),
        observe: true,
        replicate_pod_events: true,
        forward_crashed_run_logs: true,
        forward_crashed_run_logs_tail_lines: 500,
        startup_event_concurrency: 5,
        api_key_secret: None,
        api_auth_string_secret: None,
        create_secret_for_api_key: false,
        store_env_as_secret: false,
        secrets: Secrets::Secret,
        create_deadline: Duration::from_secs(30),
        cleanup: Cleanup::Keep,
        cleanup_ttl: Duration::from_hours(1),
        image_pull_deadline: None,
        start_deadline: None,
        init_image: None,
    }
}

/// A run of the default pool.
pub(crate) fn run_spec() -> RunSpec {
    spec_of(&default_pool(), json!({}))
}

pub(crate) fn default_pool() -> Value {
    template::base_job_template().as_json().clone()
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("not an object: {value}") };
    object
}

pub(crate) fn spec_of(pool: &Value, job_variables: Value) -> RunSpec {
    let draft = resolve(pool, &object(job_variables), &Map::new(), &OWN_VARIABLES, &BTreeMap::new()).unwrap();
    let key = LaunchKey { run: RunId(Uuid::from_u128(1)), claim: TransitionId(Uuid::from_u128(2)) };
    let base_environment: BTreeMap<String, String> = [
        ("PREFECT_API_URL", "http://127.0.0.1:4200/api"),
        ("PREFECT_API_KEY", "pnu_0123456789"),
        ("PREFECT_HOME", "/root/.prefect"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let run_json = json!({"name": "cute-crab"});
    let flow_json = json!({"name": "ok"});
    let job = draft
        .finish()
        .unwrap()
        .prepare_for_flow_run(&PreparationContext {
            base_environment: &base_environment,
            worker_env: &BTreeMap::new(),
            client_version: "3.8.4.dev6+g1",
            worker_name: "My Worker",
            worker_id: None,
            work_pool: WorkPoolContext { id: WorkPoolId(Uuid::from_u128(3)), name: "k8s" },
            flow_run: FlowRunContext { id: key.run, name: "cute-crab", json: &run_json },
            flow: FlowContext { id: FlowId(Uuid::from_u128(4)), name: "ok", json: &flow_json },
            deployment: Some(DeploymentContext {
                id: DeploymentId(Uuid::from_u128(5)),
                name: "dsleep",
                updated: Some("2026-11-21T01:59:57.802475Z".parse().unwrap()),
            }),
        })
        .unwrap();
    RunSpec {
        key,
        flow_run_name: "cute-crab".to_owned(),
        name: job.name,
        command: job.command,
        env: job.env,
        env_from: job.env_from,
        configured_env: job.configured_env,
        worker_settings: base_environment,
        labels: job.labels,
        fields: job.fields,
        block_texts: BTreeSet::new(),
        code: None,
        entrypoint: None,
        report_state: job.report_state,
    }
}

fn planned(spec: &RunSpec) -> KubernetesPlan {
    planned_by(&settings(), spec)
}

pub(crate) fn planned_by(settings: &KubernetesSettings, spec: &RunSpec) -> KubernetesPlan {
    KubernetesPlan::of(&make(settings, IMAGE, spec).unwrap()).unwrap()
}

pub(crate) fn pod(plan: &KubernetesPlan) -> &Value {
    &plan.job["spec"]["template"]["spec"]
}

pub(crate) fn container(plan: &KubernetesPlan) -> &Value {
    &pod(plan)["containers"][0]
}

pub(crate) fn variable<'p>(plan: &'p KubernetesPlan, name: &str) -> Vec<&'p Value> {
    container(plan)["env"].as_array().unwrap().iter().filter(|entry| entry["name"] == name).collect()
}

pub(crate) fn manifest_of(pool: &mut Value) -> &mut Value {
    &mut pool["job_configuration"]["job_manifest"]
}

pub(crate) fn snapshot(name: &str, plan: &Plan) {
    let detail = KubernetesPlan::of(plan).unwrap();
    // An API server that is strict about unknown fields takes it.
    let typed: Job = serde_json::from_value(detail.job.clone()).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), detail.job, "{name}");
    let secret = detail.secret.map(|secret| json!(secret));
    let shown = json!({
        "infra_name": plan.infra_name, "job": detail.job, "secret": secret, "warnings": detail.warnings,
    });
    insta::with_settings!({ snapshot_path => "../../tests/snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_json_snapshot!(name, shown);
    });
}

/// A file says what differs from the default template, and the job variables of the deployment.
#[test]
fn templates_that_users_have_become_these_jobs() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/templates");
    let mut files: Vec<_> = fs_err::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 20, "{}", files.len());
    for file in files {
        let told: Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
        let mut pool = default_pool();
        if let Some(manifest) = told.get("job_manifest") {
            *manifest_of(&mut pool) = manifest.clone();
        }
        for (name, default) in told.get("variables").and_then(Value::as_object).into_iter().flatten() {
            pool["variables"]["properties"][name]["default"] = default.clone();
        }
        let job_variables = told.get("job_variables").cloned().unwrap_or_else(|| json!({}));
        let plan = make(&settings(), IMAGE, &spec_of(&pool, job_variables)).unwrap();
        assert!(!plan.shown.to_string().contains("pnu_0123456789"));
        assert!(!KubernetesPlan::of(&plan).unwrap().job.to_string().contains("pnu_0123456789"));
        snapshot(file.file_stem().unwrap().to_str().unwrap(), &plan);
    }
}

#[test]
fn a_run_with_everything_becomes_the_job_that_prefect_makes() {
    let variables = json!({
        "name": "My Job_1", "command": "python -m x 'a b'", "image": "img:1",
        "env": {"A": 1, "PREFECT_API_URL": "http://u/api", "N": null}, "labels": {"a b/c d": "v v!"},
        "annotations": {"x y": "raw v!"}, "backoff_limit": 2, "finished_job_ttl": 60, "cpu_limit": "1",
        "namespace": "ns1", "service_account_name": "sa",
    });
    let plan = make(&settings(), IMAGE, &spec_of(&default_pool(), variables)).unwrap();
    assert!(plan.infra_name.starts_with("ns1:my-job-1-"), "{}", plan.infra_name);
    snapshot("everything", &plan);
}

#[test]
fn a_run_without_variables_becomes_the_job_that_prefect_makes() {
    let plan = make(&settings(), IMAGE, &run_spec()).unwrap();
    assert!(plan.infra_name.starts_with("default:cute-crab-"), "{}", plan.infra_name);
    snapshot("nothing", &plan);
    let plan = KubernetesPlan::of(&plan).unwrap();
    assert_eq!(plan.job["spec"]["backoffLimit"], 0);
    assert_eq!(variable(&plan, "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR")[0]["value"], "reschedule");
    assert_eq!(plan.job.pointer("/spec/ttlSecondsAfterFinished"), None);
    assert_eq!(pod(&plan).get("serviceAccountName"), None);
    assert_eq!(container(&plan)["resources"], json!({"limits": {}, "requests": {}}));
    assert_eq!(container(&plan)["args"], json!(["prefect", "flow-run", "execute"]));
    assert_eq!(container(&plan)["image"], IMAGE);
}

#[test]
fn c103_hard_coded_entries_are_merged_below_ours() {
    let mut pool = default_pool();
    let secret = json!({"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    manifest_of(&mut pool)["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([secret, {"name": "A", "value": "tpl"}]);
    let plan = planned(&spec_of(&pool, json!({"env": {"A": "mine"}})));
    assert_eq!(variable(&plan, "A"), [&json!({"name": "A", "value": "mine"})]);
    assert_eq!(container(&plan)["env"].as_array().unwrap().last(), Some(&secret));
}

#[test]
fn c102_manifests_of_pools_are_checked() {
    for (path, value, expected) in [
        (
            "restartPolicy",
            json!("OnFailure"),
            "Job has incompatible values for the following attributes: /spec/template/spec/restartPolicy must have value 'Never'",
        ),
        (
            "containers",
            json!([{}]),
            "Job is missing required attributes at the following paths: /spec/template/spec/containers/0/name",
        ),
    ] {
        let mut pool = default_pool();
        manifest_of(&mut pool)["spec"]["template"]["spec"][path] = value;
        let error = make(&settings(), IMAGE, &spec_of(&pool, json!({}))).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert!(error.hint().is_some());
    }
}

#[test]
fn an_api_url_on_the_workers_machine_is_handed_on_as_it_is() {
    assert_eq!(variable(&planned(&run_spec()), "PREFECT_API_URL")[0]["value"], "http://127.0.0.1:4200/api");
}

#[test]
fn c105_labels_are_on_job_and_pod_and_annotations_if_there_are_any() {
    let plan = planned(&spec_of(&default_pool(), json!({"labels": {"mine": "yes"}})));
    let of_pod = &plan.job["spec"]["template"]["metadata"];
    assert_eq!(plan.job["metadata"]["labels"], of_pod["labels"]);
    assert_eq!(of_pod["labels"]["mine"], "yes");
    assert_eq!(of_pod.get("annotations"), None);
    let plan = planned(&spec_of(&default_pool(), json!({"annotations": {"a": "b"}})));
    assert_eq!(plan.job["spec"]["template"]["metadata"]["annotations"], json!({"a": "b"}));
}

#[test]
fn a_job_is_found_again_by_its_marks() {
    let variables = json!({
        "ship_output": true, "stream_output": false, "cleanup": "remove", "job_watch_timeout_seconds": 90,
        "start_deadline_seconds": 30, "report_state": "worker", "labels": {"prefect.io/flow-run-id": "another"},
    });
    let plan = planned(&spec_of(&default_pool(), variables));
    let map = |path: &str| serde_json::from_value(plan.job.pointer(path).unwrap().clone()).unwrap();
    let found = Marks::of(&map("/metadata/labels"), &map("/metadata/annotations")).unwrap();
    assert_eq!(found, plan.marks);
    assert!(found.ship_output && !found.stream_output && found.cancels_itself);
    assert_eq!((found.report_state, found.cleanup), (ReportState::Worker, Cleanup::Remove));
    assert_eq!(
        (found.job_timeout, found.start_deadline),
        (Some(Duration::from_secs(90)), Some(Duration::from_secs(30)))
    );
    assert_eq!(plan.job["metadata"]["labels"]["prefect.io/flow-run-id"], Uuid::from_u128(1).to_string());
}

#[test]
fn after_a_time_it_is_kubernetes_that_removes_a_job() {
    let hour = Cleanup::After(Duration::from_hours(1));
    for (default, variables, cleanup, ttl) in [
        (Cleanup::Keep, json!({}), Cleanup::Keep, None),
        (Cleanup::Remove, json!({}), Cleanup::Remove, None),
        (Cleanup::Remove, json!({"cleanup": "keep"}), Cleanup::Keep, None),
        (Cleanup::Remove, json!({"finished_job_ttl": 7}), Cleanup::Keep, Some(7)),
        (Cleanup::Keep, json!({"finished_job_ttl": 7, "cleanup": "remove"}), Cleanup::Remove, Some(7)),
        (hour, json!({}), Cleanup::Keep, Some(3600)),
        (hour, json!({"finished_job_ttl": 7}), Cleanup::Keep, Some(7)),
        (hour, json!({"cleanup": "remove"}), Cleanup::Remove, None),
        (Cleanup::After(Duration::from_secs(9)), json!({"cleanup": "ttl"}), Cleanup::Keep, Some(9)),
        (Cleanup::Keep, json!({"cleanup": "ttl"}), Cleanup::Keep, Some(3600)),
    ] {
        let plan = planned_by(
            &KubernetesSettings { cleanup: default, ..settings() },
            &spec_of(&default_pool(), variables.clone()),
        );
        let found = plan.job.pointer("/spec/ttlSecondsAfterFinished").and_then(Value::as_u64);
        assert_eq!((plan.marks.cleanup, found), (cleanup, ttl), "{variables}");
    }
    let at_once = planned(&spec_of(&default_pool(), json!({"finished_job_ttl": 0})));
    assert_eq!(at_once.warnings.len(), 1, "{:?}", at_once.warnings);
}

#[test]
fn c107_secrets_are_neither_in_the_job_nor_in_what_is_shown() {
    let mut spec = spec_of(&default_pool(), json!({"env": {"DSN": "x from-a-block y"}, "command": "run from-a-block"}));
    spec.block_texts = ["from-a-block".to_owned()].into();
    let plan = make(&settings(), IMAGE, &spec).unwrap();
    let detail = KubernetesPlan::of(&plan).unwrap();
    let secret = detail.secret.as_ref().unwrap();
    assert_eq!(secret.name, secret_name(&detail.marks.key));
    assert_eq!(secret.variables.keys().collect::<Vec<_>>(), ["DSN", "PREFECT_API_KEY"]);
    assert_eq!(secret.labels["app.kubernetes.io/managed-by"], "prefect");
    assert_eq!(secret.labels["worker.prefect.io/owner"], "here-0a1b2c3d");
    assert_eq!(container(&detail)["env"][0]["valueFrom"]["secretKeyRef"]["name"], secret.name);
    assert_eq!(detail.warnings.len(), 1, "the command: {:?}", detail.warnings);
    for secret in ["from-a-block", "pnu_0123456789"] {
        assert!(!plan.shown.to_string().contains(secret), "{}", plan.shown);
        assert!(!format!("{plan:?}").contains(secret));
    }
    assert_eq!(plan.shown["secret"]["variables"], json!(["DSN", "PREFECT_API_KEY"]));

    let plain = KubernetesSettings { secrets: Secrets::Environment, ..settings() };
    let plan = make(&plain, IMAGE, &spec).unwrap();
    assert!(!plan.shown.to_string().contains("pnu_0123456789"), "{}", plan.shown);
    assert!(KubernetesPlan::of(&plan).unwrap().secret.is_none());
}

#[test]
fn c107_the_whole_environment_is_taken_from_the_secret_besides_what_is_there() {
    let all = KubernetesSettings { store_env_as_secret: true, ..settings() };
    let mut pool = default_pool();
    let theirs = json!({"configMapRef": {"name": "theirs"}});
    manifest_of(&mut pool)["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([theirs]);
    let plan = planned_by(&all, &spec_of(&pool, json!({})));
    let secret = plan.secret.as_ref().unwrap();
    assert_eq!(container(&plan)["envFrom"], json!([theirs, {"secretRef": {"name": secret.name}}]));
    assert_eq!(container(&plan)["env"], json!([]));
    assert_eq!(secret.variables["PREFECT_HOME"], "/root/.prefect");
}

#[test]
fn texts_of_the_cluster_block_tell_something_only_if_they_are_long() {
    let cluster = json!({"config": {"name": "prefect-job", "token": "0123456789abcdef"}, "context_name": "prefect"});
    let variables = json!({"cluster_config": cluster, "env": {"A": "prefect-job", "B": "0123456789abcdef"}});
    let mut spec = spec_of(&default_pool(), variables);
    spec.block_texts = ["prefect-job", "prefect", "0123456789abcdef"].map(str::to_owned).into();
    let plan = make(&settings(), IMAGE, &spec).unwrap();
    assert!(!plan.shown.to_string().contains("0123456789abcdef"));
    assert_eq!(plan.shown["cluster_context"], "prefect");
    let plan = KubernetesPlan::of(&plan).unwrap();
    assert_eq!(plan.secret.unwrap().variables.keys().collect::<Vec<_>>(), ["B", "PREFECT_API_KEY"]);
    assert!(plan.warnings.is_empty(), "{:?}", plan.warnings);
    assert_eq!(plan.cluster.unwrap().context_name, "prefect");
}

#[test]
fn the_namespace_of_the_manifest_counts_unless_the_variable_says_another() {
    let mut pool = default_pool();
    manifest_of(&mut pool)["metadata"]["namespace"] = json!("reports");
    let plan = planned(&spec_of(&pool, json!({})));
    assert_eq!((plan.namespace.as_str(), &plan.job["metadata"]["namespace"]), ("reports", &json!("reports")));
    assert_eq!(planned(&spec_of(&pool, json!({"namespace": "reports"}))).namespace, "reports");
    let error = make(&settings(), IMAGE, &spec_of(&pool, json!({"namespace": "other"}))).unwrap_err();
    assert!(matches!(error, PlanError::Namespaces { .. }), "{error}");
}

#[test]
fn more_than_one_pod_for_a_run_is_warned_of() {
    let mut pool = default_pool();
    manifest_of(&mut pool)["spec"]["completions"] = json!(2);
    assert_eq!(planned(&spec_of(&pool, json!({}))).warnings.len(), 1);
}

#[test]
fn text_of_a_block_in_the_manifest_is_warned_of_unless_every_job_has_it() {
    for (variables, text, warnings) in [
        (json!({"annotations": {"a": "x hunter22"}}), "hunter22", 1),
        (json!({"service_account_name": "hunter22"}), "hunter22", 1),
        (json!({"labels": {"a": "hunter22"}}), "hunter22", 1),
        (json!({"env": {"A": "hunter22"}}), "hunter22", 0),
        (json!({}), "prefect", 0),
        (json!({"annotations": {"a": "x"}}), "x", 0),
    ] {
        let mut spec = spec_of(&default_pool(), variables.clone());
        spec.block_texts = [text.to_owned()].into();
        assert_eq!(planned(&spec).warnings.len(), warnings, "{variables}");
        let plain = KubernetesSettings { secrets: Secrets::Environment, ..settings() };
        assert!(!make(&plain, IMAGE, &spec).unwrap().shown.to_string().contains("hunter22"), "{variables}");
    }
}
