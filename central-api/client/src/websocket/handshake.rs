//! Opening a websocket and proving who we are.

use std::time::Duration;

use central_api_wire::event::{StreamMessage, StreamRequest};
use http::HeaderMap;
use reqwest_websocket::Upgrade;
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::socket::Socket;
use super::stream_error::StreamError;
use crate::client::Client;
use crate::error::TransportError;
use crate::request::endpoint;
use crate::settings::Credentials;

/// The only sub-protocol of Prefect's websockets.
const SUBPROTOCOL: &str = "prefect";
/// For the answer to our `auth` frame.
const LONGEST_AUTHENTICATION: Duration = Duration::from_secs(10);

impl Client {
    /// Opens a websocket with the sub-protocol and proves who we are: our first frame is `auth`, the server's is
    /// `auth_success`; otherwise it closes with code 1008.
    pub(super) async fn open_authenticated(&self, path: &[&str]) -> Result<Socket, StreamError> {
        let mut socket = self.open(path, &[SUBPROTOCOL]).await?;
        let token = match &self.shared.credentials {
            Credentials::None => None,
            Credentials::AuthString(secret) | Credentials::ApiKey(secret) => Some(secret.expose_secret().to_owned()),
        };
        let auth = serde_json::to_string(&StreamRequest::Auth { token }).map_err(StreamError::Unencodable)?;
        let answer = timeout(LONGEST_AUTHENTICATION, async {
            socket.send_text(auth).await?;
            socket.next_text().await
        })
        .await
        .map_err(|_| StreamError::Silent)??;
        match serde_json::from_str(&answer) {
            Ok(StreamMessage::AuthSuccess) => Ok(socket),
            Ok(StreamMessage::Event { .. } | StreamMessage::Unknown) | Err(_) => {
                Err(StreamError::Malformed { what: "something else than auth_success" })
            }
        }
    }

    /// Opens a websocket, which is then as it is.
    pub(super) async fn open(&self, path: &[&str], subprotocols: &[&str]) -> Result<Socket, StreamError> {
        let url = endpoint(&self.shared.api_url, path);
        let headers: HeaderMap = self.shared.upgrade_headers.clone();
        let upgrade = self.shared.upgrades.get(url).headers(headers).upgrade().protocols(subprotocols.iter().copied());
        let opened = async { upgrade.send().await?.into_websocket().await };
        match timeout(self.shared.request_timeout, opened).await {
            Ok(websocket) => Ok(Socket::new(websocket?)),
            Err(elapsed) => Err(StreamError::Unreachable(TransportError::Timeout(elapsed.into()))),
        }
    }
}
