//! The Kubernetes kind: each run is a Job of its own.
//!
//! [`KubernetesPlugin`] works out from a job configuration which Job to ask the API server for, makes it with the Secret that
//! holds its secrets, and follows it by watches that all runs of a cluster share. Everything that a later process has to know is
//! in the Job's labels and in one annotation. A worker that was killed finds its Jobs by them.
//!
//! The name of a Job follows from its execution, so the API server itself sees to it that an execution is started once.
//!
//! A run has failed only if the API server says so when it is asked: that a watch breaks, is silent or repeats what was proves
//! nothing.
//!
//! **Spawns**: three watching tasks for each set of namespaces, owned by it; a task for each watched run and one for its log, owned
//! by the run's stream; a task for each set of namespaces that is observed, owned by the observer's stream.
//!
//! **Channels**: a bounded one from each watching task to its stream. When it is full the output waits at the API server.
//!
//! **Never**: reads the worker's own settings (they are handed in as [`KubernetesSettings`]), talks to Prefect's API, decides
//! what becomes of a run, deletes what does not carry a mark of its owner unless it is told to by name, or puts a secret into a
//! Job unless the settings say so.

mod access;
mod autoscaling;
mod check;
mod cluster;
mod ends;
mod error;
mod fields;
mod handle;
mod inquest;
mod judgement;
mod kill;
mod launch;
mod lines;
mod manifest;
mod marks;
mod notes;
mod observe;
mod output;
mod plan;
mod plan_error;
mod plugin;
mod rbac;
mod refusal;
mod requested;
mod secret;
mod settings;
mod sight;
mod template;
mod watch;
mod watching;

pub use access::{Answer, findings, review};
pub use plugin::KubernetesPlugin;
pub use rbac::{Grant, Rule, is_account_name, is_namespace_name, reading_rules, rules};
pub use settings::{Cleanup, KubernetesSettings, SecretKeyRef, Secrets};
