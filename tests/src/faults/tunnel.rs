//! Websockets: the upgrade passes through, then raw bytes both ways until somebody ends it.

use std::io;
use std::sync::Arc;

use http::{Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio_util::sync::CancellationToken;

use super::connection::{Client, Reply, reset_on_close};
use super::forward::connect;

/// Passes an upgrade on. An upgrade that the server refuses is answered with its refusal.
pub(super) async fn open(client: &Arc<Client>, mut request: Request<Incoming>) -> Option<Reply> {
    let shared = &client.shared;
    let from_client = hyper::upgrade::on(&mut request);
    let sent = async {
        let mut sender = connect(shared.upstream, shared.stopping.clone()).await?;
        sender.send_request(request).await.map_err(io::Error::other)
    };
    let mut response = match sent.await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(%error, "the server behind the proxy did not answer an upgrade");
            return None;
        }
    };
    shared.count(|counts| counts.forwarded += 1);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let to_server = hyper::upgrade::on(&mut response);
        let cut = shared.websockets();
        shared.count(|counts| {
            counts.websockets += 1;
            counts.open_websockets += 1;
        });
        tokio::spawn(carry(Arc::clone(client), from_client, to_server, cut));
    }
    Some(response.map(BodyExt::boxed))
}

async fn carry(client: Arc<Client>, from_client: OnUpgrade, to_server: OnUpgrade, cut: CancellationToken) {
    let carried = async {
        let (one, other) = tokio::try_join!(from_client, to_server).map_err(io::Error::other)?;
        copy_bidirectional(&mut TokioIo::new(one), &mut TokioIo::new(other)).await
    };
    match cut.run_until_cancelled(carried).await {
        None => reset_on_close(&client.socket),
        Some(Ok(_)) => {}
        Some(Err(error)) => tracing::debug!(%error, "a websocket through the proxy broke"),
    }
    client.shared.count(|counts| counts.open_websockets -= 1);
}
