//! One open websocket: text frames in and out, and a keep-alive that notices a dead peer.

use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use reqwest_websocket::{CloseCode, Message, WebSocket};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::stream_error::StreamError;

/// Proxies drop connections that are idle for a minute.
const PING_EVERY: Duration = Duration::from_secs(20);
/// A peer that answers no ping for so long is dead. With [`PING_EVERY`] it is noticed within 50 s.
const DEAD_AFTER: Duration = Duration::from_secs(30);
/// A peer that takes in nothing for so long is dead.
const LONGEST_WRITE: Duration = Duration::from_secs(30);
const LONGEST_CONFIRMATION: Duration = Duration::from_secs(10);
const LONGEST_CLOSE: Duration = Duration::from_secs(1);
const LONGEST_GOODBYE: Duration = Duration::from_millis(200);

/// Spawns nothing: the keep-alive runs inside [`next_text`](Self::next_text), so an owner keeps calling that.
pub(super) struct Socket {
    websocket: WebSocket,
    next_ping: Instant,
    unanswered_since: Option<Instant>,
    pings: u64,
}

impl Socket {
    pub(super) fn new(websocket: WebSocket) -> Self {
        Self { websocket, next_ping: Instant::now() + PING_EVERY, unanswered_since: None, pings: 0 }
    }

    /// The next text frame. Answers pings, sends its own, leaves out binary frames.
    ///
    /// # Errors
    ///
    /// When the websocket ends, however it does.
    ///
    /// # Cancel safety
    ///
    /// A frame is either returned or still to be read.
    pub(super) async fn next_text(&mut self) -> Result<String, StreamError> {
        loop {
            if let Message::Text(text) = self.next_message().await? {
                return Ok(text);
            }
        }
    }

    async fn next_message(&mut self) -> Result<Message, StreamError> {
        loop {
            let dead_at = self.unanswered_since.map(|since| since + DEAD_AFTER);
            let wake_at = dead_at.map_or(self.next_ping, |dead_at| dead_at.min(self.next_ping));
            tokio::select! {
                // Frames first: an owner that was busy for a while must read the waiting pong before it judges the peer.
                biased;
                message = self.websocket.next() => return self.received(message),
                () = sleep_until(wake_at) => {
                    if dead_at.is_some_and(|dead_at| dead_at <= Instant::now()) {
                        return Err(StreamError::Silent);
                    }
                    self.ping().await?;
                }
            }
        }
    }

    fn received(&mut self, message: Option<Result<Message, reqwest_websocket::Error>>) -> Result<Message, StreamError> {
        self.unanswered_since = None;
        match message {
            Some(Ok(Message::Close { code, reason })) => Err(StreamError::closed(code, reason)),
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(error.into()),
            None => Err(StreamError::Cut("the connection ended".into())),
        }
    }

    /// Sends a ping and returns its payload.
    async fn ping(&mut self) -> Result<Bytes, StreamError> {
        // Before the await: a caller that drops this future must not ping again at once.
        self.pings += 1;
        self.next_ping = Instant::now() + PING_EVERY;
        self.unanswered_since.get_or_insert_with(Instant::now);
        let payload = Bytes::copy_from_slice(&self.pings.to_be_bytes());
        self.send(Message::Ping(payload.clone())).await?;
        Ok(payload)
    }

    /// Sends a text frame. Not cancel safe: a dropped send may or may not have happened.
    pub(super) async fn send_text(&mut self, text: String) -> Result<(), StreamError> {
        self.send(Message::Text(text)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), StreamError> {
        match timeout(LONGEST_WRITE, self.websocket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.close_reason().await.unwrap_or_else(|| error.into())),
            Err(_) => Err(StreamError::Silent),
        }
    }

    /// Why the server closed, if a close frame waits to be read. A peer that closes and goes makes our next write fail, and
    /// the close frame says why.
    async fn close_reason(&mut self) -> Option<StreamError> {
        let limit = Instant::now() + LONGEST_CLOSE;
        while let Ok(Some(Ok(message))) = timeout_at(limit, self.websocket.next()).await {
            if let Message::Close { code, reason } = message {
                return Some(StreamError::closed(code, reason));
            }
        }
        None
    }

    /// A round trip: when it is done, the peer has received everything that was sent before. Text frames that arrive
    /// meanwhile are lost, so this is for sockets on which none are expected.
    pub(super) async fn confirm(&mut self) -> Result<(), StreamError> {
        let limit = Instant::now() + LONGEST_CONFIRMATION;
        let payload = self.ping().await?;
        loop {
            match timeout_at(limit, self.next_message()).await.map_err(|_| StreamError::Silent)?? {
                Message::Pong(pong) if pong == payload => return Ok(()),
                Message::Pong(_) | Message::Ping(_) | Message::Text(_) | Message::Binary(_) | Message::Close { .. } => {
                }
            }
        }
    }

    /// Says goodbye, for a moment at most: some servers take a second to answer, and nobody waits for what they say.
    pub(super) async fn close(self) {
        if let Err(error) = timeout(LONGEST_GOODBYE, self.websocket.close(CloseCode::Normal, None)).await {
            tracing::debug!(%error, "a websocket took no goodbye");
        }
    }
}
