//! What is started, where, and with which environment.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use infra_contract::{ErrorClass, InfraPlugin as _, LaunchLog, Severity};
use infra_process::Inheritance;
use serde_json::json;
use worker_core::exit::Exit;
use worker_core::handle::Detail;
use worker_core::policy::Pattern;
use worker_core::spec::{CodeInPlace, RunSpec};

use support::{Bench, engine_run, script_run, variables, with_fields};

/// A script in the place of the interpreter.
fn interpreter(bench: &Bench, script: &str) -> String {
    let file = bench.directory().join("python");
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    file.into_string()
}

#[tokio::test]
async fn c080_the_default_command_is_the_engine_with_the_run_id_in_its_environment() {
    let files = Bench::new();
    let python = interpreter(&files, r#"echo "$PREFECT__FLOW_RUN_ID $*""#);
    let spec = engine_run();
    let (output, report) = Bench::with_python(&python).run(&spec).await;
    assert_eq!(output, format!("{} -m prefect.engine\n", spec.key.run));
    assert_eq!(report.exit, Exit::Code(0));
}

#[tokio::test]
async fn c081_the_configured_command_runs_in_the_configured_directory_with_the_configured_environment() {
    let bench = Bench::new();
    let spec = RunSpec {
        command: Some(r#"sh -c 'pwd; echo "$COLOUR $0"' 'two words'"#.to_owned()),
        env: variables(&[("COLOUR", "blue")]),
        ..with_fields(engine_run(), json!({ "working_dir": bench.directory() }))
    };
    let (output, _) = bench.run(&spec).await;
    assert_eq!(output, format!("{}\nblue two words\n", bench.directory()));
}

#[tokio::test]
async fn c081_output_that_is_not_wanted_is_not_relayed() {
    let spec = with_fields(script_run("echo shown; echo cause >&2; exit 3"), json!({ "stream_output": "no" }));
    let (output, report) = Bench::new().run(&spec).await;
    assert_eq!((output.as_str(), report.exit), ("", Exit::Code(3)));
    assert_eq!(report.detail.unwrap(), "its standard error ends with: cause");
}

#[tokio::test]
async fn c082_without_a_working_directory_there_is_a_temporary_one_that_is_removed() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("touch made; pwd")).await.unwrap();
    let (output, _) = bench.watch(&handle).await.until_the_end().await;
    let directory = std::path::Path::new(output.trim());
    assert!(output.trim().ends_with("prefect"), "{output}");
    assert!(directory.join("made").exists());
    bench.plugin.cleanup(&handle).await.unwrap();
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_working_directory_that_was_given_is_never_removed() {
    let bench = Bench::new();
    let spec = with_fields(script_run("exit 0"), json!({ "working_dir": bench.directory() }));
    let mut handle = bench.launch(&spec).await.unwrap();
    bench.watch(&handle).await.until_the_end().await;
    let mut detail: serde_json::Value = handle.detail.read().unwrap();
    detail["temporary_directory"] = json!(bench.directory());
    handle.detail = Detail::of(&detail).unwrap();
    bench.plugin.cleanup(&handle).await.unwrap();
    assert!(bench.directory().exists());
}

#[tokio::test]
async fn c084_signals_and_exit_codes_are_told_apart() {
    let bench = Bench::new();
    assert_eq!(bench.run(&script_run("kill -9 $$")).await.1.exit, Exit::Signal(9));
    assert_eq!(bench.run(&script_run("exit 3")).await.1.exit, Exit::Code(3));
}

#[tokio::test]
async fn the_infrastructure_id_is_the_number_of_the_command_itself() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("echo $$")).await.unwrap();
    let (output, _) = bench.watch(&handle).await.until_the_end().await;
    assert_eq!(output.trim(), handle.infra_id.0);
}

#[tokio::test]
async fn the_workers_settings_beat_the_jobs_environment_which_beats_the_workers_environment() {
    let bench = Bench::with_environment(&[("A", "worker"), ("B", "worker"), ("PREFECT_LOGGING_LEVEL", "ERROR")]);
    let spec = RunSpec {
        env: variables(&[("B", "job"), ("PREFECT_LOGGING_LEVEL", "DEBUG"), ("PREFECT__FLOW_RUN_ID", "forged")]),
        worker_settings: variables(&[("PREFECT_LOGGING_LEVEL", "WARNING")]),
        ..script_run(r#"echo "$A $B $PREFECT_LOGGING_LEVEL $PREFECT__FLOW_RUN_ID""#)
    };
    let (output, _) = bench.run(&spec).await;
    assert_eq!(output, format!("worker job WARNING {}\n", spec.key.run));
}

#[tokio::test]
async fn what_is_meant_for_the_worker_alone_does_not_reach_the_run() {
    let bench = Bench::with_environment(&[
        ("PREFECT__WORKER_ID", "outer"),
        ("PREFECT__FLOW_ENTRYPOINT", "outer"),
        ("PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS", "false"),
        ("WORKER_LAUNCH_KEY", "outer"),
        ("NOTIFY_SOCKET", "outer"),
    ]);
    let env = variables(&[("PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS", "false"), ("PREFECT__FLOW_NAME", "mine")]);
    let spec = RunSpec { env, ..script_run("env") };
    let (output, _) = bench.run(&spec).await;
    assert!(!output.contains("outer"), "{output}");
    assert!(!output.contains("HOOKS"), "{output}");
    assert!(output.contains("PREFECT__FLOW_NAME=mine\n"), "{output}");
    assert!(output.contains(&format!("WORKER_LAUNCH_KEY={}\n", spec.key)), "{output}");
}

#[tokio::test]
async fn code_in_place_gives_the_entrypoint_and_the_working_directory() {
    let bench = Bench::new();
    let code = CodeInPlace {
        directory: bench.directory().to_string(),
        entrypoint: Some(format!("{}/flow.py:main", bench.directory())),
        importable: None,
    };
    let spec = RunSpec { code: Some(code), ..script_run(r#"pwd; echo "$PREFECT__FLOW_ENTRYPOINT""#) };
    let (output, _) = bench.run(&spec).await;
    assert_eq!(output, format!("{0}\n{0}/flow.py:main\n", bench.directory()));
}

#[tokio::test]
async fn a_missing_executable_is_named_with_what_to_do() {
    let bench = Bench::new();
    let spec = RunSpec { command: Some("no-such-program --flag".to_owned()), ..engine_run() };
    let error = bench.launch(&spec).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::BadSpec);
    assert_eq!(error.to_string(), "Flow run could not start: the executable `no-such-program` was not found");
    assert!(error.hint.unwrap().contains("job variable `command`"));
    assert!(!bench.settings.runs_directory.exists(), "left its directory behind");
    assert_eq!(bench.plugin.find(&spec.key).await.unwrap(), None);
}

#[tokio::test]
async fn a_missing_working_directory_is_named_with_what_to_do() {
    let spec = with_fields(script_run("exit 0"), json!({ "working_dir": "/no/such/directory" }));
    let error = Bench::new().launch(&spec).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::BadSpec);
    let text =
        "Flow run could not start: the working directory /no/such/directory does not exist on the worker's machine";
    assert_eq!(error.to_string(), text);
    assert!(error.hint.unwrap().contains("job variable `working_dir`"));
}

#[tokio::test]
async fn a_program_whose_own_interpreter_is_missing_says_so() {
    let bench = Bench::new();
    let file = bench.directory().join("program");
    std::fs::write(&file, "#!/no/such/interpreter\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    let error = bench.launch(&RunSpec { command: Some(file.into_string()), ..engine_run() }).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::BadSpec);
    assert!(error.hint.unwrap().contains("first line"));
    assert_eq!(std::fs::read_dir(&bench.settings.runs_directory).unwrap().count(), 0, "left its directory behind");
}

#[tokio::test]
async fn an_unreadable_command_and_a_wrong_type_are_the_runs_fault() {
    let bench = Bench::new();
    let unclosed = RunSpec { command: Some("sh -c 'oops".to_owned()), ..engine_run() };
    assert_eq!(bench.plugin.prepare(&unclosed).await.unwrap_err().class, ErrorClass::BadSpec);
    let wrong = with_fields(engine_run(), json!({ "stream_output": "perhaps" }));
    let error = bench.plugin.prepare(&wrong).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::BadSpec);
    assert!(error.to_string().contains("`stream_output`"), "{error}");
    let elsewhere = RunSpec { env_from: vec![json!({"name": "A", "valueFrom": {}})], ..engine_run() };
    let error = bench.plugin.prepare(&elsewhere).await.unwrap_err();
    assert!(error.to_string().contains("`valueFrom`"), "{error}");
}

#[tokio::test]
async fn an_interpreter_without_prefect_is_explained_in_the_end_and_found_by_the_check() {
    let files = Bench::new();
    // -I and -S: a Python that certainly has no packages.
    let python = interpreter(&files, r#"exec python3 -I -S "$@""#);
    let bench = Bench::with_python(&python);
    let (_, report) = bench.run(&engine_run()).await;
    assert_eq!(report.exit, Exit::Code(1));
    assert!(report.detail.unwrap().contains(&format!("`{python}` cannot import the Prefect SDK")));
    let findings = bench.plugin.check().await;
    let errors: Vec<_> = findings.iter().filter(|finding| finding.severity == Severity::Error).collect();
    assert_eq!(errors.len(), 1);
    assert!(errors[0].hint.as_ref().unwrap().contains("WORKER_PROCESS_PYTHON"));
}

#[tokio::test]
async fn an_interpreter_with_prefect_is_found_by_the_check() {
    let files = Bench::new();
    let bench = Bench::with_python(&interpreter(&files, "exit 0"));
    assert_eq!(bench.plugin.check().await[0].severity, Severity::Ok);
    let bench = Bench::with_python("/no/such/python");
    assert_eq!(bench.plugin.check().await[0].severity, Severity::Error);
}

#[tokio::test]
async fn a_plan_is_shown_without_secrets() {
    let bench = Bench::with_environment(&[("INHERITED", "unseen")]);
    let env = variables(&[("PREFECT_API_KEY", "pnu_secret"), ("MODE", "fast")]);
    let plan = bench.plugin.prepare(&RunSpec { env, ..script_run("exit 0") }).await.unwrap();
    let shown = plan.shown.to_string();
    assert!(!shown.contains("pnu_secret") && !shown.contains("unseen"), "{shown}");
    assert!(shown.contains(r#""MODE":"fast""#) && shown.contains(r#""PREFECT_API_KEY":"***""#), "{shown}");
    assert!(!format!("{plan:?} {:?}", bench.plugin).contains("unseen"));
    assert!(!bench.settings.runs_directory.exists(), "planning made a directory");
}

#[tokio::test]
async fn a_run_gets_a_clean_environment_and_hears_once_what_is_kept_out_of_it() {
    let variables = [("DATABASE_URL", "postgres://x"), ("AWS_REGION", "eu"), ("WORKER_X", "1"), ("LANG", "C.UTF-8")];
    let inheritance = Inheritance::Needed { and: vec![Pattern::new("AWS_*")] };
    let bench = Bench::with_inheritance(&variables, inheritance);
    let log = Heard::default();
    for _ in 0..2 {
        let spec = script_run("echo \"${DATABASE_URL-none} $AWS_REGION ${WORKER_X-none} $LANG\"");
        let plan = bench.plugin.prepare(&spec).await.unwrap();
        let handle = bench.plugin.launch(&plan, &log).await.unwrap();
        let (output, _) = bench.watch(&handle).await.until_the_end().await;
        assert_eq!(output, "none eu none C.UTF-8\n");
    }
    let heard = log.0.lock().unwrap();
    let [line] = heard.as_slice() else { panic!("{heard:?}") };
    assert!(line.contains("environment: DATABASE_URL. ") && !line.contains("postgres"), "{line}");
}

/// What a launch says to the run's log.
#[derive(Default)]
struct Heard(std::sync::Mutex<Vec<String>>);

#[async_trait::async_trait]
impl LaunchLog for Heard {
    fn info(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }

    fn warn(&self, text: String) {
        self.info(text);
    }

    async fn waiting(&self, _why: &str) {}
}
