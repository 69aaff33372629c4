//! What the event stream tells the poller: that runs became Scheduled.

use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use worker_core::ids::{DeploymentId, RunId};

/// More are not kept apart: one poll shows 200 runs.
const MOST: usize = 200;

/// A run became Scheduled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Which.
    pub run: RunId,
    /// Of which deployment, if the event says so.
    pub deployment: Option<DeploymentId>,
    /// Whether it happened just now. A stream that is opened repeats what happened before.
    pub is_news: bool,
    /// Whether the run was executed before: it was put back for a retry, or resumed.
    pub comes_back: bool,
}

/// From the event stream of a pool to its poller. Never waits for the poller: what is too much is only known to be there.
#[derive(Clone, Debug, Default)]
pub struct Announcements(Arc<Board>);

#[derive(Debug, Default)]
struct Board {
    heard: Mutex<Vec<Announcement>>,
    news: Notify,
}

impl Announcements {
    /// Tells the poller.
    pub fn add(&self, announcement: Announcement) {
        let mut heard = self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        if heard.len() < MOST {
            heard.push(announcement);
            self.0.news.notify_one();
        }
    }

    /// What was heard since the last time; waits until there is something. Cancel safe.
    pub async fn heard(&self) -> Vec<Announcement> {
        loop {
            let heard = take(&mut *self.0.heard.lock().unwrap_or_else(PoisonError::into_inner));
            if !heard.is_empty() {
                return heard;
            }
            self.0.news.notified().await;
        }
    }
}
