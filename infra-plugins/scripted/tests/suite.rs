//! The conformance suite, and the parts of a script that the suite does not play.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use infra_contract::conformance::{Behaviour, Fixture, MUCH_OUTPUT_BYTES};
use infra_contract::{ErrorClass, Found, InfraEvent, InfraPlugin, Killed, Unheard};
use infra_scripted::{Backend, Script, ScriptedPlugin};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;
use worker_core::exit::{Conclusion, Exit};
use worker_core::ids::{LaunchKey, RunId, TransitionId};
use worker_core::machine::KillIntent;
use worker_core::spec::{ReportState, RunSpec};

struct Scripted(Backend);

impl Fixture for Scripted {
    fn plugin(&self) -> Arc<dyn InfraPlugin> {
        Arc::new(ScriptedPlugin::new(self.0.clone()))
    }

    fn spec(&self, behaviour: Behaviour) -> RunSpec {
        spec(&match behaviour {
            Behaviour::ExitsZero | Behaviour::LeaksStdout => json!({}),
            Behaviour::ExitsSeven => json!({ "exit_code": 7 }),
            Behaviour::UntilStopped => json!({ "output": ["ready\n"], "run_until_killed": true }),
            Behaviour::IgnoresStop => json!({ "output": ["ready\n"], "run_until_killed": true, "ignore_grace": true }),
            Behaviour::MuchOutput => json!({ "output_bytes": MUCH_OUTPUT_BYTES }),
        })
    }
}

infra_contract::conformance_tests!(#[tokio::test(start_paused = true)] => Scripted(Backend::default()));

fn spec(script: &Value) -> RunSpec {
    let fields = script.as_object().expect("a script is an object").clone();
    RunSpec {
        key: LaunchKey { run: RunId(Uuid::new_v4()), claim: TransitionId(Uuid::new_v4()) },
        flow_run_name: "pretty-heron".to_owned(),
        name: "pretty-heron".to_owned(),
        command: None,
        env: BTreeMap::new(),
        env_from: Vec::new(),
        configured_env: BTreeSet::new(),
        worker_settings: BTreeMap::new(),
        labels: BTreeMap::new(),
        fields,
        block_texts: BTreeSet::new(),
        code: None,
        entrypoint: None,
        report_state: ReportState::Engine,
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_reply_leaves_something_to_find() {
    let backend = Backend::default();
    let plugin = ScriptedPlugin::new(backend.clone());
    let plan = plugin.prepare(&spec(&json!({ "lost_reply": true, "run_until_killed": true }))).await.unwrap();
    assert_eq!(plugin.launch(&plan, &Unheard).await.unwrap_err().class, ErrorClass::Transient);
    let handle = plugin.find(&plan.key).await.unwrap().unwrap();
    assert_eq!(plugin.launch(&plan, &Unheard).await.unwrap(), handle);
    assert_eq!((backend.started(plan.key.run), backend.running()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_start_error_can_pass_after_some_attempts() {
    let backend = Backend::default();
    let plugin = ScriptedPlugin::new(backend.clone());
    let script = json!({ "start_error": { "class": "denied", "text": "no", "times": 2 }, "start_delay_ms": 5000 });
    let plan = plugin.prepare(&spec(&script)).await.unwrap();
    let begun = Instant::now();
    for _ in 0..2 {
        assert_eq!(plugin.launch(&plan, &Unheard).await.unwrap_err().class, ErrorClass::Denied);
    }
    plugin.launch(&plan, &Unheard).await.unwrap();
    assert_eq!((begun.elapsed(), backend.started(plan.key.run)), (Duration::from_secs(15), 1));
}

#[tokio::test(start_paused = true)]
async fn another_plugin_on_the_same_backend_finds_what_runs() {
    let backend = Backend::default();
    let before = ScriptedPlugin::new(backend.clone());
    let plan = before.prepare(&spec(&json!({ "run_for_ms": 3_600_000, "exit": "out_of_memory" }))).await.unwrap();
    let handle = before.launch(&plan, &Unheard).await.unwrap();
    drop(before);
    let after = ScriptedPlugin::new(backend);
    assert_eq!(after.reattach(&handle).await.unwrap(), Found::Running);
    let mut events: Vec<_> = after.watch(&handle).await.unwrap().collect().await;
    let last = events.pop().unwrap().unwrap();
    assert!(matches!(last, InfraEvent::Exited(report) if report.exit == Exit::OutOfMemory));
}

#[tokio::test(start_paused = true)]
async fn a_stop_that_takes_longer_than_the_grace_is_forced_at_its_end() {
    let plugin = ScriptedPlugin::new(Backend::default());
    let plan = plugin.prepare(&spec(&json!({ "run_until_killed": true, "stop_takes_ms": 60_000 }))).await.unwrap();
    let handle = plugin.launch(&plan, &Unheard).await.unwrap();
    let asked = Instant::now();
    let killed = plugin.kill(&handle, KillIntent::Shutdown, Duration::from_secs(30)).await.unwrap();
    assert_eq!((killed, asked.elapsed()), (Killed::Forcibly, Duration::from_secs(30)));
}

#[tokio::test(start_paused = true)]
async fn an_acknowledged_cancellation_is_concluded_by_the_engine() {
    let plugin = ScriptedPlugin::new(Backend::default());
    let plan = plugin.prepare(&spec(&json!({ "run_until_killed": true, "acknowledges_cancel": true }))).await.unwrap();
    let handle = plugin.launch(&plan, &Unheard).await.unwrap();
    plugin.kill(&handle, KillIntent::Cancel, Duration::from_secs(30)).await.unwrap();
    let Found::Exited(report) = plugin.reattach(&handle).await.unwrap() else { panic!("has not ended") };
    assert_eq!((report.exit, report.concluded), (Exit::Code(0), Some(Conclusion::CancelAcknowledged)));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_killed_says_so_and_runs_on() {
    let plugin = ScriptedPlugin::new(Backend::default());
    let plan = plugin.prepare(&spec(&json!({ "run_until_killed": true, "kill_unsupported": true }))).await.unwrap();
    let handle = plugin.launch(&plan, &Unheard).await.unwrap();
    let error = plugin.kill(&handle, KillIntent::Cancel, Duration::ZERO).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unsupported);
    assert_eq!(plugin.reattach(&handle).await.unwrap(), Found::Running);
}

#[tokio::test]
async fn a_variable_of_the_wrong_type_is_the_runs_fault() {
    let plugin = ScriptedPlugin::new(Backend::default());
    let error = plugin.prepare(&spec(&json!({ "exit_code": "seven" }))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::BadSpec);
}

#[test]
fn the_template_offers_every_line_of_a_script() {
    let plugin = ScriptedPlugin::new(Backend::default());
    let template = plugin.base_job_template().as_json();
    let script = serde_json::to_value(Script::default()).unwrap();
    for name in script.as_object().unwrap().keys() {
        assert_eq!(template["job_configuration"][name], json!(format!("{{{{ {name} }}}}")), "{name}");
        assert!(template["variables"]["properties"][name].is_object(), "{name}");
    }
}
