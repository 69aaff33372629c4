//! The shapes of answers: every field the real server sends, nulls included, because clients and their models expect
//! them.

mod block;
mod deployment;
mod flow;
mod flow_run;
mod state;
mod work_pool;

pub(super) use block::{block_json, block_type_json};
pub(super) use deployment::deployment_json;
pub(super) use flow::{flow_json, log_json, variable_json};
pub(super) use flow_run::{offered_run_json, run_json};
pub(super) use state::{draft_json, outcome_json, state_json};
pub(super) use work_pool::{queue_json, worker_json};

pub(in crate::api) use flow::event_json;
pub(in crate::api) use work_pool::pool_json;
