//! The client of the central API: Prefect's HTTP endpoints and websockets as a worker uses them.
//!
//! It knows how to be let in (credentials, CSRF, certificates, proxies), how long to insist ([`CallKind`]), and how to tell
//! an answer of the API from that of something in between. What the answers mean for a run is the caller's business: a
//! refused proposal is a [`Verdict`], not an error.
//!
//! * [`Client`] makes calls. It spawns nothing and is cheap to clone.
//! * [`EventsIn`], [`EventsOut`] and [`Channel`] are websockets. They spawn nothing: keep-alive happens inside `next` and
//!   `idle`, so whoever holds one keeps calling those.
//! * [`LogShipper`] and [`EventEmitter`] each spawn one task, which a `CancellationToken` stops and whose handle is
//!   returned. Lines and events go in through bounded queues that never block; what they lose is counted and told. While
//!   the API does not take them they go on to a [`Spool`], a folder in which they outlive the process.
//!
//! It never ends the process, never prints a credential or the query of a URL, reads no environment variable but the proxy
//! ones, and decides nothing about runs.

mod answer;
mod backoff;
mod calls;
mod client;
mod csrf;
mod delivery;
mod error;
mod events;
mod exchange;
mod headers;
mod lanes;
mod logs;
mod redact;
mod refusal;
mod request;
mod retry;
mod settings;
mod spool;
mod tls;
mod traffic;
mod transport;
mod undecodable;
mod websocket;

pub use backoff::Backoff;
pub use calls::{Greeting, Verdict};
pub use client::Client;
pub use delivery::Moves;
pub use error::{ApiError, ClientBuildError, TransportError};
pub use events::EventEmitter;
pub use logs::LogShipper;
pub use redact::redacted;
pub use retry::CallKind;
pub use settings::{ClientSettings, Credentials, LogSettings, RetrySettings, TlsSettings};
pub use spool::Spool;
pub use traffic::Traffic;
pub use transport::{client_for_others, proxy_for};
pub use websocket::{Channel, ChannelError, Disposition, EventsIn, EventsOut, StreamError};
