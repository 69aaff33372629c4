//! The daemon: takes scheduled runs from Prefect work pools and executes them.
//!
//! Per pool it spawns four loops: sync (pool and heartbeat over REST), channel (the same over a websocket), poller, and
//! cancellation observer; per run one actor; per process a repair loop, the operator's desk, a log shipper, an event emitter, one
//! thread that writes the journal, and, if wanted, servers of health and metrics and a thread that writes the audit log.
//! Offers go poller -> dispatcher -> actor by call; stops go observer or daemon -> actor by the inbox in [`live_runs`];
//! the pool as it is now goes sync or channel -> everybody by [`pool::PoolView`].
//!
//! It never sets a run's state while the run's own engine owns it, except to end a cancellation, and nothing that the API
//! answers ends it once it has started.

pub mod admission;
pub mod adoption;
pub mod audit;
pub mod budget;
pub mod cancellation;
pub mod cli;
pub mod code_cache;
mod configuring;
pub mod console;
pub mod control_plane;
pub mod daemon;
pub mod dispatcher;
pub mod doctor;
pub mod failpoint;
pub mod health;
mod job_variables;
pub mod journal;
pub mod live_runs;
pub mod liveness;
pub mod metrics;
pub mod operator;
pub mod plan;
pub mod policy;
pub mod pool;
pub mod preflight;
mod pulling;
pub mod redaction;
mod references;
pub mod refusals;
pub mod registry;
mod rendering;
pub mod repair;
pub mod resources;
mod returned_memory;
pub mod run;
mod sandboxes;
pub mod service;
mod shadow;
pub mod signals;
pub mod slot_limit;
pub mod slots_held;
pub mod start_error;
pub mod state_folder;
pub mod surroundings;
pub mod telemetry;
pub mod timeline;
pub mod traces;
