//! Chaos: the built worker, runs that leave marks, and everything that can go wrong at once.
//!
//! A round is a [`Plan`] that follows from one number: which runs there are, and what happens when. [`play`] carries it out
//! against an API behind the fault layer, waits for everything to settle, and compares what is left with what must be true:
//! every run executed exactly once, its state right, nothing left behind, every slot free. The same number makes the same
//! plan; how the processes of the machine interleave is not in it.
//!
//! It spawns nothing of its own but the workers under test.

#![expect(clippy::panic, clippy::missing_panics_doc, reason = "a round that cannot go on has failed")]

mod accounts;
mod aftermath;
mod arena;
mod case;
mod disturbance;
mod job;
mod mishap;
mod plan;
mod record;
mod remains;
mod round;
mod seat;
mod tally;

pub use arena::Arena;
pub use plan::{Crew, FAILPOINTS, Plan};
pub use round::{Report, play};
pub use tally::Tally;
