//! The stream on which the server sends the events that pass a filter.

use central_api_wire::event::{Event, EventFilter, StreamMessage, StreamRequest};

use super::socket::Socket;
use super::stream_error::StreamError;
use crate::client::Client;

/// The code of a close that is no failure.
const NORMAL: u16 = 1000;

/// The stream on which the server sends the events that pass a filter. It first repeats what lies in the past of the
/// filter's range, so after a reconnect events may come twice; their ids tell. It is a hint only: it may leave events out.
pub struct EventsOut(Socket);

impl Client {
    /// Opens the stream: sub-protocol, `auth`, `auth_success`, then our filter.
    pub async fn connect_events_out(&self, filter: &EventFilter) -> Result<EventsOut, StreamError> {
        let request = StreamRequest::Filter { filter: filter.clone() };
        let request = serde_json::to_string(&request).map_err(StreamError::Unencodable)?;
        let mut socket = self.open_authenticated(&["events", "out"]).await?;
        socket.send_text(request).await?;
        Ok(EventsOut(socket))
    }
}

impl EventsOut {
    /// The next event; none when the server closed the stream in good order. Frames of unknown kinds, and events that
    /// cannot be decoded, are left out. Keeps the connection alive, so keep calling it.
    ///
    /// # Errors
    ///
    /// When the stream breaks; a dead server is noticed within a minute.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Option<Event>, StreamError> {
        loop {
            let text = match self.0.next_text().await {
                Ok(text) => text,
                Err(StreamError::Closed { code: NORMAL, .. }) => return Ok(None),
                Err(error) => return Err(error),
            };
            match serde_json::from_str(&text) {
                Ok(StreamMessage::Event { event }) => return Ok(Some(event)),
                Ok(StreamMessage::AuthSuccess | StreamMessage::Unknown) => {}
                Err(_) => tracing::debug!(bytes = text.len(), "an event of an unknown shape is left out"),
            }
        }
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.0.close().await;
    }
}
