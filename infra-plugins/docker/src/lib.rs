//! The Docker kind: each run is a container of its own, made through the Docker Engine API.
//!
//! [`DockerPlugin`] works out from a job configuration what to ask the engine for, pulls the image if the run's policy asks
//! for it, makes the container, hands over its secrets and starts it. Everything that a later process has to know is in the
//! container's labels: whose it is, which execution it is, what becomes of its output and of itself. A worker that was
//! killed finds its containers by them.
//!
//! A container has the name of its run, not that of its execution: people look for it. That an execution is started once hangs
//! on the label of the launch key, and on the engine's two steps: what was made and not started does nothing.
//!
//! **Spawns**: one task for each watcher, owned by its stream, and one for each pull, owned by those who wait for it.
//!
//! **Channels**: a bounded one from each watching task to its stream. When it is full the output waits at the engine, and
//! the container does not.
//!
//! **Never**: reads the worker's own environment or settings (they are handed in as [`DockerSettings`]), talks to the API,
//! decides what becomes of a run, removes a container that does not carry a mark of its owner, or lets the engine write down
//! a secret unless the settings say so.

mod connection;
mod container_user;
mod create_kwargs;
mod ending;
mod engine;
mod engine_loss;
mod error;
mod fields;
mod handle;
mod image;
mod inquest;
mod kept;
mod launch;
mod marks;
mod mounted_code;
mod naming;
mod network;
mod notes;
mod occurrences;
mod output;
mod plan;
mod plugin;
mod pull;
mod pull_progress;
mod registry;
mod requested;
mod secrets;
mod seen;
mod settings;
mod stopped;
mod template;
mod turns;
mod volumes;
mod watch;

pub use plugin::DockerPlugin;
pub use settings::{Cleanup, DEFAULT_TTL, DockerSettings, Secrets};
