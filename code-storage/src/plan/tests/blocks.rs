//! Blocks, variables and the environment in inputs.

use super::*;

fn script_of(pull: &NativePull) -> String {
    let [step] = pull.steps() else { panic!("{pull:?}") };
    let StepAction::RunShellScript(script) = &step.planned else { panic!("{step:?}") };
    script.script.clone()
}

#[test]
fn what_the_inputs_mention_is_asked_for_once_and_filled_in() {
    let steps = json!([
        step(
            "git_clone",
            json!({
                "repository": "https://h.test/o/r", "branch": "{{ prefect.variables.branch }}",
                "access_token": "{{ prefect.blocks.secret.token }}",
            })
        ),
        step("run_shell_script", json!({"script": "echo {{ prefect.variables.branch }}"})),
    ]);
    let site = here();
    let mut draft = plan(&code(&steps, &site)).unwrap();
    assert_eq!(draft.pending(), [variable("branch"), block("secret", "token")]);
    draft.provide(&variable("branch"), Some(json!("feature").into())).unwrap();
    draft.provide(&variable("unasked"), Some(json!("x").into())).unwrap();
    draft.provide(&block("secret", "token"), Some(json!({"value": "t0ps3cret"}).into())).unwrap();
    assert_eq!(draft.pending(), []);
    let pull = draft.finish().unwrap();
    let StepAction::GitClone(clone) = &pull.steps()[0].planned else { panic!("{pull:?}") };
    assert_eq!(clone.directory_name, "r-feature");
    assert!(clone.login.is_some());
    assert!(!pull.steps()[1].waits());
}

#[test]
fn a_draft_that_lacks_something_is_not_finished() {
    let steps = only("run_shell_script", json!({"script": "echo {{ prefect.variables.x }}"}));
    let reason = plan(&code(&steps, &here())).unwrap().finish().unwrap_err();
    assert!(reason.to_string().contains("variable `x` was not fetched"), "{reason}");
}

#[test]
fn the_passes_are_in_the_sdks_order() {
    let server = [
        (block("json", "b"), json!({"value": {"text": "{{ prefect.variables.v }} {{ HOME }} {{ x.stdout }}"}})),
        (variable("v"), json!("{{ HOME }}{{ prefect.blocks.json.b }}")),
    ];
    let script = |text: &str| script_of(&native_with(&only("run_shell_script", json!({"script": text})), &server));
    // A name of the environment is left out by the first pass, so it counts only in what was put in.
    assert_eq!(script("echo {{ HOME }}."), "echo .");
    assert_eq!(script("echo {{ $HOME }}"), "echo /home/runs");
    assert_eq!(script("{{ prefect.blocks.json.b.text }}"), "/home/runs{{ prefect.blocks.json.b }} /home/runs ");
}

#[test]
fn an_input_that_is_only_an_unknown_name_is_left_out() {
    assert_eq!(
        reason(&only("set_working_directory", json!({"directory": "{{ HOME }}"}))),
        "the input `directory` of the step `set_working_directory` is missing"
    );
    native(&only("run_shell_script", json!({"script": "true", "directory": "{{ nothing.directory }}"})));
}

#[test]
fn blocks_and_variables_that_do_not_fit_are_the_sdks_to_report() {
    let server = [(block("json", "b"), json!({"value": {"a": 1}})), (variable("list"), json!(["x"]))];
    for (script, expected) in [
        ("{{ prefect.blocks.secret.gone }}", "block `gone` of type `secret` does not exist"),
        ("x {{ prefect.blocks.json.b }}", "stands within text but its value is an object or array"),
        ("{{ prefect.blocks.json.b.nope }}", "the block's data has no `nope`"),
        ("{{ prefect.blocks.json }}", "does not name a block type and a block"),
        ("{{ prefect.blocks.json.b }}", "the input `script` of the step `run_shell_script` is not a text"),
        ("{{ prefect.variables.list }}", "the input `script` of the step `run_shell_script` is not a text"),
    ] {
        let reason = reason_with(&only("run_shell_script", json!({"script": script})), &server);
        assert!(reason.contains(expected), "{script}: {reason}");
    }
    let by_id = json!({"$ref": {"block_document_id": "no"}});
    let reason = reason(&only("git_clone", json!({"repository": "https://h.test/r", "credentials": by_id})));
    assert!(reason.contains("is not a UUID"), "{reason}");
}

#[test]
fn a_variable_that_does_not_exist_is_empty() {
    let pull = native(&only("run_shell_script", json!({"script": "echo [{{ prefect.variables.gone }}]"})));
    assert_eq!(script_of(&pull), "echo []");
}

#[test]
fn credentials_may_be_a_whole_block() {
    let server = [(block("github-credentials", "me"), json!({"token": "t0ps3cret"}))];
    let inputs = json!({"repository": "https://h.test/r", "credentials": "{{ prefect.blocks.github-credentials.me }}"});
    let pull = native_with(&only("git_clone", inputs), &server);
    let StepAction::GitClone(clone) = &pull.steps()[0].planned else { panic!("{pull:?}") };
    assert!(clone.login.is_some());
}

#[test]
fn nothing_that_is_printed_repeats_a_secret() {
    let server = [(block("secret", "s"), json!({"value": "t0ps3cret"}))];
    let steps = json!([
        step("git_clone", json!({"repository": "https://h.test/r", "access_token": "{{ prefect.blocks.secret.s }}"})),
        step("git_clone", json!({"repository": "https://me:t0ps3cret@h.test/r"})),
        step("git_clone", json!({"repository": "https://h.test/r", "access_token": "t0ps3cret"})),
        step("run_shell_script", json!({"script": "echo t0ps3cret", "env": {"A": "{{ prefect.blocks.secret.s }}"}})),
    ]);
    let site = here();
    let draft = plan(&code(&steps, &site)).unwrap();
    let printed = format!("{draft:?} {:?}", native_with(&steps, &server));
    assert!(!printed.contains("t0ps3cret"), "{printed}");
    for inputs in [
        json!({"repository": "ssh://me:s3cret@h.test/r"}),
        json!({"repository": "https://h.test/r?token=s3cret"}),
        json!({"repository": "https://h.test/r", "access_token": ["s3cret"]}),
        json!({"repository": "https://h.test/r", "credentials": {"username": "s3cret"}}),
        json!({"repository": "https://h.test/r", "access_token": "s3cret", "credentials": {"token": "s3cret"}}),
        json!({"repository": "s3cret@h.test::r"}),
    ] {
        let steps = only("git_clone", inputs);
        let reason = planned(&code(&steps, &site), &[]).unwrap_err();
        assert!(!format!("{reason} {reason:?}").contains("s3cret"), "{reason:?}");
    }
}
