//! Noticing that runs are to be cancelled.
//!
//! One observer per pool worker. It hears of cancellations on the API's event stream, which is a hint only, and asks for
//! them as well: seldom beside a stream, more often without one. It only tells the runs; what is done about it is the run
//! machine's decision.
//!
//! The same stream tells that runs of the pool became Scheduled, which is passed on to the poller: a second stream would be a
//! second connection.

mod asking;
mod filter;
mod following;
mod looks;
mod observer;
mod policy;
mod sight;

pub(crate) use observer::LONGEST_QUESTION;
pub use observer::{Observer, PickUpEvents};
pub use policy::{CancellationPolicy, Reaction};
