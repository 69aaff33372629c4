//! The chaos suite in its short form: a kill at every point that matters, and some fixed rounds. `just chaos` plays more of
//! them.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod failpoints;
mod late_claim;
mod real_server;
mod rounds;
mod small_disk;
