//! What scenarios are made of: the daemon under test, the API it talks to, and ways to wait.
//!
//! Everything here fails by a panic with a text for the person who reads the failed test.

#![expect(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test that cannot go on has failed"
)]

mod binary;
mod chart;
pub mod conformance;
mod daemon;
mod disk;
mod git;
mod lab;
mod lane;
mod monitor;
mod output;
mod postgres;
mod prefect_server;
mod processes;
mod rest;
mod sdk;
mod sources;
mod specs;
mod wait;

pub use binary::{debian_package, python_program, worker_binary, workspace_root};
pub use chart::{Chart, Rendered};
pub(crate) use daemon::kill_offspring_of;
pub use daemon::{Daemon, DaemonSpec, Finished, Offspring};
pub use disk::Disk;
pub use git::{GitDaemon, repository_of};
pub use lab::{Lab, LabPool, command_variables, process_template, run_resource};
pub use lane::Lane;
pub use monitor::{Monitor, Scrape, promtool};
pub use output::Output;
pub use prefect_server::PrefectServer;
pub(crate) use processes::kill_working_in;
pub use processes::{is_alive, kill_with_environment, resident_kib};
pub use rest::Rest;
pub use sdk::Sdk;
pub use sources::{rust_sources, workspace_path};
pub use specs::{DeploymentSpec, RunSpec};
pub use wait::{PATIENT, SOON, until};
