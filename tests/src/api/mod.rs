//! A Prefect 3 API in memory: enough of a server for a worker and for the flow processes of the unmodified Python SDK.
//!
//! * [`rules`] and [`schedule`] decide, purely;
//! * [`store`] holds the tables behind one lock;
//! * the HTTP and websocket layers only translate.
//!
//! It answers what a real server was seen to answer, field for field, as far as a worker or a flow process looks.

mod http;
pub mod model;
pub mod options;
pub mod rules;
pub mod schedule;
mod server;
mod sockets;
pub mod store;
pub mod version;

use std::io;

pub use options::ApiOptions;
use url::Url;
pub use version::Version;

use server::Server;
use sockets::Close;
use store::Store;

/// A running API on the loopback. It stops when it is dropped.
///
/// It spawns one task that accepts, one task a connection and one task a websocket; all end with it.
pub struct TestApi {
    url: Url,
    port: u16,
    store: Store,
    server: Option<Server>,
}

impl TestApi {
    /// Starts an API with empty tables on a port of the system's choice.
    ///
    /// # Errors
    /// The system gave no port.
    pub async fn start(options: ApiOptions) -> io::Result<Self> {
        Self::serve(Store::new(options)).await
    }

    /// Starts an API on tables that are there already.
    ///
    /// # Errors
    /// The system gave no port.
    pub async fn serve(store: Store) -> io::Result<Self> {
        let server = Server::start(store.clone(), 0).await?;
        let port = server.address.port();
        let url = Url::parse(&format!("http://{}/api", server.address)).map_err(io::Error::other)?;
        Ok(Self { url, port, store, server: Some(server) })
    }

    /// The base URL, ending in `/api`: what `PREFECT_API_URL` has to be.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The tables.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Closes the open websockets of a path, without `/api`, and returns how many there were.
    pub fn close_sockets(&self, path: &str, code: u16, reason: &str) -> usize {
        let close = Close { code, reason: reason.to_owned() };
        self.server.as_ref().map_or(0, |server| server.registry.close(path, &close))
    }

    /// Goes away as a server does that is restarted: websockets close with 1012, connections are cut, new ones are
    /// refused. The tables stay.
    pub async fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
    }

    /// Comes back on the same port, with the same tables.
    ///
    /// # Errors
    /// Somebody else took the port.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.stop().await;
        self.server = Some(Server::start(self.store.clone(), self.port).await?);
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
