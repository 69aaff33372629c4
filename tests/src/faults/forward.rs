//! The way to the server: one connection for each connection of a client, kept while the server keeps it.

use std::io;
use std::net::SocketAddr;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// A connection to the server, made when it is needed.
pub(super) struct Upstream {
    address: SocketAddr,
    stopping: CancellationToken,
    /// Held while a request is sent: HTTP/1.1 has one at a time.
    sender: Mutex<Option<SendRequest<Incoming>>>,
}

impl Upstream {
    pub(super) fn new(address: SocketAddr, stopping: CancellationToken) -> Self {
        Self { address, stopping, sender: Mutex::new(None) }
    }

    /// Sends a request on.
    ///
    /// # Errors
    /// The server cannot be reached or breaks the connection.
    pub(super) async fn send(&self, request: Request<Incoming>) -> io::Result<Response<Incoming>> {
        let mut kept = self.sender.lock().await;
        let mut sender = match usable(kept.take()).await {
            Some(sender) => sender,
            None => connect(self.address, self.stopping.clone()).await?,
        };
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        *kept = Some(sender);
        Ok(response)
    }
}

/// A kept connection, once its last answer is through, unless the server has closed it.
async fn usable(kept: Option<SendRequest<Incoming>>) -> Option<SendRequest<Incoming>> {
    let mut sender = kept?;
    sender.ready().await.is_ok().then_some(sender)
}

/// Opens a connection to the server, with a task that drives it until it ends or the proxy does.
pub(super) async fn connect(address: SocketAddr, stopping: CancellationToken) -> io::Result<SendRequest<Incoming>> {
    let stream = TcpStream::connect(address).await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        let ended = stopping.run_until_cancelled(connection.with_upgrades()).await;
        if let Some(Err(error)) = ended {
            tracing::debug!(%error, "a connection to the server behind the proxy broke");
        }
    });
    Ok(sender)
}
