//! The suite that every plugin must pass, against a real cluster.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

mod support;

use std::sync::Arc;

use infra_contract::InfraPlugin;
use infra_contract::conformance::{Behaviour, Fixture, MUCH_OUTPUT_BYTES};
use worker_core::spec::RunSpec;

use support::Bench;

impl Fixture for Bench {
    fn plugin(&self) -> Arc<dyn InfraPlugin> {
        Arc::<infra_kubernetes::KubernetesPlugin>::clone(&self.plugin)
    }

    fn spec(&self, behaviour: Behaviour) -> RunSpec {
        self.script(&match behaviour {
            Behaviour::ExitsZero => "exit 0".to_owned(),
            Behaviour::ExitsSeven => "exit 7".to_owned(),
            Behaviour::UntilStopped => "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done".to_owned(),
            Behaviour::IgnoresStop => "trap '' TERM; echo ready; while :; do sleep 0.05; done".to_owned(),
            Behaviour::MuchOutput => format!("yes 0123456789abcde | head -c {MUCH_OUTPUT_BYTES}"),
            Behaviour::LeaksStdout => "(sleep 60 &) ; exit 0".to_owned(),
        })
    }
}

infra_contract::conformance_tests!(#[tokio::test] => Bench::new().await);
