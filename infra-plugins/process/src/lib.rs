//! The process kind: each run is a child process of the worker, in a process group of its own.
//!
//! [`ProcessPlugin`] starts the run's command, by default `python -m prefect.engine`, with the environment that Prefect's
//! process worker would give it; relays its output; speaks the control session with the engine, over which a
//! cancellation is announced and outcomes come back; and stops the whole tree of processes, including those that have
//! detached themselves from it.
//!
//! **Spawns**: for each run one task, which relays the output, waits for the child and sweeps up after it; it is owned by
//! the plugin's table of runs and ends with the run. For the plugin one task, started with the first launch, which
//! accepts control connections on the loopback interface and is aborted with the plugin.
//!
//! **Channels**: for each run one bounded channel of output towards whoever watches. A full one holds the child back;
//! after a while without a reader, output is dropped and counted, so that neither the child hangs nor memory grows.
//!
//! **Never**: reads the worker's own environment or settings (they are handed in as [`ProcessSettings`]), talks to the API,
//! decides what becomes of a run, or survives the worker: children are not stopped when the worker is killed, but their
//! exit is then lost, and a later worker can only see whether they still run.

mod check;
mod command;
mod control;
mod environment;
mod error;
mod executable;
mod exit_detail;
mod fields;
mod handle;
mod interpreter;
mod lines;
mod masking;
mod output;
mod plan;
mod plugin;
mod process;
mod procfs;
mod run;
mod settings;
mod shepherd;
mod spawn;
mod stderr_tail;
mod stop;
mod template;
mod tree;
mod uv;

pub use environment::LAUNCH_MARKER;
pub use plugin::ProcessPlugin;
pub use settings::ProcessSettings;
