//! One work pool that this daemon serves: its own settings, loops and slots.
//!
//! Tasks of a pool worker: the sync loop (pool and heartbeat), the worker channel, the poller, the cancellation observer.
//! They share the pool as it is now ([`PoolView`]) and the table of live runs; none of them can stop another.

mod announced;
mod announcements;
pub mod channel;
mod channel_health;
pub mod late;
pub mod pace;
mod pick_up;
pub mod poller;
mod settings;
mod skipping;
pub mod sync;
mod teardown;
mod trouble;
mod view;

pub use announcements::{Announcement, Announcements};
pub use channel_health::ChannelHealth;
pub use settings::PoolSettings;
pub use teardown::TeardownDesk;
pub use trouble::Trouble;
pub use view::PoolView;
