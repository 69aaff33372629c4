//! What an operator can ask of a running daemon, and tell it.
//!
//! The daemon serves HTTP with JSON on a unix socket in its own folder, which only its user can open; `worker status` and its
//! siblings are the other end. [`Desk`] is what the answers are made from: it reads what others keep and decides nothing
//! about runs. What is worked out from facts (`explanation`, `picking`, `tables`, `changes`) is apart from asking for them.
//!
//! One task serves the socket until the very end of a stop, and one waits for SIGHUP. A client that hangs holds up nobody.

mod answers;
mod asking;
mod cancelling;
mod changes;
mod desk;
mod explanation;
mod picking;
mod planned_pool;
mod pools;
mod reloading;
mod seeking;
mod server;
mod socket;
mod tables;
mod why;

pub use answers::{
    ApiAnswer, Cancelled, Cordoned, Course, DaemonState, DrainWish, Draining, Ended, Health, PoolStatus, Refusal,
    RunNamed, RunSeen, Status, Why,
};
pub use asking::{AskError, Line, Nobody, lines};
pub use desk::{CORDONED, Desk, DeskWorkspace, Drain};
pub use planned_pool::{PlannedPool, Standing};
pub use pools::Pools;
pub use reloading::{Changeable, ReadAgain, Reading, Reloader, Reloading};
pub use seeking::{cancel, why};
pub use server::DeskServer;
pub use tables::{cancelled, runs_table, status_text, why_text};
