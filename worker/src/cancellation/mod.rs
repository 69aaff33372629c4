//! Noticing that runs are to be cancelled.
//!
//! One observer per pool worker. It hears of cancellations on the API's event stream, and asks for them at an interval
//! while there is no stream. It only tells the runs; what is done about it is the run machine's decision.

mod observer;
mod policy;

pub use observer::Observer;
pub use policy::{CancellationPolicy, Reaction};
