//! Runs that are forked from a Python which has imported the SDK, beside the same runs that are not: neither a flow nor anybody who
//! looks at its end can tell the difference.

use std::collections::{BTreeMap, BTreeSet};

use central_api_wire::state::StateType;
use futures::{StreamExt as _, stream};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value, json};
use worker_core::ids::{DeploymentId, RunId};
use worker_tests::harness::{Daemon, Lab, LabPool, PATIENT, PrefectServer, Sdk, until, workspace_root};

use crate::marks::Marks;

const FLOWS: [&str; 11] = [
    "surroundings.py:describe",
    "surroundings.py:uses_everything",
    "surroundings.py:ends_by_signal",
    "surroundings.py:is_interrupted",
    "surroundings.py:recurses",
    "surroundings.py:writes_at_exit",
    "surroundings.py:hangs_up",
    "with_tasks",
    "fails",
    "exits_hard",
    "calls_sys_exit",
];

/// A pool with deployed flows.
struct Flows {
    lab: Lab,
    pool: LabPool,
    notes: Marks,
    deployments: BTreeMap<String, DeploymentId>,
}

/// What can be seen of a run from outside, and what it has written down.
#[derive(Debug, PartialEq)]
struct Outcome {
    state: StateType,
    message: Option<String>,
    history: Vec<String>,
    log: Vec<(u8, String)>,
    written: Value,
}

impl Flows {
    async fn on(server: &PrefectServer) -> Self {
        let lab = Lab::on_server(server.rest.api_url());
        let (pool, sdk, notes) = (lab.pool().await, Sdk::new(lab.api.api_url()), Marks::new());
        let source = workspace_root().join("tests/flows");
        let variables =
            json!({"NOTES": notes.folder(), "A_VARIABLE": "of the job", "PREFECT_LOGGING_EXTRA_LOGGERS": "extra"});
        let variables = Map::from_iter([("env".to_owned(), variables)]);
        let deployments = sdk.deploy(source.to_str().unwrap(), &pool.name, variables, &FLOWS).await;
        Self { lab, pool, notes, deployments }
    }

    /// Runs a flow to its end.
    async fn outcome(&self, flow: &str) -> (RunId, Outcome) {
        let run = self.pool.run(self.deployments[flow]).await;
        let state = self.lab.ends(run, PATIENT).await;
        self.lab.executed(run).await;
        let name = self.lab.run(run).await.name;
        let supervisor = format!("run-{:.11}", run.0.simple().to_string());
        let plain = |text: &str| {
            text.replace(&run.to_string(), "RUN").replace(&name, "NAME").replace(&supervisor, "SUPERVISOR")
        };
        let log = self.lab.api.logs(run).await.into_iter();
        let mut log: Vec<(u8, String)> =
            log.map(|line| (line.level, plain(&line.message))).filter(of_the_run).collect();
        // What several threads and processes say comes in any order.
        log.sort();
        let written = self.written("same", run).map_or(Value::Null, |text| {
            let key = self.written("differs", run).and_then(|text| serde_json::from_str::<Value>(&text).ok());
            let key = key
                .and_then(|differs| differs["key"].as_str().map(str::to_owned))
                .unwrap_or_else(|| "NO KEY".to_owned());
            serde_json::from_str(&plain(&text.replace(&key, "KEY"))).unwrap()
        });
        let message = state.message.map(|message| without_times(&plain(&message)));
        let history = self.lab.history(run).await;
        (run, Outcome { state: state.state_type, message, history, log, written })
    }

    /// That of each flow, a few at a time.
    async fn outcomes(&self) -> Vec<(RunId, Outcome)> {
        stream::iter(FLOWS).map(|flow| self.outcome(flow)).buffered(3).collect().await
    }

    fn written(&self, what: &str, run: RunId) -> Option<String> {
        fs_err::read_to_string(self.notes.path(&format!("{what}-{run}.json"))).ok()
    }

    fn modules(&self, run: RunId) -> BTreeSet<String> {
        serde_json::from_str(&self.written("modules", run).unwrap()).unwrap()
    }

    fn is_warm(&self, run: RunId) -> bool {
        self.written("warm", run).unwrap() == "true"
    }
}

/// A text whose lines may begin with the time of day.
fn without_times(text: &str) -> String {
    let without = |line: &str| match line.split_once(" | ") {
        Some((time, rest)) if time.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.')) => {
            format!("TIME | {rest}")
        }
        _ => line.to_owned(),
    };
    text.lines().map(without).collect::<Vec<_>>().join("\n")
}

/// Where the page of a run is does not matter.
fn of_the_run((_, line): &(u8, String)) -> bool {
    !line.contains("View at ")
}

/// Where two values differ.
fn differences(path: &str, cold: &Value, warm: &Value, found: &mut Vec<String>) {
    match (cold, warm) {
        (Value::Object(cold), Value::Object(warm)) => {
            let names: BTreeSet<&String> = cold.keys().chain(warm.keys()).collect();
            for name in names {
                let value = |of: &Map<String, Value>| of.get(name).cloned().unwrap_or(Value::Null);
                differences(&format!("{path}.{name}"), &value(cold), &value(warm), found);
            }
        }
        (cold, warm) if cold != warm => found.push(format!("{path}: cold {cold}, warm {warm}")),
        _ => {}
    }
}

/// The same runs both ways.
pub(crate) async fn a_flow_cannot_tell_whether_it_started_warm(server: &PrefectServer) {
    let flows = Flows::on(server).await;
    let spec = || flows.pool.daemon().name("the-worker").with_python();
    let cold = spec().started().await;
    let of_cold = flows.outcomes().await;
    let home = cold.kill().await;
    let warm = spec().env("WORKER_PROCESS_WARM", "auto").spawn_in(home);
    warm.stdout.wait_for(" started!", PATIENT).await;
    let of_warm = flows.outcomes().await;
    let mut found = Vec::new();
    for (flow, ((_, cold), (_, warm))) in FLOWS.into_iter().zip(of_cold.iter().zip(&of_warm)) {
        differences(&format!("{flow} written"), &cold.written, &warm.written, &mut found);
        let seen = |of: &Outcome| json!({"state": format!("{:?}", of.state), "message": of.message, "history": of.history, "log": of.log});
        differences(flow, &seen(cold), &seen(warm), &mut found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));

    let (described_cold, described_warm) = (of_cold[0].0, of_warm[0].0);
    assert!(!flows.is_warm(described_cold) && flows.is_warm(described_warm));
    assert_eq!(warm.stderr.count("flow runs start warm"), 1);
    // What a cold run has imported before its flow, and nothing that is not the SDK's own.
    let (cold_modules, warm_modules) = (flows.modules(described_cold), flows.modules(described_warm));
    let missing: Vec<_> = cold_modules.difference(&warm_modules).collect();
    assert_eq!(missing, Vec::<&String>::new());
    let tops = |modules: &BTreeSet<String>| -> BTreeSet<String> {
        modules.iter().map(|module| module.split('.').next().unwrap_or_default().to_owned()).collect()
    };
    let more: Vec<_> = tops(&warm_modules).difference(&tops(&cold_modules)).cloned().collect();
    assert_eq!(more, Vec::<String>::new());
    // Two forks of one zygote have nothing in common that is to be random.
    let (again, _) = flows.outcome(FLOWS[0]).await;
    let differs = |run| serde_json::from_str::<Map<String, Value>>(&flows.written("differs", run).unwrap()).unwrap();
    let (one, other) = (differs(described_warm), differs(again));
    for (name, value) in &one {
        assert_ne!(Some(value), other.get(name), "{name}");
    }
}

/// The processes that a daemon forks runs from.
fn zygotes(daemon: &Daemon) -> Vec<i32> {
    let is_one =
        |pid: &i32| fs_err::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"worker-warmpool\0"));
    daemon.offspring().into_iter().filter(is_one).collect()
}

/// A zygote that dies takes no run with it, and the next run has another.
pub(crate) async fn nothing_is_lost_with_a_zygote(server: &PrefectServer) {
    let flows = Flows::on(server).await;
    let daemon = flows.pool.daemon().with_python().env("WORKER_PROCESS_WARM", "1").started().await;
    let (first, outcome) = flows.outcome(FLOWS[0]).await;
    assert_eq!(outcome.state, StateType::Completed);
    assert!(flows.is_warm(first));
    for _ in 0..3 {
        let before = zygotes(&daemon);
        let runs =
            [flows.pool.run(flows.deployments[FLOWS[0]]).await, flows.pool.run(flows.deployments[FLOWS[0]]).await];
        for pid in &before {
            kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL).unwrap();
        }
        for run in runs {
            flows.lab.reaches(run, StateType::Completed).await;
            let history = flows.lab.history(run).await;
            assert_eq!(history.iter().filter(|name| *name == "Running").count(), 1, "{history:?}");
        }
        until(PATIENT, "another zygote", async || {
            let now = zygotes(&daemon);
            (!now.is_empty() && now.iter().all(|pid| !before.contains(pid))).then_some(())
        })
        .await;
    }
    let (last, _) = flows.outcome(FLOWS[0]).await;
    assert!(flows.is_warm(last));
}
