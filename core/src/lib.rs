//! The run model and the run machine.
//!
//! Pure: no I/O, no clock, no tasks, no async runtime. It spawns nothing and owns no channel. Everything that decides
//! what happens to a run lives here and is tested as values: the [`machine`], the template language and job
//! configuration of a work pool, the meaning of exit codes.

pub mod exit;
pub mod exit_codes;
pub mod handle;
pub mod ids;
pub mod job_configuration;
pub mod machine;
pub mod policy;
pub mod redaction;
pub mod rerun;
pub mod slug;
pub mod spec;
pub mod template;
pub mod texts;
