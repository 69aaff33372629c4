//! The listening side: one task accepts, one task a connection serves.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::task::TaskTracker;

use super::http::{Api, router};
use super::sockets::Registry;
use super::store::Store;

/// A listening server. Dropped, it takes every connection and websocket down with it.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) registry: Registry,
    sockets: TaskTracker,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Listens on the loopback; port 0 lets the system choose.
    pub(super) async fn start(store: Store, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let (registry, sockets) = (Registry::default(), TaskTracker::new());
        let api = Api { store: store.clone(), registry: registry.clone(), sockets: sockets.clone() };
        let accepting = tokio::spawn(accept(listener, router(api), store));
        Ok(Self { address, registry, sockets, accepting })
    }

    /// Stops listening, cuts open connections, closes websockets with 1012, and waits until all are gone.
    pub(super) async fn stop(mut self) {
        self.accepting.abort();
        self.registry.stop();
        self.sockets.close();
        self.sockets.wait().await;
        if let Err(error) = (&mut self.accepting).await
            && error.is_panic()
        {
            tracing::error!(%error, "the accepting task of the API ended badly");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        self.registry.stop();
    }
}

/// Accepts until it is aborted. The connections' tasks end with the set that owns them.
async fn accept(listener: TcpListener, router: Router, store: Store) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let counted = Counted::open(store.clone());
                    connections.spawn(serve(stream, router.clone(), counted));
                }
                Err(error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, router: Router, counted: Counted) {
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the API broke");
    }
    drop(counted);
}

/// Counts a connection as open while it lives.
struct Counted(Store);

impl Counted {
    fn open(store: Store) -> Self {
        store.write(super::store::Tables::connection_opened);
        Self(store)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.write(super::store::Tables::connection_closed);
    }
}
