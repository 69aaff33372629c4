//! The three websockets: events in, events out, and the worker channel.

mod channel;
mod disposition;
mod events_in;
mod events_out;
mod handshake;
mod socket;
mod stream_error;

pub use channel::{Channel, ChannelError};
pub use disposition::Disposition;
pub use events_in::EventsIn;
pub use events_out::EventsOut;
pub use stream_error::StreamError;
