//! The stream on which we send events.

use central_api_wire::event::Event;

use super::socket::Socket;
use super::stream_error::StreamError;
use crate::client::Client;
use crate::settings::Credentials;

const PATH: [&str; 2] = ["events", "in"];

/// The stream on which we send events. The server never answers: a round trip of ping and pong shows that everything
/// before it has arrived.
pub struct EventsIn(Socket);

impl Client {
    /// Opens the stream.
    ///
    /// Without an auth string it is opened without sub-protocol, and events follow at once: every server without
    /// authentication takes that, and servers before 3.6.14 drop the socket on an `auth` frame. Prefect Cloud reads the
    /// key from the upgrade's header. With an auth string the frames of the sub-protocol come first, and the old way is
    /// the fall-back when the server does not know them.
    pub async fn connect_events_in(&self) -> Result<EventsIn, StreamError> {
        let with_frames = !self.is_cloud() && matches!(self.shared.credentials, Credentials::AuthString(_));
        if !with_frames {
            return self.open(&PATH, &[]).await.map(EventsIn);
        }
        match self.open_authenticated(&PATH).await {
            Ok(socket) => Ok(EventsIn(socket)),
            Err(error @ (StreamError::NoSubprotocol | StreamError::Cut(_))) => {
                tracing::debug!(%error, "no authentication frames on the event stream; trying without");
                self.open(&PATH, &[]).await.map(EventsIn)
            }
            Err(error) => Err(error),
        }
    }
}

impl EventsIn {
    /// Sends an event. It has arrived once a later [`confirm`](Self::confirm) succeeds.
    pub async fn send(&mut self, event: &Event) -> Result<(), StreamError> {
        let text = serde_json::to_string(event).map_err(StreamError::Unencodable)?;
        self.send_text(text).await
    }

    pub(crate) async fn send_text(&mut self, text: String) -> Result<(), StreamError> {
        self.0.send_text(text).await
    }

    /// Succeeds when everything that was sent before has arrived; fails after 10 s without an answer.
    pub async fn confirm(&mut self) -> Result<(), StreamError> {
        self.0.confirm().await
    }

    /// Keeps the connection alive, and ends when it breaks. To be polled whenever nothing is sent.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub async fn idle(&mut self) -> StreamError {
        loop {
            if let Err(error) = self.0.next_text().await {
                return error;
            }
        }
    }

    /// Says goodbye. What was not confirmed may be lost.
    pub async fn close(self) {
        self.0.close().await;
    }
}
