//! Whether the worker channel does the sync loop's work.

use tokio::sync::watch;

/// Written by the channel, read by the sync loop.
#[derive(Clone, Debug)]
pub struct ChannelHealth(watch::Sender<Status>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// The first attempt is under way.
    Untried,
    /// It carries heartbeats and snapshots.
    Healthy,
    /// It does not, now or ever.
    Down,
}

impl Default for ChannelHealth {
    fn default() -> Self {
        Self(watch::Sender::new(Status::Untried))
    }
}

impl ChannelHealth {
    /// Whether it carries heartbeats and snapshots.
    pub fn is_healthy(&self) -> bool {
        *self.0.borrow() == Status::Healthy
    }

    /// It began to carry heartbeats and snapshots.
    pub fn up(&self) {
        self.0.send_replace(Status::Healthy);
    }

    /// It stopped, or could not begin.
    pub fn down(&self) {
        self.0.send_replace(Status::Down);
    }

    /// Waits until the first attempt has come to something. Cancel safe.
    pub async fn tried(&self) {
        let mut changes = self.0.subscribe();
        if changes.wait_for(|status| *status != Status::Untried).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Waits until it is not healthy. Cancel safe.
    pub async fn lost(&self) {
        let mut changes = self.0.subscribe();
        if changes.wait_for(|status| *status != Status::Healthy).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
