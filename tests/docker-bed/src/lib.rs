//! Real Docker for tests: the machine's engine, engines that a test may kill, and image registries.
//!
//! * [`Engine`]: a Docker Engine and the command line client for it. [`Engine::shared`] is the one that
//!   `scripts/docker-bed` has prepared; all tests use it at once, so each looks at what is its own only.
//! * [`PrivateEngine`]: a `dockerd` with a containerd of its own, for tests that restart or kill it. Needs root.
//! * [`Machine`]: a machine that systemd runs, in a container.
//! * [`Registry`]: a real image registry on the loopback.
//!
//! What is missing makes a test fail, it is never skipped. Programs are started as processes; they, their containers and
//! their folders below the temporary directory end with the value that stands for them. Everything blocks and has a bound.

#![expect(clippy::panic, clippy::missing_panics_doc, reason = "a test that cannot go on has failed")]

mod engine;
mod machine;
mod private;
mod process;
mod registry;
mod remains;

pub use engine::{BUSYBOX, Engine, FLOWS};
pub use machine::{MACHINE, Machine};
pub use private::{Options, PrivateEngine};
pub use registry::Registry;
