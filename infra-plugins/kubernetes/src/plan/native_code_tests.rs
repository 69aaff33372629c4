//! Code that an init container brings.

use super::tests::{
    IMAGE, container, default_pool, manifest_of, planned_by, pod, settings, snapshot, spec_of, variable,
};
use super::*;

const FLOW_ENTRYPOINT: &str = "PREFECT__FLOW_ENTRYPOINT";

fn with_image() -> KubernetesSettings {
    KubernetesSettings { init_image: Some("init:1".to_owned()), ..settings() }
}

/// A run whose code the worker knows how to bring.
fn spec(pool: &Value, mut variables: Value) -> RunSpec {
    variables["native_code"] = true.into();
    RunSpec { entrypoint: Some("flows/a.py:main".to_owned()), ..spec_of(pool, variables) }
}

#[test]
fn an_init_container_brings_the_code_and_the_engine_loads_it() {
    let plan = make(&with_image(), IMAGE, &spec(&default_pool(), json!({}))).unwrap();
    snapshot("native_code", &plan);
    let plan = KubernetesPlan::of(&plan).unwrap();
    assert!(!plan.marks.cancels_itself);
    assert_eq!(container(&plan)["args"], json!(["python", "-m", "prefect.engine"]));
    assert_eq!(pod(&plan)["initContainers"][0]["env"], container(&plan)["env"], "no secret is in plain there either");
}

#[test]
fn what_a_pool_has_of_its_own_stays_beside_it() {
    let mut pool = default_pool();
    let of_pool = &mut manifest_of(&mut pool)["spec"]["template"]["spec"];
    of_pool["initContainers"] = json!([{"name": "theirs", "image": "x"}]);
    of_pool["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
    of_pool["containers"][0]["volumeMounts"] = json!([{"name": "data", "mountPath": "/data"}]);
    of_pool["containers"][0]["securityContext"] = json!({"runAsUser": 1000});
    let all = KubernetesSettings { store_env_as_secret: true, ..with_image() };
    let plan = planned_by(&all, &spec(&pool, json!({"cpu_limit": "1"})));
    let names = |list: &Value| -> Vec<String> {
        list.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&pod(&plan)["initContainers"]), ["worker-pull", "theirs"]);
    assert_eq!(names(&pod(&plan)["volumes"]), ["data", "worker-code"]);
    assert_eq!(names(&container(&plan)["volumeMounts"]), ["data", "worker-code"]);
    for shared in ["envFrom", "resources", "securityContext"] {
        assert_eq!(pod(&plan)["initContainers"][0][shared], container(&plan)[shared], "{shared}");
    }

    manifest_of(&mut pool)["spec"]["template"]["spec"]["initContainers"] = json!("x");
    let error = make(&with_image(), IMAGE, &spec(&pool, json!({}))).unwrap_err().to_string();
    assert!(error.contains("/spec/template/spec/initContainers"), "{error}");
}

#[test]
fn a_command_of_the_users_own_is_kept_and_finds_the_code() {
    let plan = planned_by(&with_image(), &spec(&default_pool(), json!({"command": "prefect flow-run execute"})));
    assert_eq!(container(&plan)["args"], json!(["prefect", "flow-run", "execute"]));
    assert_eq!(container(&plan)["workingDir"], "/opt/prefect/worker-code/code");
    assert!(variable(&plan, FLOW_ENTRYPOINT).is_empty());
    assert!(plan.marks.cancels_itself);
}

#[test]
fn code_that_the_worker_cannot_bring_is_left_to_the_flows_container() {
    let left = RunSpec { entrypoint: None, ..spec(&default_pool(), json!({})) };
    let plan = planned_by(&with_image(), &left);
    assert_eq!(container(&plan)["args"], json!(["prefect", "flow-run", "execute"]));
    assert_eq!((pod(&plan).get("initContainers"), pod(&plan).get("volumes")), (None, None));
    assert!(plan.warnings.iter().any(|warning| warning.starts_with("`native_code`")), "{:?}", plan.warnings);
}

#[test]
fn it_needs_an_image_and_only_where_it_is_wanted() {
    let error = make(&settings(), IMAGE, &spec(&default_pool(), json!({}))).err().unwrap();
    assert!(matches!(error, PlanError::InitImage) && error.hint().is_some(), "{error}");
    let unwanted = planned_by(&with_image(), &spec_of(&default_pool(), json!({"native_code": false})));
    assert_eq!(pod(&unwanted).get("initContainers"), None);
}
