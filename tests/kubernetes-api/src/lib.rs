//! A Kubernetes API service in memory, for tests that create faults.
//!
//! [`Api`] is the server, and also the cluster behind it: the test is the kubelet and the scheduler, [`Faults`] are the
//! network and the load. It serves Jobs, pods with their logs, events (both API groups), Secrets, nodes, namespaces,
//! `SelfSubjectAccessReview` and `/version`, over plain HTTP, to any client.
//!
//! A test waits for what the server saw with [`Api::until`], never by time.

#![expect(clippy::panic, clippy::missing_panics_doc, reason = "a test that cannot go on has failed")]
#![expect(clippy::indexing_slicing, reason = "an object of JSON grows by its index")]

mod admission;
mod answer;
mod api;
mod change;
mod create;
mod delete;
mod failure;
mod faults;
mod jobs;
mod kubelet;
mod list;
mod logs;
mod pod_state;
mod presentation;
mod query;
mod records;
mod resource;
mod selector;
mod server;
mod state;
mod unknown_fields;
mod verb;
mod waiting;
mod watch;

pub use api::Api;
pub use failure::Failure;
pub use faults::Faults;
pub use pod_state::PodState;
pub use records::Request;
pub use verb::Verb;
