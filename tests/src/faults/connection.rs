//! Connections from clients: each request meets the rules, then the server or not.

use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::forward::Upstream;
use super::rule::{Answer, Fault};
use super::tunnel;

/// What the proxy answers with: its own body, or the server's as it comes.
pub(super) type Reply = Response<BoxBody<Bytes, hyper::Error>>;

/// A connection from a client.
pub(super) struct Client {
    pub(super) shared: Arc<Shared>,
    /// A second handle on the socket: lingering is set on it while the first one is in use.
    pub(super) socket: OwnedFd,
    /// Cancelled to reset the connection.
    reset: CancellationToken,
    upstream: Upstream,
}

/// Accepts until it is aborted. The connections' tasks end with the set that owns them.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    shared.count(|counts| counts.connections += 1);
                    connections.spawn(serve(stream, Arc::clone(&shared)));
                }
                Err(error) => tracing::debug!(%error, "a connection was gone before it was accepted"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let socket = match rustix::io::dup(&stream) {
        Ok(socket) => socket,
        Err(error) => return tracing::error!(%error, "no second handle on a connection"),
    };
    let upstream = Upstream::new(shared.upstream, shared.stopping.clone());
    let client = Arc::new(Client { shared, socket, reset: CancellationToken::new(), upstream });
    let service = service_fn(|request| handle(Arc::clone(&client), request));
    let connection = pin!(http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
    tokio::select! {
        biased;
        () = client.reset.cancelled() => reset_on_close(&client.socket),
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a connection through the proxy broke");
        },
    }
}

/// Makes the closing of a socket a reset: the peer gets an error, not an end.
pub(super) fn reset_on_close(socket: &OwnedFd) {
    if let Err(error) = rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)) {
        tracing::debug!(%error, "a connection ends without a reset");
    }
}

async fn handle(client: Arc<Client>, request: Request<Incoming>) -> Result<Reply, Infallible> {
    let is_upgrade = request.headers().contains_key(UPGRADE);
    let plan = client.shared.book().plan(request.method(), request.uri().path(), is_upgrade);
    client.shared.count(|_| {});
    if !plan.delay.is_zero() {
        tokio::time::sleep(plan.delay).await;
    }
    let reply = match plan.fault {
        Some(Fault::Reset) => None,
        Some(Fault::BlackHole) => std::future::pending().await,
        Some(Fault::Answer(answer)) => Some(own_reply(answer)),
        Some(Fault::Maintenance) => Some(maintenance_reply()),
        Some(Fault::RefuseUpgrade) => Some(bare_reply(StatusCode::FORBIDDEN)),
        Some(Fault::LoseReply) => {
            lose_reply(&client, request).await;
            None
        }
        Some(Fault::Delay(_)) | None if is_upgrade => tunnel::open(&client, request).await,
        Some(Fault::Delay(_)) | None => client.forward(request).await,
    };
    match reply {
        Some(reply) => Ok(reply),
        None => client.reset().await,
    }
}

async fn lose_reply(client: &Client, request: Request<Incoming>) {
    if let Some(reply) = client.forward(request).await
        && let Err(error) = reply.into_body().collect().await
    {
        tracing::debug!(%error, "the lost reply broke before its end");
    }
}

impl Client {
    /// Resets the connection, which ends this future.
    async fn reset(&self) -> ! {
        self.reset.cancel();
        std::future::pending().await
    }

    /// Asks the server. Without an answer from it the client is to see a broken connection too.
    async fn forward(&self, request: Request<Incoming>) -> Option<Reply> {
        match self.upstream.send(request).await {
            Ok(reply) => {
                self.shared.count(|counts| counts.forwarded += 1);
                Some(reply.map(BodyExt::boxed))
            }
            Err(error) => {
                tracing::debug!(%error, "the server behind the proxy did not answer");
                None
            }
        }
    }
}

fn own_reply(answer: Answer) -> Reply {
    let mut reply = Response::new(whole(answer.body.into()));
    *reply.status_mut() = answer.status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    if let Some(after) = answer.retry_after.and_then(|after| HeaderValue::from_str(&after).ok()) {
        reply.headers_mut().insert(RETRY_AFTER, after);
    }
    reply
}

fn maintenance_reply() -> Reply {
    let mut reply = own_reply(Answer::error(503, None));
    reply.headers_mut().insert("prefect-maintenance", HeaderValue::from_static("true"));
    reply
}

/// A reply without a body.
pub(super) fn bare_reply(status: StatusCode) -> Reply {
    let mut reply = Response::new(whole(Bytes::new()));
    *reply.status_mut() = status;
    reply
}

fn whole(body: Bytes) -> BoxBody<Bytes, hyper::Error> {
    Full::new(body).map_err(|never| match never {}).boxed()
}
