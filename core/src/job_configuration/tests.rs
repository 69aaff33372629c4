use std::collections::BTreeMap;
use std::error::Error as _;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::ids::{DeploymentId, FlowId, RunId, WorkPoolId, WorkerId};
use crate::spec::ReportState;
use crate::template::{MAX_DEPTH, Reference};
use uuid::Uuid;

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("not an object: {value}") };
    object
}

fn worker_env() -> BTreeMap<String, String> {
    BTreeMap::from([("EV".to_owned(), "envval".to_owned())])
}

/// The shape of the process kind's template, with these pool defaults.
fn pool(defaults: Value) -> Value {
    let properties = object(defaults).into_iter().map(|(name, default)| (name, json!({"default": default})));
    json!({
        "job_configuration": {
            "command": "{{ command }}", "env": "{{ env }}", "labels": "{{ labels }}", "name": "{{ name }}",
            "stream_output": "{{ stream_output }}", "working_dir": "{{ working_dir }}",
        },
        "variables": {"type": "object", "properties": Value::Object(properties.collect())},
    })
}

fn pool_with_env(env: Value, defaults: Value) -> Value {
    let mut template = pool(defaults);
    template["job_configuration"]["env"] = env;
    template
}

fn draft(template: &Value, deployment: Value, flow_run: Value) -> Result<Draft, JobConfigurationError> {
    resolve(template, &object(deployment), &object(flow_run), &[], &worker_env())
}

/// Resolves with a server that has the variable `vv` and the block `secret/tok`.
fn configuration(
    template: &Value,
    deployment: Value,
    flow_run: Value,
) -> Result<JobConfiguration, JobConfigurationError> {
    let mut draft = draft(template, deployment, flow_run)?;
    while let Some(reference) = draft.pending().first().cloned() {
        let data = match &reference {
            Reference::Variable(name) if name == "vv" => Some(json!({"a": [1, 2]})),
            Reference::Variable(name) if name == "kind" => Some(json!("worker")),
            Reference::Block { type_slug, name } if type_slug == "secret" && name == "tok" => {
                Some(json!({"value": "hush"}))
            }
            Reference::Block { .. } | Reference::BlockById(_) | Reference::Variable(_) => None,
        };
        draft.provide(&reference, data)?;
    }
    draft.finish()
}

fn env_of(template: &Value, deployment: Value, flow_run: Value) -> Value {
    json!(configuration(template, deployment, flow_run).unwrap().env)
}

fn message(template: &Value, deployment: Value) -> String {
    let error = configuration(template, deployment, json!({})).unwrap_err();
    assert!(!error.hint().is_empty());
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

#[test]
fn c066_flow_run_variables_win_over_the_deployments_and_those_over_pool_defaults() {
    let pool =
        pool(json!({"command": "pool", "name": "pool", "working_dir": "pool", "labels": {"of": "pool", "p": "p"}}));
    let job = configuration(
        &pool,
        json!({"name": "deployment", "working_dir": "deployment", "labels": {"of": "deployment"}, "unknown": 1}),
        json!({"working_dir": "run"}),
    )
    .unwrap();
    assert_eq!(job.command.as_deref(), Some("pool"));
    assert_eq!(job.name.as_deref(), Some("deployment"));
    assert_eq!(job.fields, object(json!({"working_dir": "run"})));
    assert_eq!(json!(job.labels), json!({"of": "deployment"}), "objects other than env are replaced as a whole");
}

#[test]
fn c067_env_is_merged_by_name_over_all_levels() {
    for (template, deployment, flow_run, expected) in [
        (
            pool(json!({"env": {"A": "pool", "B": "pool"}})),
            json!({"env": {"A": "dep"}}),
            json!({}),
            json!({"A": "dep", "B": "pool"}),
        ),
        (
            pool_with_env(json!({"HARD": "{{ $EV }}", "A": "hard"}), json!({"env": {"A": "pool"}})),
            json!({"env": {"Z": 1, "N": null}}),
            json!({}),
            json!({"HARD": "envval", "A": "pool", "Z": "1", "N": null}),
        ),
        (
            pool(json!({"env": {"A": "pool"}})),
            json!({"env": {"A": "dep", "B": "dep"}}),
            json!({"env": {"B": "run", "C": "run"}}),
            json!({"A": "dep", "B": "run", "C": "run"}),
        ),
        (pool(json!({})), json!({}), json!({"env": {"C": "run"}}), json!({"C": "run"})),
        (pool(json!({"env": {"A": "pool"}})), json!({"env": null}), json!({}), json!({"A": "pool"})),
        (pool(json!({})), json!({"env": null}), json!({}), json!({})),
        (pool(json!({})), json!({"env": {"A": "dep"}}), json!({"env": null}), json!({"A": "dep"})),
    ] {
        assert_eq!(env_of(&template, deployment.clone(), flow_run), expected, "{template} {deployment}");
    }
}

#[test]
fn c068_dotted_keys_expand_and_nested_ones_win() {
    let hard = pool_with_env(json!({"HARD": "h"}), json!({}));
    assert_eq!(
        env_of(&hard, json!({"env.X": "dot", "env": {"Y": "y"}}), json!({})),
        json!({"HARD": "h", "X": "dot", "Y": "y"})
    );
    assert_eq!(
        env_of(&hard, json!({"env": {"X": "nested"}, "env.X": "dot"}), json!({})),
        json!({"HARD": "h", "X": "nested"})
    );
    assert_eq!(env_of(&hard, json!({"env": {"X": "deployment"}}), json!({"env.X": "run"}))["X"], "deployment");

    let mut template = pool(json!({}));
    template["job_configuration"]["deep"] = json!("{{ deep }}");
    let job =
        configuration(&template, json!({"deep[a].b": 1, "deep": {"a": {"c": 2}}, "deep.x": 3}), json!({})).unwrap();
    assert_eq!(job.fields["deep"], json!({"a": {"b": 1, "c": 2}, "x": 3}));
    let job = configuration(&template, json!({"deep.a": 1, "deep": "text"}), json!({})).unwrap();
    assert_eq!(job.fields["deep"], "text");

    assert_eq!(
        message(&template, json!({"deep.a": 1, "deep.a.b": 2})),
        "job variable `deep.a.b`: `a` is already set to something that is not an object"
    );
}

fn ids() -> (RunId, FlowId, DeploymentId, WorkPoolId, WorkerId) {
    let id = Uuid::from_u128;
    (RunId(id(1)), FlowId(id(2)), DeploymentId(id(3)), WorkPoolId(id(4)), WorkerId(id(5)))
}

fn prepared_by(template: &Value, deployment: Value, worker_id: Option<WorkerId>, has_deployment: bool) -> PreparedJob {
    let (run, flow, deployment_id, work_pool, _) = ids();
    let base_environment = BTreeMap::from([
        ("PREFECT_API_URL".to_owned(), "http://api".to_owned()),
        ("PREFECT_LOGGING_LEVEL".to_owned(), "INFO".to_owned()),
    ]);
    let updated = has_deployment.then(|| "2026-01-02T03:04:05.006007+01:00".parse().unwrap());
    configuration(template, deployment, json!({}))
        .unwrap()
        .prepare_for_flow_run(&PreparationContext {
            base_environment: &base_environment,
            worker_env: &worker_env(),
            client_version: "3.8.0",
            worker_name: "w",
            worker_id,
            work_pool: WorkPoolContext { id: work_pool, name: "pool" },
            flow_run: FlowRunContext {
                id: run,
                name: "cute-crab",
                json: &json!({"name": "cute-crab", "run_count": 2}),
            },
            flow: FlowContext { id: flow, name: "f", json: &json!({"name": "f"}) },
            deployment: has_deployment.then_some(DeploymentContext { id: deployment_id, name: "d", updated }),
        })
        .unwrap()
}

fn prepared(deployment: Value) -> PreparedJob {
    prepared_by(&pool(json!({})), deployment, None, true)
}

#[test]
fn c074_null_in_env_removes_a_variable_of_the_worker() {
    let env = prepared(json!({"env": {"PREFECT_LOGGING_LEVEL": null, "NOT_THERE": null, "KEPT": ""}})).env;
    assert_eq!(env.get("PREFECT_LOGGING_LEVEL"), None);
    assert_eq!(env.get("NOT_THERE"), None);
    assert_eq!(env["KEPT"], "");
    assert_eq!(env["PREFECT_API_URL"], "http://api");
}

#[test]
fn c075_environment_holds_worker_settings_run_id_and_attribution() {
    let (run, flow, deployment, _, worker) = ids();
    let job = prepared_by(
        &pool(json!({})),
        json!({"env": {"PREFECT_LOGGING_LEVEL": "DEBUG", "MINE": 1}}),
        Some(worker),
        true,
    );
    let expected = json!({
        "MINE": "1",
        "PREFECT_API_URL": "http://api",
        "PREFECT_LOGGING_LEVEL": "DEBUG",
        "PREFECT__DEPLOYMENT_ID": deployment.to_string(),
        "PREFECT__DEPLOYMENT_NAME": "d",
        "PREFECT__FLOW_ID": flow.to_string(),
        "PREFECT__FLOW_NAME": "f",
        "PREFECT__FLOW_RUN_ID": run.to_string(),
        "PREFECT__WORKER_ID": worker.to_string(),
        "PREFECT__WORKER_NAME": "w",
    });
    assert_eq!(json!(job.env), expected);

    let bare = prepared_by(&pool(json!({})), json!({}), None, false).env;
    for absent in [environment::WORKER_ID, environment::DEPLOYMENT_ID, environment::DEPLOYMENT_NAME] {
        assert_eq!(bare.get(absent), None);
    }
}

#[test]
fn c076_labels_name_run_flow_deployment_pool_and_worker_and_users_labels_win() {
    let (run, flow, deployment, work_pool, _) = ids();
    let labels = prepared(json!({"labels": {"mine": "yes", "prefect.io/worker-name": "overridden"}})).labels;
    let expected = json!({
        "mine": "yes",
        "prefect.io/deployment-id": deployment.to_string(),
        "prefect.io/deployment-name": "d",
        "prefect.io/deployment-updated": "2026-01-02T02:04:05.006007+00:00",
        "prefect.io/flow-id": flow.to_string(),
        "prefect.io/flow-name": "f",
        "prefect.io/flow-run-id": run.to_string(),
        "prefect.io/flow-run-name": "cute-crab",
        "prefect.io/version": "3.8.0",
        "prefect.io/work-pool-id": work_pool.to_string(),
        "prefect.io/work-pool-name": "pool",
        "prefect.io/worker-name": "overridden",
    });
    assert_eq!(json!(labels), expected);

    let without_deployment = prepared_by(&pool(json!({})), json!({}), None, false).labels;
    assert!(!without_deployment.keys().any(|label| label.starts_with("prefect.io/deployment")));
}

#[test]
fn c077_empty_command_is_unset() {
    assert_eq!(prepared(json!({"command": ""})).command, None);
    assert_eq!(prepared(json!({"command": null})).command, None);
    assert_eq!(prepared(json!({})).command, None);
    assert_eq!(prepared(json!({"command": "echo hi"})).command.as_deref(), Some("echo hi"));
}

#[test]
fn c078_names_are_rendered_from_the_run_and_default_to_its_name() {
    for (name, expected) in [
        (json!(null), "cute-crab"),
        (json!(""), "cute-crab"),
        (json!("job"), "job"),
        (json!("{{ ctx.flow_run.name }}-x"), "cute-crab-x"),
        (json!("{{ ctx.flow.name }}/{{ ctx.flow_run.run_count }}"), "f/2"),
        (json!("{{ ctx.flow_run.run_count }}"), "2"),
        (json!("{{ ctx.flow.nothing }}"), "cute-crab"),
        (json!("a{{ ctx.flow.nothing }}b"), "ab"),
        (json!("on-{{ $EV }}"), "on-envval"),
    ] {
        assert_eq!(prepared(json!({"name": name})).name, expected, "{name}");
    }
    assert_eq!(prepared(json!({})).name, "cute-crab");

    let mut written_into_the_pool = pool(json!({}));
    written_into_the_pool["job_configuration"]["name"] = json!("pre-{{ ctx.flow_run.name }}");
    assert_eq!(prepared_by(&written_into_the_pool, json!({}), None, true).name, "pre-");
}

#[test]
fn c079_inputs_are_not_changed() {
    let template = pool_with_env(json!({"HARD": "h"}), json!({"env": {"P": "p"}}));
    let deployment = object(json!({"env": {"D": "d"}, "env.X": "x", "labels": {"l": "l"}}));
    let flow_run = object(json!({"env": {"R": "r"}, "name": "{{ ctx.flow.name }}"}));
    let before = (template.clone(), deployment.clone(), flow_run.clone());
    let first = resolve(&template, &deployment, &flow_run, &[], &worker_env()).unwrap().finish().unwrap();
    assert_eq!((template.clone(), deployment.clone(), flow_run.clone()), before);
    let second = resolve(&template, &deployment, &flow_run, &[], &worker_env()).unwrap().finish().unwrap();
    assert_eq!(first, second, "a second run of the pool gets the same");
}

#[test]
fn blocks_and_variables_in_job_variables_are_resolved() {
    let pool = pool(json!({}));
    assert_eq!(
        env_of(&pool, json!({"env": {"V": "{{ prefect.variables.vv }}"}}), json!({})),
        json!({"V": "{'a': [1, 2]}"})
    );
    assert_eq!(
        env_of(
            &pool,
            json!({"env": {"V": "{{ prefect.variables.vv.a }}", "T": "t-{{ prefect.blocks.secret.tok }}"}}),
            json!({})
        ),
        json!({"V": "", "T": "t-hush"})
    );
    assert_eq!(
        message(&pool, json!({"env": {"T": "{{ prefect.blocks.secret.gone }}"}})),
        "the job configuration's placeholders cannot be filled in: in `env.T`: block `gone` of type `secret` does not exist"
    );
}

#[test]
fn env_values_become_text_and_other_fields_do_not() {
    let pool = pool(json!({}));
    assert_eq!(
        env_of(&pool, json!({"env": {"I": 1, "F": 1.0, "B": true, "L": ["a"], "N": null}}), json!({})),
        json!({"I": "1", "F": "1.0", "B": "True", "L": "['a']", "N": null})
    );
    for (variables, expected) in [
        (json!({"labels": {"a": 1}}), "job configuration field `labels.a` must be a string, found a number"),
        (json!({"labels": ["a"]}), "job configuration field `labels` must be an object, found a list"),
        (json!({"env": "text"}), "job configuration field `env` must be an object, found a string"),
        (json!({"command": 1}), "job configuration field `command` must be a string, found a number"),
        (json!({"name": true}), "job configuration field `name` must be a string, found a boolean"),
    ] {
        assert_eq!(message(&pool, variables), expected);
    }
}

#[test]
fn c103_env_as_a_list_gives_its_plain_entries_and_keeps_those_with_a_source() {
    let secret = json!({"name": "PREFECT_LOGGING_LEVEL", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    let list = json!([{"name": "A", "value": 1}, secret, {"name": "B"}, {"name": "PREFECT_API_URL", "value": null}]);
    let job = prepared(json!({"env": list}));
    assert_eq!(job.env_from, [secret]);
    assert_eq!(job.env["A"], "1");
    for absent in ["B", "PREFECT_API_URL", "PREFECT_LOGGING_LEVEL"] {
        assert_eq!(job.env.get(absent), None, "{absent}");
    }
    assert!(job.configured_env.contains("PREFECT_LOGGING_LEVEL"));
    assert_eq!(
        message(&pool(json!({})), json!({"env": ["A=1"]})),
        "job configuration field `env[0]` must be an object with a `name`, found a string"
    );
}

#[test]
fn env_that_is_no_object_is_named_by_its_level() {
    let hard = pool_with_env(json!({"HARD": "h"}), json!({}));
    assert_eq!(message(&hard, json!({"env": "text"})), "job variable `env` must be an object, found a string");
    let bad_default = pool_with_env(json!({"HARD": "h"}), json!({"env": ["A"]}));
    assert_eq!(message(&bad_default, json!({})), "the work pool's default `env` must be an object, found a list");
    let error = configuration(&hard, json!({"env": {}}), json!({"env": "text"})).unwrap_err();
    assert_eq!(error.to_string(), "the flow run's job variable `env` must be an object, found a string");
}

#[test]
fn malformed_templates_are_explained() {
    for (template, expected) in [
        (json!(null), "the work pool's base job template: `job_configuration` must be an object, found nothing"),
        (json!({}), "the work pool's base job template: `job_configuration` must be an object, found nothing"),
        (
            json!({"job_configuration": [], "variables": {}}),
            "the work pool's base job template: `job_configuration` must be an object, found a list",
        ),
        (
            json!({"job_configuration": {}}),
            "the work pool's base job template: `variables` must be an object, found nothing",
        ),
        (
            json!({"job_configuration": {}, "variables": {"properties": "x"}}),
            "the work pool's base job template: `variables.properties` must be an object, found a string",
        ),
    ] {
        assert_eq!(message(&template, json!({})), expected);
    }
    let no_properties = json!({"job_configuration": {"name": "n"}, "variables": {}});
    assert_eq!(configuration(&no_properties, json!({}), json!({})).unwrap().name.as_deref(), Some("n"));
}

#[test]
fn nesting_without_end_is_an_error() {
    let dotted = vec!["a"; MAX_DEPTH + 1].join(".");
    let error = draft(&pool(json!({})), json!({dotted.clone(): 1}), json!({})).unwrap_err();
    assert_eq!(error, JobConfigurationError::VariableTooDeep { key: dotted });

    let deep = (0..1_000).fold(json!(1), |inner, _| Value::Array(vec![inner]));
    let variables = Map::from_iter([("deep".to_owned(), deep.clone())]);
    let error = resolve(&pool(json!({})), &Map::new(), &variables, &[], &worker_env()).unwrap_err();
    assert_eq!(error, JobConfigurationError::VariableTooDeep { key: "deep".to_owned() });
    assert!(matches!(draft(&deep, json!({}), json!({})), Err(JobConfigurationError::Template(_))));
}

#[test]
fn report_state_is_read_with_and_without_a_field_in_the_template() {
    let with_field = |value: &str| {
        let mut template = pool(json!({}));
        template["job_configuration"]["report_state"] = json!(value);
        template
    };
    for (template, variables, expected) in [
        (pool(json!({})), json!({}), ReportState::Engine),
        (pool(json!({})), json!({"report_state": null}), ReportState::Engine),
        (pool(json!({})), json!({"report_state": "engine"}), ReportState::Engine),
        (pool(json!({})), json!({"report_state": "worker"}), ReportState::Worker),
        (pool(json!({})), json!({"report_state": "{{ prefect.variables.kind }}"}), ReportState::Worker),
        (pool(json!({"report_state": "worker"})), json!({}), ReportState::Worker),
        (with_field("{{ report_state }}"), json!({}), ReportState::Engine),
        (with_field("{{ report_state }}"), json!({"report_state": "worker"}), ReportState::Worker),
        (with_field("worker"), json!({"report_state": "engine"}), ReportState::Worker),
    ] {
        let job = configuration(&template, variables.clone(), json!({})).unwrap();
        assert_eq!(job.report_state, expected, "{variables}");
        assert_eq!(job.fields.get("report_state"), None);
    }
    assert_eq!(
        message(&pool(json!({})), json!({"report_state": true})),
        "job configuration field `report_state` must be `engine` or `worker`, found a boolean"
    );
    assert!(configuration(&pool(json!({})), json!({"report_state": "nobody"}), json!({})).is_err());
}

#[test]
fn fields_are_read_leniently() {
    let fields = object(json!({
        "no": "no", "On": "On", "one": 1, "half": 0.5, "two": 2, "null": null, "ten": "10", "spaced": " -1_000 ",
        "tenth": "10.0", "point": "1.5", "whole": 3.0, "yes": true, "text": "txt", "empty": "", "list": [],
    }));
    let bools = ["no", "On", "one", "yes"].map(|field| lenient::bool(&fields, field).unwrap());
    assert_eq!(bools, [Some(false), Some(true), Some(true), Some(true)]);
    let ints =
        ["one", "two", "ten", "spaced", "tenth", "whole", "yes"].map(|field| lenient::int(&fields, field).unwrap());
    assert_eq!(ints, [Some(1), Some(2), Some(10), Some(-1000), Some(10), Some(3), Some(1)]);
    assert_eq!(lenient::string(&fields, "text").unwrap().as_deref(), Some("txt"));
    assert_eq!(lenient::path(&fields, "text").unwrap().unwrap(), "txt");
    assert_eq!(lenient::path(&fields, "empty").unwrap().unwrap(), ".");
    for absent in ["null", "absent"] {
        assert_eq!(lenient::bool(&fields, absent).unwrap(), None);
        assert_eq!(lenient::string_map(&fields, absent).unwrap(), None);
    }
    for wrong in ["two", "half", "text", "empty", "list"] {
        assert!(lenient::bool(&fields, wrong).is_err(), "{wrong}");
    }
    for wrong in ["half", "text", "empty", "point", "list"] {
        assert!(lenient::int(&fields, wrong).is_err(), "{wrong}");
    }
    for wrong in ["one", "yes", "list"] {
        assert!(lenient::string(&fields, wrong).is_err(), "{wrong}");
    }
}

#[test]
fn debug_output_and_errors_hold_no_values() {
    let variables = json!({"env": {"TOKEN": "hush"}, "command": "run hush", "working_dir": "/hush"});
    let job = configuration(&pool(json!({})), variables.clone(), json!({})).unwrap();
    assert!(!format!("{job:?}").contains("hush"));
    assert!(!format!("{:?}", prepared(variables)).contains("hush"));
    let fields = object(json!({"stream_output": "hush", "labels": {"a": ["hush"]}}));
    assert!(!format!("{:?}", lenient::bool(&fields, "stream_output").unwrap_err()).contains("hush"));
    assert!(!format!("{:?}", lenient::string_map(&fields, "labels").unwrap_err()).contains("hush"));
}

fn any_job_variables() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!(null)),
        Just(json!(true)),
        any::<i32>().prop_map(Value::from),
        "[a-c]{0,2}".prop_map(Value::from),
        "\\{\\{ \\$?(env|name|a)(\\.[a-c0])? \\}\\}".prop_map(Value::from),
    ];
    let key = || prop_oneof!["(env|labels|name|command|a)", "(env|a)\\.[a-c]", "(env|a)\\[0\\]\\.[a-c]"];
    let value = leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            proptest::collection::btree_map(key(), inner, 0..3).prop_map(|entries| entries.into_iter().collect()),
        ]
    });
    proptest::collection::btree_map(key(), value, 0..4).prop_map(|entries| entries.into_iter().collect())
}

proptest! {
    #[test]
    fn any_job_variables_give_a_configuration_or_an_error(
        configuration in any_job_variables(), defaults in any_job_variables(),
        deployment in any_job_variables(), flow_run in any_job_variables(),
    ) {
        let mut template = pool(defaults);
        for (field, value) in object(configuration) {
            template["job_configuration"][field] = value;
        }
        let before = template.clone();
        if let Ok(draft) = draft(&template, deployment, flow_run) {
            drop(draft.finish());
        }
        prop_assert_eq!(template, before);
    }
}
