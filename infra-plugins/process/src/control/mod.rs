//! The control session: how the supervisor and the Prefect engine in the run speak with each other.
//!
//! The engine connects to a port on the loopback interface with a token that only it was given. Over the connection the
//! supervisor announces a cancellation before the signal that carries it out, so that the engine settles the run as
//! cancelled and runs its hooks, instead of as crashed; and the engine says what it has settled, so that its exit code
//! need not be guessed about. Engines that know nothing of it are stopped by signals alone.

mod engine_port;
mod frame;
mod session;

pub(crate) use engine_port::EnginePort;
pub(crate) use session::ACKNOWLEDGEMENT_LIMIT;
