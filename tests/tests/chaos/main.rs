//! The chaos suite in its short form: a kill at every point that matters, and some fixed rounds. `just chaos` plays more of
//! them.

mod failpoints;
mod late_claim;
mod real_server;
mod rounds;
mod small_disk;
