//! A plugin whose infrastructure does what the run's job variables say: for tests of the daemon, and for demonstrations.
//!
//! It is a real plugin of kind `scripted` and passes the conformance suite. What it "runs" lives in a [`Backend`] in
//! memory, which several plugins can share: a second plugin on the same backend is what a restarted worker would find.
//! Slow starts, lost replies, exit codes, signals, ignored stops and output are all scripted ([`Script`]).
//!
//! It spawns nothing and owns no channel; all times are tokio's, so that a paused clock runs through a script at once. It
//! never starts a process and never touches the network or the file system.

mod backend;
mod plugin;
mod script;
mod template;

pub use backend::Backend;
pub use plugin::ScriptedPlugin;
pub use script::{FailureClass, Script, ScriptedFailure};
