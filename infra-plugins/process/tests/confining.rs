//! How runs are kept apart. The tests are root's, as those of the gate are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::os::unix::fs::MetadataExt as _;

use infra_contract::{ErrorClass, InfraPlugin as _, Severity};
use infra_process::{Confinement, RunAs};
use worker_core::exit::Exit;

use support::{Bench, script_run};

fn nobody() -> RunAs {
    RunAs::find("nobody").unwrap()
}

/// A bench in a directory that other users can get to.
fn bench(confinement: Confinement) -> Bench {
    assert!(rustix::process::geteuid().is_root(), "these tests need root");
    Bench::with_confinement(confinement)
}

#[tokio::test]
async fn a_run_of_another_user_sees_of_the_state_directory_only_what_is_its_own() {
    let bench = bench(Confinement { run_as: Some(nobody()), ..Confinement::default() });
    let secret = bench.directory().join("secret");
    std::fs::write(&secret, "x").unwrap();
    let script =
        format!("id -u; id -G; pwd > here && cat here; echo $HOME $USER; ls {} {secret} 2>&1", bench.directory());
    let handle = bench.launch(&script_run(&script)).await.unwrap();
    let (output, report) = bench.watch(&handle).await.until_the_end().await;
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines[0], nobody().uid.to_string(), "{output}");
    assert!(lines[2].ends_with("/prefect"), "{output}");
    assert_eq!(lines[3], format!("{} nobody", nobody().home));
    assert!(lines[4..].iter().any(|line| line.contains("runs")) && output.contains("No such file"), "{output}");
    assert!(!report.exit.is_success(), "the secret was found");
    assert_eq!(std::path::Path::new(lines[2]).join("here").metadata().unwrap().uid(), nobody().uid);
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn a_private_tmp_is_the_runs_own_and_goes_with_it() {
    let bench = bench(Confinement { private_tmp: true, ..Confinement::default() });
    let outside = tempfile::NamedTempFile::new_in("/tmp").unwrap();
    let script = format!(
        "test ! -e {} && echo x > /tmp/mine && test -e /var/tmp/mine && ls /tmp; pwd",
        outside.path().display()
    );
    let handle = bench.launch(&script_run(&script)).await.unwrap();
    let (output, report) = bench.watch(&handle).await.until_the_end().await;
    assert_eq!(report.exit, Exit::Code(0), "{:?}", report.detail);
    assert!(output.lines().any(|line| line == "mine") && output.contains("/prefect"), "{output}");
    assert!(!std::path::Path::new("/tmp/mine").exists() && !std::path::Path::new("/var/tmp/mine").exists());
    bench.plugin.cleanup(&handle).await.unwrap();
}

#[tokio::test]
async fn rights_and_files_are_limited() {
    let bench = bench(Confinement { no_new_privileges: true, max_open_files: Some(77), ..Confinement::default() });
    let (output, _) = bench.run(&script_run("grep NoNewPrivs /proc/self/status; ulimit -n; ulimit -Hn")).await;
    assert_eq!(output.split_whitespace().collect::<Vec<_>>(), ["NoNewPrivs:", "1", "77", "77"]);
}

#[tokio::test]
async fn memory_processors_and_processes_are_limited_by_cgroups() {
    let confinement = Confinement {
        max_memory: Some(64 << 20),
        max_cpu_percent: Some(50),
        max_processes: Some(20),
        ..Confinement::default()
    };
    let bench = bench(confinement);
    let eats = "for i in 1 2 3 4 5 6 7 8; do x=\"$x$(head -c 16777216 /dev/zero | tr '\\0' a)\"; done; echo all";
    let (output, report) = bench.run(&script_run(eats)).await;
    assert_eq!((output.as_str(), report.exit), ("", Exit::OutOfMemory), "{:?}", report.detail);
    let forks = "i=0; while [ $i -lt 60 ]; do sleep 5 & i=$((i+1)); done; echo all";
    let (output, report) = bench.run(&script_run(forks)).await;
    assert!(output.is_empty() && !report.exit.is_success(), "{output} {report:?}");
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_ended_and_told_why() {
    let bench = bench(Confinement { time_limit: Some(1), ..Confinement::default() });
    let (_, report) = bench.run(&script_run("sleep 600")).await;
    assert_eq!(report.exit, Exit::Signal(15));
    assert!(report.detail.as_deref().unwrap().contains("took longer than 1 s"), "{:?}", report.detail);
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_and_a_room_that_cannot_be_made_are_told() {
    let bench = bench(Confinement { no_new_privileges: true, ..Confinement::default() });
    let script = bench.directory().join("script");
    std::fs::write(&script, "#!/nonexistent/interpreter\n").unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut spec = script_run("");
    spec.command = Some(script.to_string());
    let (_, report) = bench.run(&spec).await;
    assert_eq!(report.exit, Exit::Code(126));
    assert!(report.detail.unwrap().contains("cannot be executed"));
}

#[tokio::test]
async fn what_the_machine_cannot_give_is_found_beforehand_and_starts_nothing() {
    let bench = Bench::with_confinement(Confinement { max_memory: Some(1), ..Confinement::default() });
    let findings = bench.plugin.check().await;
    assert!(
        !findings.iter().any(|finding| finding.severity == Severity::Error && finding.message.contains("`memory`"))
    );
    // Less than the kernel gives: the limit itself is refused, and the run with it.
    let error = Bench::with_confinement(Confinement { max_processes: Some(u64::MAX), ..Confinement::default() })
        .launch(&script_run("exit 0"))
        .await
        .unwrap_err();
    assert_eq!(error.class, ErrorClass::Unsupported, "{error:?}");
    assert!(error.context.contains("`pids`"), "{error:?}");
}
