//! What the integration tests stand on: an API in memory and a proxy that breaks things.
//!
//! * [`api`]: a Prefect 3 API in memory, over real HTTP and websockets on the loopback. It spawns one task that accepts
//!   and one task a connection; they end with the [`api::TestApi`]. Nothing is written to disk.
//! * [`faults`]: a reverse proxy for this API or for a real server, which resets, delays, refuses or loses what it is
//!   told to.
//! * [`harness`]: the built worker, a real Prefect server and the SDK as processes under test, and what scenarios share.
//!   It spawns a task for each stream of a process it reads; those end with the process.
//!
//! Neither sleeps to wait for something: conditions are looked at again after every change, with a bound.

pub mod api;
pub mod chaos;
pub mod faults;
pub mod harness;
