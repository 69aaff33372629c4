//! The client against a server on the loopback: what is on the wire, and what becomes of the answers.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers may fail as the test does")]

mod calls;
mod csrf;
mod events;
mod headers;
mod logs;
mod proxy;
mod retries;
mod spool;
mod support;
mod tls;
mod websockets;
