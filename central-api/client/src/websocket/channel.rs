//! The worker channel of servers from 3.7.2 on: heartbeats, pool snapshots and clean-up messages.

use central_api_wire::channel::Frame;

use super::disposition::{Disposition, disposition};
use super::socket::Socket;
use super::stream_error::StreamError;
use crate::client::Client;

/// The worker channel, authenticated. What travels on it is the caller's: the first frame is `worker.hello.v1`.
pub struct Channel(Socket);

/// Why the channel could not be opened, or ended, and whether to open it again.
#[derive(Debug, thiserror::Error)]
#[error("the worker channel is not available")]
pub struct ChannelError {
    /// Why.
    #[source]
    pub reason: StreamError,
    /// Whether to open it again.
    pub disposition: Disposition,
}

impl From<StreamError> for ChannelError {
    fn from(reason: StreamError) -> Self {
        Self { disposition: disposition(&reason), reason }
    }
}

impl Client {
    /// Opens the channel of a pool: upgrade and authentication. The whole set-up, up to `worker.ready.v1`, has 10 s; that
    /// limit is the caller's.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time; the connection ends.
    pub async fn connect_worker_channel(&self, pool: &str) -> Result<Channel, ChannelError> {
        let socket = self.open_authenticated(&["work_pools", pool, "workers", "connect"]).await?;
        Ok(Channel(socket))
    }
}

impl Channel {
    /// Sends a frame. Not cancel safe: a dropped send may or may not have happened.
    pub async fn send(&mut self, frame: &Frame) -> Result<(), ChannelError> {
        let text = serde_json::to_string(frame).map_err(StreamError::Unencodable)?;
        Ok(self.0.send_text(text).await?)
    }

    /// The next frame. Keeps the connection alive, so keep calling it; a dead server is noticed within a minute.
    ///
    /// # Errors
    ///
    /// When the channel ends, or when something comes that is no frame.
    ///
    /// # Cancel safety
    ///
    /// No frame is lost when the future is dropped.
    pub async fn next(&mut self) -> Result<Frame, ChannelError> {
        let text = self.0.next_text().await?;
        // serde_json's own words may quote the frame.
        serde_json::from_str(&text).map_err(|_| StreamError::Malformed { what: "something that is no frame" }.into())
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.0.close().await;
    }
}
