//! Inputs that take something from an earlier step.

use super::*;

/// A script with the id `x`, and a step that comes after it.
fn after_a_script(name: &str, inputs: Value) -> Value {
    json!([step("run_shell_script", json!({"id": "x", "script": "true"})), step(name, inputs)])
}

#[test]
fn a_text_that_every_step_takes_may_come_from_an_earlier_one() {
    for (name, inputs) in [
        ("set_working_directory", json!({"directory": "{{ x.stdout }}/flows"})),
        ("set_working_directory", json!({"directory": "{{stdout}}"})),
        ("run_shell_script", json!({"script": "echo {{ x.stderr }} 'an open quote is not seen yet"})),
        ("run_shell_script", json!({"script": "true", "env": {"A": "{{ x.stdout }}"}})),
        ("pip_install_requirements", json!({"directory": "{{ x.stdout }}", "requirements_file": "{{ x.stdout[0] }}"})),
        ("git_clone", json!({"repository": "https://h.test/r", "branch": "{{ x.stdout }}"})),
        ("git_clone", json!({"repository": "https://h.test/r", "commit_sha": "{{ x.stdout }}"})),
        ("git_clone", json!({"repository": "https://h.test/r", "access_token": "{{ x.stdout }}"})),
        ("git_clone", json!({"repository": "https://h.test/r", "directories": ["a", "{{ x.stdout }}"]})),
    ] {
        let pull = native(&after_a_script(name, inputs.clone()));
        assert!(!pull.steps()[0].waits() && pull.steps()[0].is_read(), "{inputs}");
        assert!(pull.steps()[1].waits() && !pull.steps()[1].is_read(), "{inputs}");
        assert_eq!(pull.steps()[0].may_print_secret(), inputs.get("access_token").is_some(), "{inputs}");
        assert_eq!(Value::Object(pull.steps()[1].record.inputs.clone()), inputs, "kept for the event");
    }
}

#[test]
fn what_has_to_be_known_before_the_first_step_may_not() {
    for (name, input, inputs) in [
        ("git_clone", "repository", json!({"repository": "https://h.test/{{ x.stdout }}"})),
        (
            "git_clone",
            "credentials",
            json!({"repository": "https://h.test/r", "credentials": {"token": "{{ stdout }}"}}),
        ),
        (
            "git_clone",
            "clone_directory_name",
            json!({"repository": "https://h.test/r", "clone_directory_name": "{{ x.stdout }}"}),
        ),
        ("run_shell_script", "shell", json!({"script": "true", "shell": "{{ x.stdout }}"})),
    ] {
        assert_eq!(
            reason(&after_a_script(name, inputs)),
            format!("the input `{input}` of the step `{name}` takes its value from an earlier step")
        );
    }
    for script in ["{{ prefect.blocks.secret.{{ x.stdout }} }}", "{{ prefect.variables.{{ stdout }} }}"] {
        assert_eq!(
            reason(&after_a_script("run_shell_script", json!({"script": script}))),
            "an input of the step `run_shell_script` puts the name of a block or variable together from an earlier step"
        );
    }
}

#[test]
fn all_of_an_output_is_no_text() {
    assert_eq!(
        reason(&after_a_script("run_shell_script", json!({"script": "{{ x }}"}))),
        "the input `script` of the step `run_shell_script` is not a text"
    );
    assert_eq!(
        reason(&after_a_script(
            "git_clone",
            json!({"repository": "https://h.test/r", "directories": "{{ x.stdout }}"})
        )),
        "the input `directories` of the step `git_clone` is not a list"
    );
}

#[test]
fn the_other_inputs_of_a_step_that_waits_are_judged_all_the_same() {
    for (name, inputs, expected) in [
        (
            "git_clone",
            json!({"repository": "ftp://h.test/r", "branch": "{{ x.stdout }}"}),
            "the input `repository` of the step `git_clone` is not a URL that git repositories have",
        ),
        (
            "run_shell_script",
            json!({"script": "{{ x.stdout }}", "shell": 1}),
            "the input `shell` of the step `run_shell_script` is neither true nor false",
        ),
    ] {
        assert_eq!(reason(&after_a_script(name, inputs)), expected);
    }
}

#[test]
fn what_comes_later_is_not_there_yet() {
    let steps = json!([
        step("set_working_directory", json!({"directory": "r{{ late.stdout }}"})),
        step("run_shell_script", json!({"id": "late", "script": "true"})),
    ]);
    let pull = native(&steps);
    assert_eq!(pull.steps()[0].planned, StepAction::SetWorkingDirectory("r".into()));
    assert!(!pull.steps()[0].waits());
}
