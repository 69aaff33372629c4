//! The listening side: one task accepts, one task a connection serves.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::Extension;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::answer;
use crate::state::Shared;

/// Dropped, it takes every connection down with it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(shared: Arc<Shared>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let accepting = tokio::spawn(accept(listener, shared));
        Ok(Self { address, accepting })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What cuts the connection that a request came on.
#[derive(Clone)]
pub(crate) struct Cut(pub(crate) CancellationToken);

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let router = Router::new().fallback(answer::answer).with_state(Arc::clone(&shared));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let token = shared.read(|state| (!state.faulty.down).then(|| state.connections.child_token()));
                    if let Some(token) = token {
                        connections.spawn(serve(stream, router.clone(), token));
                    }
                }
                Err(error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, router: Router, token: CancellationToken) {
    let service = TowerToHyperService::new(router.layer(Extension(Cut(token.clone()))));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        },
        () = token.cancelled() => {}
    }
}
