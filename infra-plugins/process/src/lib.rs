//! The process kind: each run is a process on the worker's machine, under a supervisor of its own that outlives the worker.
//!
//! [`ProcessPlugin`] starts for each run a supervisor, which starts the run's command, by default
//! `python -m prefect.engine`, with the environment that Prefect's process worker would give it. What is known of a run
//! lies in its folder: who has claimed it, which process it is, its output, how it ended. The worker may die, be restarted
//! or be upgraded meanwhile: a later one finds the folder and goes on. [`supervise`] is the supervisor; a program that
//! uses the plugin must call it when it is started as [`SupervisorProgram`] says.
//!
//! **Spawns**: for each run one supervisor process, one thread each, and below it the command. In the worker for each run
//! one task, which waits for the end and collects a supervisor that had to be executed; it is owned by the plugin's table of runs and ends with
//! the run. For the plugin one task that hears of changes in the folders, and one for each launch that was given up, which
//! removes its folder after seconds; all are aborted with the plugin, and no run is touched by that.
//!
//! For the plugin one process that supervisors are forked from, because executing a program for each is dear; it ends with the
//! plugin. Where runs start warm, up to a few processes that runs are forked from ([`Warm`]); they end with the plugin, and no run with
//! them.
//!
//! **Channels**: output goes through files, which the command writes itself and whoever watches reads on. They hold
//! a bounded number of bytes: what was relayed is freed first, then what is oldest, and that is said where it is missing.
//! So neither the run waits for a reader, nor does memory or the disk fill up. Orders go to a supervisor through a socket
//! in the folder; the engine speaks with it through a port on the loopback interface.
//!
//! **Confinement**: where the settings ask for it, the supervisor limits the run by cgroups, and its program, executed once more,
//! becomes the command after it has given up what the run must not have ([`Confinement`]).
//!
//! **Never**: reads the worker's own environment or settings (they are handed in as [`ProcessSettings`]), talks to the API,
//! decides what becomes of a run, writes a run's environment to disk or into an argument, or starts anything under a
//! launch key that somebody else has claimed.

mod adoption;
mod cgroup;
mod changes;
mod check;
mod claim;
mod claim_file;
mod command;
mod confinement;
mod control;
mod environment;
mod error;
mod executable;
mod exit_detail;
mod fences;
mod fields;
mod folder;
mod fork_server;
mod handle;
mod inheritance;
mod interpreter;
mod launch;
mod lines;
mod oom;
mod oom_score;
mod open_files;
mod orders;
mod output_file;
mod pipes;
mod plan;
mod plugin;
mod process;
mod procfs;
mod relayed;
mod removal;
mod run;
mod seen;
mod settings;
mod shepherd;
mod stop;
mod supervision;
mod supervisor;
mod tail;
mod template;
mod tree;
mod uv;
mod warm;

pub use confinement::{Confinement, RunAs, UnknownUser};
pub use environment::LAUNCH_MARKER;
pub use inheritance::Inheritance;
pub use open_files::raise_open_files_limit;
pub use plugin::ProcessPlugin;
pub use settings::{ProcessSettings, SUPERVISE_RUN, SupervisorProgram};
pub use supervisor::supervise;
pub use warm::Warm;
