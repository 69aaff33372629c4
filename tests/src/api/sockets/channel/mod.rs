//! `/work_pools/{pool}/workers/connect`: heartbeats, pool snapshots and clean-ups on one websocket.

mod frames;
mod greeting;
mod session;

use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};

use super::conversation::{Conversation, Incoming};
use super::handshake::authenticate;
use super::registry::Close;
use super::{SUBPROTOCOL, offers_subprotocol, open};
use crate::api::http::{Api, InPath};
use crate::api::model::now;
use frames::Refused;
use session::Session;

/// Serves the channel, if this server has one; else the upgrade is refused as old servers do.
pub(in crate::api) async fn worker_channel(
    State(api): State<Api>,
    InPath(pool): InPath<String>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    if !api.store.options().serves_worker_channel() || !offers_subprotocol(&headers) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let path = format!("/work_pools/{pool}/workers/connect");
    let upgrade = upgrade.protocols([SUBPROTOCOL]);
    open(api, &headers, &path, upgrade, move |api, conversation| async move {
        let refused = Refused::AuthenticationFailed.reason();
        if let Some(conversation) = authenticate(conversation, &api, Some(refused)).await {
            connect(&api, &pool, conversation).await;
        }
    })
}

async fn connect(api: &Api, pool: &str, mut conversation: Conversation) {
    let hello = match conversation.next().await {
        Incoming::Frame(frame) => frames::hello(&frame),
        Incoming::Malformed => Err(Refused::ProtocolError),
        Incoming::Gone => return,
        Incoming::Dismissed(close) => return conversation.close(close).await,
    };
    let version = api.store.options().version;
    let greeted = hello.and_then(|hello| {
        api.store.write(|tables| greeting::greet(tables, pool, &hello, conversation.id, version, now()))
    });
    match greeted {
        Ok((session, ready)) => {
            if conversation.send(&ready).await {
                conversation.establish();
                Session::run(session, api, conversation).await;
            }
        }
        Err(refused) => conversation.close(refused.close()).await,
    }
}

impl Refused {
    fn close(self) -> Close {
        Close { code: self.code(), reason: self.reason().to_owned() }
    }
}
