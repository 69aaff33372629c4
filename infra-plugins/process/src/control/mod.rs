//! The control session: how the worker and the Prefect engine in a child speak with each other.
//!
//! The engine connects to a port on the loopback interface with a token that only it was given. Over the connection the
//! worker announces a cancellation before the signal that carries it out, so that the engine settles the run as
//! cancelled and runs its hooks, instead of as crashed; and the engine says what it has settled, so that its exit code
//! need not be guessed about. Engines that know nothing of it are stopped by signals alone.

mod frame;
mod listener;
mod session;

pub(crate) use listener::{ControlListener, Invitation};
pub(crate) use session::{CancelAnswer, Session};
