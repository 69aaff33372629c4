//! Runs that are forked from a Python which has imported the SDK. The SDK is a small one that stands for it here; with the real one
//! this is done by the scenarios.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::Command;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use rustix::process::Signal;
use serde_json::json;
use worker_core::exit::Exit;
use worker_core::machine::KillIntent;
use worker_core::spec::RunSpec;

use infra_contract::{Found, InfraPlugin as _};
use infra_process::Warm;
use support::{Bench, engine_run, signal, variables, with_fields};

/// What of the SDK is used before the engine; the engine executes the text of a variable.
const SDK: [(&str, &str); 8] = [
    ("prefect/__init__.py", "__version__ = '3.8.0'"),
    ("prefect/main.py", "import prefect.settings, prefect.context, prefect.logging.configuration"),
    ("prefect/engine.py", "import os\nif __name__ == '__main__':\n    exec(os.environ['SCRIPT'])"),
    (
        "prefect/settings.py",
        "import os, pathlib, types\n\
         class _Path:\n    def __init__(self, path): self.path = path\n    def value(self): return pathlib.Path(self.path)\n\
         PREFECT_LOGGING_SETTINGS_PATH, PREFECT_PROFILES_PATH = _Path('/nonexistent'), _Path('/nonexistent')\n\
         def get_current_settings():\n    \
         return types.SimpleNamespace(\
         plugins=types.SimpleNamespace(enabled=bool(os.environ.get('PLUGINS'))), \
         home=pathlib.Path(os.environ.get('PREFECT_HOME', '/')))",
    ),
    (
        "prefect/context.py",
        "import os, sys, types\n\
         refreshes = 0\n\
         def refresh_global_settings_context():\n    \
         global refreshes\n    refreshes += 1\n    \
         if os.environ.get('PREFECT_WARNS'): print('warned', file=sys.stderr)\n\
         def get_settings_context(): return types.SimpleNamespace(profile=types.SimpleNamespace(name='p'))",
    ),
    ("prefect/logging/__init__.py", "from logging import getLogger as get_logger"),
    (
        "prefect/logging/configuration.py",
        "DEFAULT_LOGGING_SETTINGS_PATH, loads = 'logging.yml', 0\n\
         def load_logging_config(path):\n    global loads\n    loads += 1\n    return {}\n\
         def setup_logging(incremental=None): return load_logging_config(DEFAULT_LOGGING_SETTINGS_PATH)",
    ),
    ("prefect-3.8.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: prefect\nVersion: 3.8.0\n"),
];

/// Says whether it was forked: only a zygote imports this module.
const SAYS: &str = "import sys; print('warm' if 'array' in sys.modules else 'cold', flush=True)";

struct Machine {
    bench: Bench,
    sdk: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let sdk = tempfile::tempdir().unwrap();
        for (name, text) in SDK {
            let file = sdk.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let bench = Bench::warm(&python(), &[("PYTHONPATH", sdk.path().to_str().unwrap())], Warm::Auto);
        Self { bench, sdk }
    }

    fn sdk(&self) -> &Utf8Path {
        Utf8Path::from_path(self.sdk.path()).unwrap()
    }

    fn spec(script: &str) -> RunSpec {
        RunSpec { env: variables(&[("SCRIPT", script)]), ..engine_run() }
    }

    /// How a run of this script was started.
    async fn way(&self, spec: &RunSpec) -> String {
        let (output, report) = self.bench.run(spec).await;
        assert_eq!(report.exit, Exit::Code(0), "{report:?}");
        output.trim_end().to_owned()
    }

    /// What its runs are forked from.
    fn zygotes(&self) -> Vec<i32> {
        let sdk = self.sdk().as_str().as_bytes();
        let numbers = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let is_ours = |pid: &i32| {
            let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let environment = read("environ");
            read("cmdline").ends_with(b"worker-warmpool\0") && environment.windows(sdk.len()).any(|part| part == sdk)
        };
        numbers.filter(is_ours).collect()
    }
}

/// The interpreter itself: `python3` may be a script that chooses one.
fn python() -> Utf8PathBuf {
    let program = ["-c", "import os, sys; print(os.path.realpath(sys.executable), end='')"];
    let done = Command::new("python3").args(program).output().unwrap();
    Utf8PathBuf::from(String::from_utf8(done.stdout).unwrap())
}

#[tokio::test]
async fn a_run_is_forked_and_ends_as_it_would_have() {
    let machine = Machine::new();
    assert_eq!(machine.way(&Machine::spec(SAYS)).await, "warm");
    let (output, report) =
        machine.bench.run(&Machine::spec("import sys; print(*sys.argv[1:], sys.orig_argv[1:]); sys.exit(7)")).await;
    assert_eq!((output.as_str(), report.exit), ("['-m', 'prefect.engine']\n", Exit::Code(7)));
    let (_, report) = machine.bench.run(&Machine::spec("import os; os.kill(os.getpid(), 9)")).await;
    assert_eq!(report.exit, Exit::Signal(9));
    assert_eq!(machine.zygotes().len(), 1);
}

#[tokio::test]
async fn a_zygote_that_is_killed_is_followed_by_another_and_no_run_is_lost() {
    let machine = Machine::new();
    let live =
        machine.bench.launch(&Machine::spec("import time; print('ready', flush=True); time.sleep(600)")).await.unwrap();
    machine.bench.watch(&live).await.line("ready").await;
    let before = machine.zygotes();
    for pid in &before {
        signal(&pid.to_string(), Signal::KILL);
    }
    let way = machine.way(&Machine::spec(SAYS)).await;
    assert!(["warm", "cold"].contains(&way.as_str()), "{way}");
    assert_eq!(machine.way(&Machine::spec(SAYS)).await, "warm");
    assert!(machine.zygotes().iter().all(|pid| !before.contains(pid)));
    assert!(matches!(machine.bench.plugin.reattach(&live).await.unwrap(), Found::Running));
    machine.bench.plugin.kill(&live, KillIntent::Cancel, Duration::ZERO).await.unwrap();
}

#[tokio::test]
async fn a_forked_run_outlives_its_worker_and_the_next_one_has_its_end() {
    let mut machine = Machine::new();
    let there = tempfile::tempdir().unwrap();
    let there = Utf8Path::from_path(there.path()).unwrap();
    let script = "print('ready', flush=True)\nimport os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nraise SystemExit(5)";
    let spec = with_fields(Machine::spec(script), json!({ "working_dir": there }));
    let handle = machine.bench.launch(&spec).await.unwrap();
    machine.bench.watch(&handle).await.line("ready").await;
    machine.bench.restart();
    assert!(matches!(machine.bench.plugin.reattach(&handle).await.unwrap(), Found::Running));
    let watched = machine.bench.watch(&handle).await;
    std::fs::write(there.join("go"), "").unwrap();
    let (_, report) = watched.until_the_end().await;
    assert_eq!(report.exit, Exit::Code(5));
}

#[tokio::test]
async fn another_sdk_is_imported_anew() {
    let machine = Machine::new();
    let says = "import prefect; print(prefect.__version__)";
    assert_eq!(machine.bench.run(&Machine::spec(says)).await.0, "3.8.0\n");
    let before = machine.zygotes();
    std::fs::write(machine.sdk().join("prefect/__init__.py"), "__version__ = '3.8.11'").unwrap();
    assert_eq!(machine.bench.run(&Machine::spec(says)).await.0, "3.8.11\n");
    assert_eq!(machine.way(&Machine::spec(SAYS)).await, "warm");
    assert_ne!(machine.zygotes(), before);
    // One that this release does not know starts cold.
    std::fs::write(machine.sdk().join("prefect/__init__.py"), "__version__ = '4.0.0'").unwrap();
    assert_eq!(machine.way(&Machine::spec(SAYS)).await, "cold");
}

#[tokio::test]
async fn what_a_fork_would_do_otherwise_starts_cold() {
    let machine = Machine::new();
    assert_eq!(machine.way(&Machine::spec(SAYS)).await, "warm");
    // A module of its own that the zygote has imported from elsewhere.
    let directory = tempfile::tempdir().unwrap();
    let directory = Utf8Path::from_path(directory.path()).unwrap();
    let there = |spec: RunSpec| with_fields(spec, json!({ "working_dir": directory }));
    assert_eq!(machine.way(&there(Machine::spec(SAYS))).await, "warm");
    std::fs::write(directory.join("json.py"), "").unwrap();
    assert_eq!(machine.way(&there(Machine::spec(SAYS))).await, "cold");
    // What the process finds only when it is set up: it becomes the command, under the same number.
    let mut spec = Machine::spec(SAYS);
    spec.env.insert("PLUGINS".to_owned(), "1".to_owned());
    assert_eq!(machine.way(&spec).await, "cold");
    // Whoever wants a seed for each process has one.
    let spec = RunSpec { env: variables(&[("SCRIPT", SAYS), ("PYTHONHASHSEED", "random")]), ..engine_run() };
    assert_eq!(machine.way(&spec).await, "cold");
}

#[tokio::test]
async fn settings_are_read_once_for_all_runs_that_have_the_same() {
    // How often the settings were read, and how logging is set up, the zygote's own time included.
    let says = "import prefect.context as c, prefect.logging.configuration as l; print(c.refreshes, l.loads)";
    let with = |more: &[(&str, &str)]| {
        let mut spec = Machine::spec(says);
        spec.env.extend(variables(more));
        spec
    };
    let machine = Machine::new();
    assert_eq!(machine.way(&with(&[])).await, "1 1");
    assert_eq!(machine.way(&with(&[("PREFECT__FLOW_RUN_ID", "one"), ("OF_THE_JOB", "1")])).await, "1 1");
    // No zygote is told a secret. How the run logs does not depend on these, and may on others.
    assert_eq!(machine.way(&with(&[("PREFECT_API_KEY", "pnu_secret")])).await, "2 1");
    assert_eq!(machine.way(&with(&[("PREFECT_A_PASSWORD", "secret")])).await, "2 2");
    // What reading them says, each run says.
    assert_eq!(machine.way(&with(&[("PREFECT_WARNS", "1")])).await, "2 2");
    // Reading them makes a home that is not there any more.
    let machine = Machine::new();
    assert_eq!(machine.way(&with(&[("PREFECT_HOME", "/nonexistent")])).await, "2 1");
}

#[tokio::test]
async fn an_interpreter_that_cannot_be_forked_starts_cold() {
    let machine = Machine::new();
    std::fs::write(
        machine.sdk().join("prefect/main.py"),
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
    )
    .unwrap();
    assert_eq!(machine.way(&Machine::spec(SAYS)).await, "cold");
    assert!(machine.zygotes().is_empty());
}

#[tokio::test]
async fn a_look_at_the_machine_says_whether_runs_start_warm() {
    let machine = Machine::new();
    let says =
        async |text: &str| machine.bench.plugin.check().await.iter().any(|finding| finding.message.contains(text));
    assert!(says("can start warm: they are forked from Python 3.").await);
    std::fs::write(machine.sdk().join("prefect/main.py"), "kept = open('/dev/null')").unwrap();
    assert!(says("runs start cold although `process.warm` is set: something that is imported keeps files open").await);
}

#[tokio::test]
async fn many_runs_at_once_are_all_forked_from_one() {
    let machine = Machine::new();
    let specs: Vec<RunSpec> = (0..12).map(|_| Machine::spec(SAYS)).collect();
    let ways = futures::future::join_all(specs.iter().map(|spec| machine.way(spec))).await;
    assert_eq!(ways, vec!["warm"; 12]);
    assert_eq!(machine.zygotes().len(), 1);
}
