//! A reverse proxy that breaks things on demand, in front of the in-memory API or of a real server.
//!
//! Rules say what goes wrong with which requests and how often; they are set and lifted while it runs. Everything else
//! passes through unchanged: HTTP/1.1 with keep-alive, and websockets as raw bytes.
//!
//! A proxy spawns one task that accepts, one task a connection, one task a websocket, and one task for each connection
//! to the server behind it. All end with the proxy.

mod book;
mod connection;
mod forward;
mod pattern;
mod rule;
mod tunnel;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, lookup_host};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::api::store::{NotMet, condition_met};
use book::RuleBook;
pub use book::{Counts, RuleId};
pub use pattern::PathPattern;
pub use rule::{Answer, Fault, Frequency, Rule};

/// A running proxy. It stops when it is dropped, and with it every connection through it.
pub struct FaultProxy {
    url: Url,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

/// What the tasks of a proxy share.
struct Shared {
    /// The server behind it.
    upstream: SocketAddr,
    book: Mutex<RuleBook>,
    /// Counts changes of the counts; its value means nothing.
    changes: watch::Sender<u64>,
    /// Cancelled to cut the open websockets, and replaced by a fresh one.
    websockets: Mutex<CancellationToken>,
    /// Cancelled when the proxy goes away.
    stopping: CancellationToken,
}

impl FaultProxy {
    /// Starts a proxy in front of `upstream` on a port of the system's choice. Its dice are seeded: the same requests in
    /// the same order meet the same faults.
    ///
    /// # Errors
    /// The address of `upstream` is not known, or the system gave no port.
    pub async fn start(upstream: &Url, seed: u64) -> io::Result<Self> {
        let unknown = || io::Error::new(io::ErrorKind::InvalidInput, "the upstream has no address");
        let host = upstream.host_str().ok_or_else(unknown)?;
        let port = upstream.port_or_known_default().ok_or_else(unknown)?;
        let address = lookup_host((host, port)).await?.next().ok_or_else(unknown)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let mut url = upstream.clone();
        url.set_ip_host(Ipv4Addr::LOCALHOST.into()).map_err(|()| unknown())?;
        url.set_port(Some(listener.local_addr()?.port())).map_err(|()| unknown())?;
        let shared = Arc::new(Shared {
            upstream: address,
            book: Mutex::new(RuleBook::new(seed)),
            changes: watch::Sender::new(0),
            websockets: Mutex::new(CancellationToken::new()),
            stopping: CancellationToken::new(),
        });
        let accepting = tokio::spawn(connection::accept(listener, Arc::clone(&shared)));
        Ok(Self { url, shared, accepting })
    }

    /// The URL of the upstream through the proxy, with the upstream's path.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Adds a rule. Of several that match a request the first added acts; delays add up with whatever comes after.
    pub fn add(&self, rule: Rule) -> RuleId {
        self.shared.book().add(rule)
    }

    /// Lifts a rule. What it did stays counted.
    pub fn lift(&self, rule: RuleId) {
        self.shared.book().lift(rule);
    }

    /// Lifts all rules.
    pub fn clear(&self) {
        self.shared.book().clear();
    }

    /// What it did so far.
    pub fn counts(&self) -> Counts {
        self.shared.book().counts.clone()
    }

    /// Cuts all open websockets without a closing frame, and returns how many there were.
    pub fn cut_websockets(&self) -> u64 {
        let open = self.shared.book().counts.open_websockets;
        self.shared.websockets().cancel();
        open
    }

    /// Waits until the counts meet a condition. They are looked at at once and after every change. `what` names the
    /// condition in the error.
    ///
    /// # Errors
    /// The condition was not met within `bound`.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn wait_until<T>(
        &self,
        what: &str,
        bound: Duration,
        mut condition: impl FnMut(&Counts) -> Option<T>,
    ) -> Result<T, NotMet> {
        condition_met(self.shared.changes.subscribe(), what, bound, || condition(&self.shared.book().counts)).await
    }

    /// Waits until a rule has acted so many times.
    ///
    /// # Errors
    /// It has not within `bound`.
    pub async fn acted(&self, rule: RuleId, times: u64, bound: Duration) -> Result<(), NotMet> {
        let what = format!("the rule acts {times} times");
        self.wait_until(&what, bound, |counts| (counts.of(rule) >= times).then_some(())).await
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.shared.stopping.cancel();
        self.shared.websockets().cancel();
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, RuleBook> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The token of the websockets that are open; a cancelled one is replaced for those to come.
    fn websockets(&self) -> CancellationToken {
        let mut current = self.websockets.lock().unwrap_or_else(PoisonError::into_inner);
        if current.is_cancelled() && !self.stopping.is_cancelled() {
            *current = CancellationToken::new();
        }
        current.clone()
    }

    /// Changes the counts and tells who waits.
    fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.book().counts);
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }
}

#[cfg(test)]
mod tests;
