//! Which steps are run here, and which of their inputs are understood.

use super::super::{PipInstall, ShellScript};
use super::*;

#[test]
fn a_working_directory_keeps_its_record() {
    let pull = native(&only("set_working_directory", json!({"directory": "/srv/flows"})));
    let [step] = pull.steps() else { panic!("{pull:?}") };
    assert_eq!(step.planned, StepAction::SetWorkingDirectory("/srv/flows".into()));
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
fn every_input_of_a_script_is_taken() {
    let inputs = json!({
        "id": "build", "requires": null, "script": "make", "directory": "lib", "env": {"A": "b"},
        "stream_output": null, "expand_env_vars": true, "shell": true,
    });
    assert_eq!(
        action("run_shell_script", inputs),
        StepAction::RunShellScript(ShellScript {
            script: "make".to_owned(),
            directory: Some("lib".to_owned()),
            environment: [("A".to_owned(), "b".to_owned())].into(),
            stream_output: false,
            expand_env_vars: true,
            shell: true,
        })
    );
    let StepAction::RunShellScript(plain) = action("run_shell_script", json!({"script": ""})) else { panic!() };
    assert!(plain.stream_output && !plain.shell && !plain.expand_env_vars && plain.directory.is_none());
}

#[test]
fn pip_reads_requirements_txt_unless_told_otherwise() {
    let install = |requirements_file: &str, directory: Option<&str>, stream_output| {
        StepAction::PipInstall(PipInstall {
            directory: directory.map(str::to_owned),
            requirements_file: requirements_file.to_owned(),
            stream_output,
        })
    };
    assert_eq!(action("pip_install_requirements", json!({})), install("requirements.txt", None, true));
    assert_eq!(
        action(
            "pip_install_requirements",
            json!({"directory": "r", "requirements_file": "all.txt", "stream_output": false})
        ),
        install("all.txt", Some("r"), false)
    );
}

#[test]
fn a_step_is_known_by_each_of_its_names() {
    for name in ["deployments.steps", "projects.steps", "deployments.steps.pull"] {
        let steps = json!([{format!("prefect.{name}.set_working_directory"): {"directory": "x"}}]);
        assert_eq!(native(&steps).steps()[0].record.step_name, "set_working_directory", "{name}");
    }
    native(&only("utility.run_shell_script", json!({"script": "true"})));
    for foreign in [
        "my.step",
        "prefect.deployments.steps.utility.git_clone",
        "prefect.deployments.steps.core.run_step",
        "prefect.deployments.steps.agit_clone",
        "prefect_docker.deployments.steps.build_docker_image",
    ] {
        let steps = json!([step("set_working_directory", json!({"directory": "/srv"})), {foreign: {}}]);
        assert_eq!(reason(&steps), format!("the step `{foreign}` is Python code"));
    }
}

#[test]
fn inputs_that_are_not_understood_are_the_sdks() {
    for (name, inputs, expected) in [
        ("set_working_directory", json!({}), "the input `directory` of the step `set_working_directory` is missing"),
        (
            "set_working_directory",
            json!({"directory": ""}),
            "the input `directory` of the step `set_working_directory` is empty",
        ),
        (
            "set_working_directory",
            json!({"directory": 1}),
            "the input `directory` of the step `set_working_directory` is not a text",
        ),
        (
            "set_working_directory",
            json!({"directory": "x", "mode": 1}),
            "the input `mode` of the step `set_working_directory` is unknown to this worker",
        ),
        (
            "set_working_directory",
            json!({"directory": "x", "id": 3}),
            "the input `id` of the step `set_working_directory` is not a text",
        ),
        (
            "set_working_directory",
            json!({"directory": "x", "id": "directory"}),
            "the input `id` of the step `set_working_directory` is the name of an output",
        ),
    ] {
        assert_eq!(reason(&only(name, inputs.clone())), expected, "{inputs}");
    }
}

#[test]
fn programs_with_inputs_that_are_not_understood_are_the_sdks() {
    for (name, inputs, expected) in [
        ("run_shell_script", json!({}), "the input `script` of the step `run_shell_script` is missing"),
        ("run_shell_script", json!({"script": null}), "the input `script` of the step `run_shell_script` is missing"),
        (
            "run_shell_script",
            json!({"script": ["true"]}),
            "the input `script` of the step `run_shell_script` is not a text",
        ),
        (
            "run_shell_script",
            json!({"script": "true\necho 'x"}),
            "the input `script` of the step `run_shell_script` has a quotation that is not closed",
        ),
        (
            "run_shell_script",
            json!({"script": "echo \\"}),
            "the input `script` of the step `run_shell_script` has a backslash at the end of a line",
        ),
        (
            "run_shell_script",
            json!({"script": "true", "env": {"A": 1}}),
            "the input `env` of the step `run_shell_script` has a variable that an environment cannot have",
        ),
        (
            "run_shell_script",
            json!({"script": "true", "env": {"A=B": "1"}}),
            "the input `env` of the step `run_shell_script` has a variable that an environment cannot have",
        ),
        (
            "run_shell_script",
            json!({"script": "true", "env": "A=1"}),
            "the input `env` of the step `run_shell_script` is not an object",
        ),
        (
            "run_shell_script",
            json!({"script": "true", "shell": "yes"}),
            "the input `shell` of the step `run_shell_script` is neither true nor false",
        ),
        (
            "run_shell_script",
            json!({"script": "true", "directory": ""}),
            "the input `directory` of the step `run_shell_script` is empty",
        ),
        (
            "pip_install_requirements",
            json!({"requirements_file": null}),
            "the input `requirements_file` of the step `pip_install_requirements` is missing",
        ),
        (
            "pip_install_requirements",
            json!({"upgrade": true}),
            "the input `upgrade` of the step `pip_install_requirements` is unknown to this worker",
        ),
    ] {
        assert_eq!(reason(&only(name, inputs.clone())), expected, "{inputs}");
    }
}

#[test]
fn packages_that_nothing_here_needs_may_be_required_and_no_others() {
    for harmless in [json!(null), json!(""), json!([]), json!("prefect"), json!(["prefect>=3.0", "prefect==3.4.1"])] {
        native(&only("set_working_directory", json!({"directory": "x", "requires": harmless})));
    }
    for needed in [json!("prefect-github"), json!(["prefect", "pandas"]), json!({"a": 1}), json!(3)] {
        assert_eq!(
            reason(&only("set_working_directory", json!({"directory": "x", "requires": needed}))),
            "the step `set_working_directory` requires packages"
        );
    }
}

#[test]
fn what_is_about_the_machine_of_the_flow_is_not_done_on_another() {
    let elsewhere = container();
    let reason_there = |steps: &Value| reason_for(&code(steps, &elsewhere), &[]);
    let server = [(block("secret", "place"), json!({"value": "{{ HOME }}/x"}))];
    for (name, inputs) in [
        ("run_shell_script", json!({"script": "true"})),
        ("pip_install_requirements", json!({})),
        ("set_working_directory", json!({"directory": "/opt/prefect"})),
        ("set_working_directory", json!({"directory": "{{ $HOME }}/x"})),
        ("set_working_directory", json!({"directory": "{{prefect.blocks.secret.place}}"})),
    ] {
        let steps = only(name, inputs);
        assert_eq!(
            reason_for(&code(&steps, &elsewhere), &server),
            format!("the step `{name}` has to run where the flow runs, which is not this machine")
        );
    }
    let steps = json!([
        step("git_clone", json!({"id": "code", "repository": "https://h.test/o/r"})),
        step("set_working_directory", json!({"directory": "{{ code.directory }}/flows"})),
    ]);
    planned(&code(&steps, &elsewhere), &[]).unwrap();
    let steps = only("git_clone", json!({"repository": "https://h.test/o/r"}));
    let nowhere = RunSite { shares_file_system: false, ..here() };
    assert_eq!(reason_for(&code(&steps, &nowhere), &[]), "the infrastructure does not share this machine's files");
    let module = DeploymentCode { entrypoint: Some("pkg.flow"), ..code(&steps, &elsewhere) };
    assert_eq!(reason_for(&module, &[]), "the worker does not read the entrypoint `pkg.flow`");
    assert!(reason_there(&json!([{"my.step": {}}])).contains("my.step"));
}

#[test]
fn pip_is_the_sdks_where_the_python_of_the_run_is_unknown() {
    let site = RunSite { python: None, ..here() };
    assert_eq!(
        reason_for(&code(&only("pip_install_requirements", json!({})), &site), &[]),
        "the step `pip_install_requirements` installs packages for a Python that the worker does not know"
    );
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
    let pull = native(&json!([{}, step("set_working_directory", json!({"directory": "x"}))]));
    assert_eq!(pull.steps().iter().map(|step| step.record.index).collect::<Vec<_>>(), [1]);
}
