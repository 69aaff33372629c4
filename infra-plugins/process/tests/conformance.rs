//! The conformance suite with real processes.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::sync::Arc;

use infra_contract::InfraPlugin;
use infra_contract::conformance::{Behaviour, Fixture, MUCH_OUTPUT_BYTES};
use worker_core::spec::RunSpec;

use support::{Bench, script_run};

impl Fixture for Bench {
    fn plugin(&self) -> Arc<dyn InfraPlugin> {
        Arc::<infra_process::ProcessPlugin>::clone(&self.plugin)
    }

    fn spec(&self, behaviour: Behaviour) -> RunSpec {
        match behaviour {
            Behaviour::ExitsZero => script_run("exit 0"),
            Behaviour::ExitsSeven => script_run("exit 7"),
            Behaviour::UntilStopped => script_run("echo ready; exec sleep 600"),
            Behaviour::IgnoresStop => script_run("trap '' TERM; echo ready; while :; do sleep 1; done"),
            Behaviour::MuchOutput => script_run(&format!("yes 'a line of some length' | head -c {MUCH_OUTPUT_BYTES}")),
            Behaviour::LeaksStdout => script_run("sleep 600 & exit 0"),
        }
    }
}

infra_contract::conformance_tests!(#[tokio::test] => Bench::new());
