//! What is said about an end, the hooks after it, and the bounds of output.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use infra_contract::{ErrorClass, FlowHooks, InfraPlugin as _};
use worker_core::exit::Exit;
use worker_core::handle::Handle;
use worker_core::machine::KillIntent;
use worker_core::spec::RunSpec;

use support::{Bench, LIMIT, engine_run, script_run, until, variables};

#[tokio::test]
async fn the_last_fifty_lines_of_standard_error_explain_a_failure_without_its_secrets() {
    let spec = RunSpec {
        env: variables(&[("DB_PASSWORD", "hunter22-hunter22")]),
        ..script_run(r#"seq 100 >&2; echo "login $DB_PASSWORD" >&2; printf %s "$DB_PASSWORD" | base64 >&2; exit 3"#)
    };
    let detail = Bench::new().run(&spec).await.1.detail.unwrap();
    let lines: Vec<&str> = detail.lines().collect();
    assert_eq!((lines[0], lines[1], lines.len()), ("its standard error ends with:", "53", 51));
    assert_eq!(lines[49], "login ***");
    assert!(lines[50].starts_with("***"), "{}", lines[50]);
}

#[tokio::test]
async fn a_kill_from_outside_is_not_taken_for_a_lack_of_memory() {
    let report = Bench::new().run(&script_run("kill -9 $$")).await.1;
    assert_eq!((report.exit, report.detail), (Exit::Signal(9), None));
}

/// A run of the default command with a script in the place of Python, which notes that it was called to run hooks.
async fn ended_engine(bench: &Bench, on_hooks: &str) -> (Bench, Handle) {
    let python = bench.directory().join("python");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = -c ]; then\n\
         echo \"$3 $PREFECT__FLOW_RUN_ID\" >> {}/hooks; {on_hooks}\nfi\nexit 4\n",
        bench.directory()
    );
    std::fs::write(&python, script).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
    let engine = Bench::with_python(python.as_str());
    let handle = engine.launch(&engine_run()).await.unwrap();
    engine.watch(&handle).await.until_the_end().await;
    (engine, handle)
}

#[tokio::test]
async fn hooks_run_once_with_the_runs_python_and_environment_also_for_a_later_worker() {
    let files = Bench::new();
    let (mut bench, handle) = ended_engine(&files, "sleep 0.1; exit 0").await;
    let (first, second) = tokio::join!(
        bench.plugin.run_hooks(&handle, FlowHooks::OnCrashed),
        bench.plugin.run_hooks(&handle, FlowHooks::OnCrashed),
    );
    first.and(second).unwrap();
    bench.restart();
    bench.plugin.run_hooks(&handle, FlowHooks::OnCrashed).await.unwrap();
    bench.plugin.run_hooks(&handle, FlowHooks::OnCancellation).await.unwrap();
    let run = handle.key.run;
    let called = std::fs::read_to_string(files.directory().join("hooks")).unwrap();
    assert_eq!(called, format!("on_crashed {run}\non_cancellation {run}\n"));
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn hooks_that_fail_are_an_error_and_are_not_repeated() {
    let files = Bench::new();
    let (bench, handle) = ended_engine(&files, "exit 1").await;
    let error = bench.plugin.run_hooks(&handle, FlowHooks::OnCrashed).await.unwrap_err();
    assert!(error.to_string().contains("on_crashed hooks of the flow failed"), "{error}");
    bench.plugin.run_hooks(&handle, FlowHooks::OnCrashed).await.unwrap();
    assert_eq!(std::fs::read_to_string(files.directory().join("hooks")).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn hooks_of_another_command_and_of_a_run_that_runs_are_refused() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    let early = bench.plugin.run_hooks(&handle, FlowHooks::OnCancellation).await.unwrap_err();
    assert_eq!(early.class, ErrorClass::Bug);
    bench.plugin.kill(&handle, KillIntent::Force, LIMIT).await.unwrap();
    let unsupported = bench.plugin.run_hooks(&handle, FlowHooks::OnCancellation).await.unwrap_err();
    assert_eq!(unsupported.class, ErrorClass::Unsupported);
}

#[tokio::test]
async fn output_that_nobody_reads_is_bounded_and_what_is_missing_is_told() {
    let bench = Bench::new();
    let script = format!(
        "yes 'a line of some length' | head -c 100000000; while [ ! -e {}/go ]; do sleep 0.05; done; echo the end",
        bench.directory()
    );
    let handle = bench.launch(&script_run(&script)).await.unwrap();
    let file = bench.folder(&handle.key).join("stdout");
    let on_disk = || std::fs::metadata(&file).map(|metadata| (metadata.len(), metadata.blocks() * 512)).unwrap();
    until("the file is held within bounds", || matches!(on_disk(), (100_000_000, kept) if kept < 67_108_864)).await;
    std::fs::write(bench.directory().join("go"), "").unwrap();
    let (output, report) = bench.watch(&handle).await.until_the_end().await;
    assert_eq!(report.exit, Exit::Code(0));
    assert!(output.contains("bytes of output were dropped because nobody read them"));
    assert!(output.ends_with("a line of some length\nthe end\n") || output.ends_with("the end\n"));
    assert!(!output.contains('\0'), "holes were taken for output");
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn nobody_else_can_read_what_lies_in_the_folder() {
    let bench = Bench::new();
    let handle = bench.launch(&script_run("exec sleep 600")).await.unwrap();
    let mode = |path: &camino::Utf8Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = bench.folder(&handle.key);
    assert_eq!(mode(&folder), 0o700);
    for file in ["claim", "stdout", "stderr", "control"] {
        assert_eq!(mode(&folder.join(file)), 0o600, "{file}");
    }
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn secrets_are_in_no_file_and_no_argument() {
    let bench = Bench::new();
    let env = variables(&[("API_TOKEN", "tell-nobody")]);
    let handle = bench.launch(&RunSpec { env, ..script_run("exec sleep 600") }).await.unwrap();
    for entry in std::fs::read_dir(bench.folder(&handle.key)).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&text).contains("tell-nobody"));
    }
    let supervisor = bench.supervisor(&handle);
    for file in ["cmdline", "environ"] {
        let text = std::fs::read(format!("/proc/{supervisor}/{file}")).unwrap();
        assert!(!String::from_utf8_lossy(&text).contains("tell-nobody"), "{file}");
    }
    bench.plugin.cleanup(&handle).await.unwrap();
}
