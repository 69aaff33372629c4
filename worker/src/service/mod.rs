//! The worker as a service of a machine with systemd: what `worker service` writes, and which commands it runs.
//!
//! What is to be done is planned first, without touching anything ([`Install`], [`Uninstall`]), and then carried out step by step
//! ([`carry_out`]). The unit files are those of `deploy/systemd`, which the package installs as well; `unit` puts in what
//! differs. Spawns `systemctl` and `systemd-sysusers`, and nothing that outlives the command.

mod carrying_out;
mod plan;
mod unit;

pub use carrying_out::{ServiceError, carry_out, look_around};
pub use plan::{Install, Present, Refusal, Step, Uninstall};
