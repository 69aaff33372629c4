use serde_json::{Map, Value, json};

use super::{DeploymentCode, EngineReason, FileEntrypoint, GitClone, NativePull, PullPlan, Revision, StepAction, plan};

const ENTRYPOINT: &str = "flows/hello.py:hello";

fn code(pull_steps: &Value) -> DeploymentCode<'_> {
    DeploymentCode {
        pull_steps: Some(pull_steps),
        entrypoint: Some(ENTRYPOINT),
        has_storage_block: false,
        shares_file_system: true,
    }
}

fn native(steps: &Value) -> NativePull {
    match plan(&code(steps)) {
        PullPlan::Native(pull) => pull,
        PullPlan::Engine { reason } => panic!("left to the engine: {reason}"),
    }
}

fn reason_for(code: &DeploymentCode<'_>) -> String {
    match plan(code) {
        PullPlan::Native(pull) => panic!("native: {pull:?}"),
        PullPlan::Engine { reason } => reason.to_string(),
    }
}

fn reason(steps: &Value) -> String {
    reason_for(&code(steps))
}

fn git_clone(inputs: Value) -> Value {
    only_step("git_clone", inputs)
}

fn set_working_directory(inputs: Value) -> Value {
    only_step("set_working_directory", inputs)
}

fn only_step(name: &str, inputs: Value) -> Value {
    let step = Map::from_iter([(format!("prefect.deployments.steps.{name}"), inputs)]);
    Value::Array(vec![Value::Object(step)])
}

/// The one clone of a plan.
fn clone_of(inputs: Value) -> GitClone {
    let mut steps = native(&git_clone(inputs)).steps;
    match steps.pop().map(|step| step.action) {
        Some(StepAction::GitClone(clone)) if steps.is_empty() => clone,
        other => panic!("{other:?} after {steps:?}"),
    }
}

#[test]
fn a_working_directory_and_a_file_entrypoint_are_native() {
    let pull = native(&set_working_directory(json!({"directory": "/srv/flows"})));
    assert_eq!(pull.entrypoint, FileEntrypoint { file: "flows/hello.py".into(), object: "hello".into() });
    let [step] = pull.steps.as_slice() else { panic!("{:?}", pull.steps) };
    assert_eq!(step.action, StepAction::SetWorkingDirectory("/srv/flows".into()));
    assert_eq!(
        serde_json::to_value(&step.record).unwrap(),
        json!({
            "index": 0,
            "qualified_name": "prefect.deployments.steps.set_working_directory",
            "step_name": "set_working_directory",
            "id": null,
            "inputs": {"directory": "/srv/flows"},
        })
    );
}

#[test]
fn every_input_of_a_clone_is_taken() {
    let clone = clone_of(json!({
        "id": "clone-step",
        "repository": "https://h.test/o/r.git",
        "branch": "feature/x",
        "commit_sha": null,
        "include_submodules": true,
        "access_token": null,
        "credentials": {},
        "directories": ["flows", "lib/a"],
        "clone_directory_name": "code",
        "requires": null,
    }));
    assert_eq!(clone.repository.as_str(), "https://h.test/o/r.git");
    assert_eq!(clone.revision, Revision::Branch("feature/x".into()));
    assert!(clone.include_submodules);
    assert_eq!(clone.directories, ["flows", "lib/a"]);
    assert_eq!(clone.directory_name, "code");
    assert_eq!(
        clone_of(json!({"repository": "https://h.test/o/r", "commit_sha": "12ABcd"})).revision,
        Revision::Commit("12ABcd".into())
    );
}

#[test]
fn the_clones_directory_is_named_as_the_sdk_names_it() {
    for (repository, branch, name) in [
        ("https://h.test/o/repo.git", None, "repo"),
        ("https://h.test/o/repo", Some("feature/x/y"), "repo-feature-x-y"),
        ("http://h.test:8080/me.github.io", None, "mehub.io"),
        ("git://h.test/repo.git", None, "repo"),
        ("file:///srv/repo.git", None, "repo"),
        ("/srv/git/repo.git", Some("main"), "repo-main"),
        ("../repo", None, "repo"),
        ("repo", None, "repo"),
    ] {
        let clone = clone_of(json!({"repository": repository, "branch": branch}));
        assert_eq!(clone.directory_name, name, "{repository}");
    }
}

#[test]
fn the_directory_of_an_earlier_clone_is_filled_in() {
    let pull = native(&json!([
        {"prefect.deployments.steps.git_clone": {"id": "one", "repository": "https://h.test/o/first"}},
        {"prefect.deployments.steps.git_clone":
            {"id": "two", "repository": "https://h.test/o/r", "branch": "main", "directories": null}},
        {"prefect.deployments.steps.set_working_directory": {"directory": "{{ one.directory }}/x/{{two.directory}}"}},
    ]));
    let step = pull.steps.last().unwrap();
    assert_eq!(step.action, StepAction::SetWorkingDirectory("first/x/r-main".into()));
    assert_eq!(step.record.inputs["directory"], "{{ one.directory }}/x/{{two.directory}}", "kept for the event");
}

#[test]
fn placeholders_for_anything_else_are_the_sdks() {
    for directory in
        ["{{ HOME }}", "{{ prefect.variables.x }}", "{{ moved.directory }}", "{{ late.directory }}", "{{x}}"]
    {
        let steps = json!([
            {"prefect.deployments.steps.set_working_directory": {"id": "moved", "directory": "/srv"}},
            {"prefect.deployments.steps.set_working_directory": {"directory": directory}},
            {"prefect.deployments.steps.git_clone": {"id": "late", "repository": "https://h.test/o/r"}},
        ]);
        assert_eq!(
            reason(&steps),
            "the input `directory` of the step `set_working_directory` has a placeholder",
            "{directory}"
        );
    }
    assert_eq!(
        reason(&git_clone(json!({"repository": "https://h.test/o/r", "directories": ["a", "{{ b }}"]}))),
        "the input `directories` of the step `git_clone` has a placeholder"
    );
}

#[test]
fn an_id_taken_over_by_a_working_directory_is_not_filled_in_with_the_clone() {
    let steps = json!([
        {"prefect.deployments.steps.git_clone": {"id": "x", "repository": "https://h.test/o/r"}},
        {"prefect.deployments.steps.set_working_directory": {"id": "x", "directory": "r/flows"}},
        {"prefect.deployments.steps.set_working_directory": {"directory": "{{ x.directory }}"}},
    ]);
    assert_eq!(reason(&steps), "the input `directory` of the step `set_working_directory` has a placeholder");
}

#[test]
fn a_clone_that_needs_more_than_this_worker_does_is_the_sdks() {
    let unread = "the input `repository` of the step `git_clone` is not a URL";
    let repositories = [
        ("git@h.test:o/r.git", format!("{unread} or path that is read without logging in")),
        ("h.test:o/r", format!("{unread} or path that is read without logging in")),
        ("ext::sh -c true", format!("{unread} or path that is read without logging in")),
        ("ssh://git@h.test/o/r", format!("{unread} that is read without logging in")),
        ("ftp://h.test/o/r", format!("{unread} that is read without logging in")),
        ("https://", unread.to_owned()),
        (
            "https://me:s3cret@h.test/r",
            "the input `repository` of the step `git_clone` has a user in its URL".to_owned(),
        ),
        ("https://s3cret@h.test/r", "the input `repository` of the step `git_clone` has a user in its URL".to_owned()),
        (
            "https://h.test/r?token=s3cret",
            "the input `repository` of the step `git_clone` has more than a path in its URL".to_owned(),
        ),
        ("--upload-pack=x", "the input `repository` of the step `git_clone` starts with a dash".to_owned()),
        ("https://h.test/r\n", "the input `repository` of the step `git_clone` has control characters".to_owned()),
        ("", "the input `repository` of the step `git_clone` is missing".to_owned()),
    ];
    for (repository, expected) in repositories {
        assert_eq!(reason(&git_clone(json!({"repository": repository}))), expected, "{repository:?}");
    }
    for (input, value, expected) in [
        ("access_token", json!("s3cret"), "the step `git_clone` uses credentials"),
        ("credentials", json!({"token": "{{ s3cret }}"}), "the step `git_clone` uses credentials"),
        ("requires", json!("prefect-github"), "the step `git_clone` requires packages"),
        ("depth", json!(3), "the input `depth` of the step `git_clone` is unknown to this worker"),
        ("branch", json!(1.5), "the input `branch` of the step `git_clone` is not a text"),
        ("branch", json!("-x"), "the input `branch` of the step `git_clone` starts with a dash"),
        (
            "commit_sha",
            json!("main"),
            "the input `commit_sha` of the step `git_clone` is not 4 to 64 hexadecimal digits",
        ),
        (
            "commit_sha",
            json!("123"),
            "the input `commit_sha` of the step `git_clone` is not 4 to 64 hexadecimal digits",
        ),
        (
            "include_submodules",
            json!("yes"),
            "the input `include_submodules` of the step `git_clone` is neither true nor false",
        ),
        ("directories", json!("flows"), "the input `directories` of the step `git_clone` is not a list"),
    ] {
        assert_eq!(reason(&git_clone(json!({"repository": "https://h.test/r", input: value}))), expected);
    }
    assert_eq!(
        reason(&git_clone(json!({"repository": "https://h.test/r", "branch": "main", "commit_sha": "12345"}))),
        "the input `commit_sha` of the step `git_clone` is given together with a branch"
    );
}

#[test]
fn a_clone_never_leaves_the_working_directory() {
    for name in ["/srv/code", "../code", "..", ".", "a/b", "code/", "./code"] {
        assert_eq!(
            reason(&git_clone(json!({"repository": "https://h.test/r", "clone_directory_name": name}))),
            "the input `clone_directory_name` of the step `git_clone` is not a plain name",
            "{name}"
        );
    }
    for repository in ["https://h.test", "https://h.test/r/", "https://h.test/.git", ".."] {
        assert_eq!(
            reason(&git_clone(json!({"repository": repository}))),
            "the input `clone_directory_name` of the step `git_clone` is not a plain name",
            "{repository}"
        );
    }
}

#[test]
fn a_list_with_any_foreign_step_is_left_to_the_engine_whole() {
    let steps = json!([
        {"prefect.deployments.steps.set_working_directory": {"directory": "/srv"}},
        {"prefect.deployments.steps.run_shell_script": {"script": "true"}},
    ]);
    assert_eq!(reason(&steps), "the step `prefect.deployments.steps.run_shell_script` is Python code");
    assert_eq!(reason(&json!([{"my.step": {}}])), "the step `my.step` is Python code");
}

#[test]
fn steps_that_are_not_single_steps_are_left_to_the_engine() {
    for steps in [
        json!({"a": {}}),
        json!("text"),
        json!(["text"]),
        json!([{"prefect.deployments.steps.git_clone": "text"}]),
        json!([{"prefect.deployments.steps.git_clone": {}, "prefect.deployments.steps.set_working_directory": {}}]),
        json!([{}]),
    ] {
        assert_eq!(reason(&steps), "the pull steps are not a list of single steps", "{steps}");
    }
}

#[test]
fn empty_steps_are_passed_over_and_keep_their_number() {
    let pull = native(&json!([{}, {"prefect.deployments.steps.set_working_directory": {"directory": "x"}}]));
    assert_eq!(pull.steps.iter().map(|step| step.record.index).collect::<Vec<_>>(), [1]);
}

#[test]
fn only_entrypoints_that_name_a_python_file_are_native() {
    let steps = set_working_directory(json!({"directory": "/srv"}));
    for (entrypoint, expected) in [
        (None, "the deployment has no entrypoint"),
        (Some(""), "the deployment has no entrypoint"),
        (Some("pkg.module.flow"), "the entrypoint `pkg.module.flow` is not a Python file and a function"),
        (Some("pkg.module:flow"), "the entrypoint `pkg.module:flow` is not a Python file and a function"),
        (Some("flow.py:"), "the entrypoint `flow.py:` is not a Python file and a function"),
        (Some("flows\\f.py:f"), "the entrypoint `flows\\f.py:f` is not a Python file and a function"),
    ] {
        assert_eq!(reason_for(&DeploymentCode { entrypoint, ..code(&steps) }), expected);
    }
    let method = DeploymentCode { entrypoint: Some("/srv/a:b.py:Class.method"), ..code(&steps) };
    let PullPlan::Native(pull) = plan(&method) else { panic!("left to the engine") };
    assert_eq!(pull.entrypoint, FileEntrypoint { file: "/srv/a:b.py".into(), object: "Class.method".into() });
}

#[test]
fn code_without_pull_steps_and_code_for_elsewhere_is_the_engines() {
    for none in [None, Some(&Value::Null), Some(&json!([]))] {
        let code = DeploymentCode { pull_steps: none, ..code(&Value::Null) };
        assert_eq!(plan(&code), PullPlan::Engine { reason: EngineReason::LocalPath });
        let code = DeploymentCode { has_storage_block: true, ..code };
        assert_eq!(plan(&code), PullPlan::Engine { reason: EngineReason::StorageBlock });
    }
    let steps = set_working_directory(json!({"directory": "/srv"}));
    let elsewhere = DeploymentCode { shares_file_system: false, ..code(&steps) };
    assert_eq!(plan(&elsewhere), PullPlan::Engine { reason: EngineReason::SeparateFileSystem });
}

#[test]
fn no_reason_repeats_a_secret() {
    for inputs in [
        json!({"repository": "https://me:s3cret@h.test/r"}),
        json!({"repository": "https://h.test/r?token=s3cret"}),
        json!({"repository": "https://h.test/r", "access_token": "s3cret"}),
        json!({"repository": "https://h.test/r", "credentials": {"password": "s3cret"}}),
        json!({"repository": "s3cret@h.test:r"}),
    ] {
        let PullPlan::Engine { reason } = plan(&code(&git_clone(inputs))) else { panic!("native") };
        assert!(!format!("{reason} {reason:?}").contains("s3cret"), "{reason:?}");
    }
}
