//! Where the values of a job configuration come from.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Origin, Sources, sources};
use crate::template::Reference;

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("not an object: {value}") };
    object
}

fn of(template: &Value, deployment: Value, flow_run: Value) -> Sources {
    let worker_env = BTreeMap::from([("REGION".to_owned(), "eu".to_owned())]);
    sources(template, &object(deployment), &object(flow_run), &["cleanup"], &worker_env).unwrap()
}

fn template() -> Value {
    json!({
        "job_configuration": {
            "command": "{{ command }}", "env": "{{ env }}", "image": "{{ image }}:{{ tag }}", "region": "{{ $REGION }}",
            "fixed": 1, "token": "{{ prefect.blocks.secret.tok }}", "limits": {"memory": "{{ memory }}", "cpu": 2},
        },
        "variables": {"properties": {
            "command": {"default": null}, "image": {"default": "base"}, "memory": {"default": 512},
            "env": {"default": {"A": "pool", "B": "pool"}},
        }},
    })
}

#[test]
fn each_value_is_that_of_the_highest_level_which_says_it() {
    let found = of(&template(), json!({"memory": 1024, "command": "a"}), json!({"command": "b"}));
    assert_eq!(found.of(&["command"]), [Origin::FlowRun]);
    assert_eq!(found.of(&["limits", "memory"]), [Origin::Deployment]);
    assert_eq!(found.of(&["limits", "cpu"]), [Origin::Template]);
    assert_eq!(found.of(&["fixed"]), [Origin::Template]);
    let defaults = of(&template(), json!({}), json!({}));
    assert_eq!(defaults.of(&["limits", "memory"]), [Origin::PoolDefault]);
    assert_eq!(defaults.of(&["command"]), [], "there is no command");
}

#[test]
fn the_entries_of_env_are_told_apart() {
    let found = of(&template(), json!({"env": {"B": "deployment", "C": "deployment"}}), json!({"env.D": "run"}));
    let expected =
        [("A", Origin::PoolDefault), ("B", Origin::Deployment), ("C", Origin::Deployment), ("D", Origin::FlowRun)];
    for (name, origin) in expected {
        assert_eq!(found.of(&["env", name]), [origin], "{name}");
    }
    let mut hard_coded = template();
    hard_coded["job_configuration"]["env"] = json!({"A": "x", "Z": "z"});
    let found = of(&hard_coded, json!({}), json!({"env": {"Z": "run"}}));
    assert_eq!(found.of(&["env", "Z"]), [Origin::FlowRun]);
    assert_eq!(found.of(&["env", "A"]), [Origin::PoolDefault]);
}

#[test]
fn a_text_that_is_put_together_is_from_everywhere_its_parts_are_from() {
    let found = of(&template(), json!({}), json!({"tag": "{{ prefect.variables.tag }}"}));
    let variable = Origin::Reference(Reference::Variable("tag".to_owned()));
    assert_eq!(found.of(&["image"]), [Origin::Template, Origin::PoolDefault, Origin::FlowRun, variable]);
    assert_eq!(found.of(&["region"]), [Origin::Template, Origin::Environment("REGION".to_owned())]);
}

#[test]
fn what_comes_out_of_a_block_names_the_block() {
    let block = Origin::Reference(Reference::Block { type_slug: "secret".to_owned(), name: "tok".to_owned() });
    let found = of(&template(), json!({"env": {"T": "{{ prefect.blocks.secret.tok }}"}}), json!({}));
    assert_eq!(found.of(&["token"]), [Origin::Template, block.clone()]);
    assert_eq!(found.of(&["env", "T"]), [Origin::Deployment, block]);
}

#[test]
fn variables_of_ours_work_in_templates_that_do_not_know_them() {
    let found = of(&template(), json!({"cleanup": "keep"}), json!({}));
    assert_eq!(found.of(&["cleanup"]), [Origin::Deployment]);
}

#[test]
fn a_path_into_a_whole_has_its_source_and_a_path_above_has_all() {
    let found = of(&template(), json!({"memory": [1, 2]}), json!({}));
    assert_eq!(found.of(&["limits", "memory", "0"]), [Origin::Deployment]);
    assert_eq!(found.of(&["limits"]), [Origin::Deployment, Origin::Template]);
    assert_eq!(found.of(&["nothing"]), []);
}
