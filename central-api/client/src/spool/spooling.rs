//! Moving what waits between memory and disk, beside the deliveries.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Backlog, Spool};
use crate::delivery::Feed;

const LAST_WRITE: Duration = Duration::from_secs(2);

/// A queue of which a spool can hold a part.
pub(crate) trait Spoolable: Send + 'static {
    /// What waits in it, as people call it.
    const WHAT: &'static str;

    /// One of what waits in it.
    type Entry: AsRef<str> + Send + 'static;

    fn backlog(&self) -> &Backlog<Self::Entry>;
    fn backlog_mut(&mut self) -> &mut Backlog<Self::Entry>;

    /// What was read back from the spool as an entry.
    fn entry(json: String) -> Self::Entry;

    /// The spool was full, and these were the oldest in it.
    fn count_dropped(&mut self, lines: Vec<String>);

    /// Whether what is in memory only should go to the spool before there is too much of it.
    fn is_crowded(&self) -> bool;
}

/// The spool of a queue, if it has one, as the task that delivers uses it.
///
/// While deliveries fail everything is written down as it comes, so that nothing is lost with the process. While they
/// succeed nothing is.
pub(crate) struct Spooling<Q> {
    feed: Arc<Feed<Q>>,
    disk: Option<Arc<Disk>>,
}

struct Disk {
    spool: Mutex<Spool>,
    /// Whether the last write failed. The next is tried with the next delivery.
    is_stuck: AtomicBool,
}

impl<Q: Spoolable> Spooling<Q> {
    pub(crate) fn new(feed: Arc<Feed<Q>>, spool: Option<Spool>) -> Self {
        let disk = spool.map(|spool| Arc::new(Disk { spool: Mutex::new(spool), is_stuck: AtomicBool::new(false) }));
        Self { feed, disk }
    }

    /// Does what there is to do on disk: forgets what was delivered, writes down what waits if it has to, and reads back
    /// what is to be delivered next.
    pub(crate) async fn keep_up(&self) {
        let writes = self.feed.progress.is_failing() || self.feed.queue().is_crowded();
        self.visit_disk(writes).await;
    }

    /// Writes down everything that waits, before the end. A disk that hangs must not hold up the end for ever.
    pub(crate) async fn finish(&self) {
        if timeout(LAST_WRITE, self.visit_disk(true)).await.is_err() {
            tracing::warn!("the disk takes too long to keep what was not delivered");
        }
        let kept = self.feed.queue().backlog().count_spooled();
        if kept > 0 {
            tracing::info!(kept, "{} wait on disk for the next start", Q::WHAT);
        }
    }

    /// Waits for `work`, and meanwhile writes down what comes.
    ///
    /// Not while what is in memory only is being delivered, or it would be delivered again from the disk.
    pub(crate) async fn meanwhile<T>(&self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            let writes =
                self.feed.progress.is_failing() && self.feed.queue().backlog().has_read_back() && !self.is_stuck();
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = self.feed.wake.notified(), if writes => self.visit_disk(true).await,
            }
        }
    }

    fn is_stuck(&self) -> bool {
        self.disk.as_ref().is_none_or(|disk| disk.is_stuck.load(Ordering::Relaxed))
    }

    /// Whether the end of the process would lose nothing.
    pub(crate) fn holds_everything(&self) -> bool {
        self.disk.is_some() && self.feed.queue().backlog().fresh().is_empty()
    }

    /// Away from the runtime, and to the end even if nobody waits for it any more: an entry is in the queue or in the spool.
    async fn visit_disk(&self, writes: bool) {
        let Some(disk) = &self.disk else { return };
        let has_work = {
            let queue = self.feed.queue();
            let backlog = queue.backlog();
            backlog.wants_disk() || (writes && !backlog.fresh().is_empty())
        };
        if !has_work {
            return;
        }
        let (feed, disk) = (Arc::clone(&self.feed), Arc::clone(disk));
        if let Err(error) = spawn_blocking(move || disk.serve(&feed, writes)).await {
            tracing::error!(%error, "undelivered lines could not be moved to or from the disk");
        }
    }
}

impl Disk {
    fn serve<Q: Spoolable>(&self, feed: &Feed<Q>, writes: bool) {
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        let to_confirm = feed.queue().backlog_mut().take_to_confirm();
        if to_confirm > 0 {
            spool.confirm(to_confirm);
        }
        if writes {
            self.write(&mut spool, feed);
        }
        let wants_reading = feed.queue().backlog().wants_reading();
        if wants_reading {
            let lines = spool.read();
            let mut queue = feed.queue();
            let backlog = queue.backlog_mut();
            let read = u64::try_from(lines.len()).unwrap_or(u64::MAX);
            backlog.read(lines.into_iter().map(Q::entry));
            backlog.set_spooled(spool.lines().saturating_sub(read));
        }
    }

    fn write<Q: Spoolable>(&self, spool: &mut Spool, feed: &Feed<Q>) {
        let mut entries = feed.queue().backlog_mut().take_fresh();
        let mut spooled = 0;
        let mut dropped = Vec::new();
        while !entries.is_empty() {
            let written = spool.append(&entries);
            self.is_stuck.store(written == 0, Ordering::Relaxed);
            if written == 0 {
                break;
            }
            entries.drain(..written);
            spooled += u64::try_from(written).unwrap_or(u64::MAX);
            dropped.extend(spool.make_room());
        }
        let mut queue = feed.queue();
        queue.backlog_mut().put_back(spooled, entries);
        if !dropped.is_empty() {
            let read = queue.backlog().count_read_back();
            queue.backlog_mut().set_spooled(spool.lines().saturating_sub(read));
            queue.count_dropped(dropped);
        }
    }
}
