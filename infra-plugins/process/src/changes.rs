//! Hearing of changes in the folders of runs.

use std::collections::HashMap;
use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use infra_contract::LogStream;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::folder::{CLAIM, RunFolder, output_name};

/// How often a folder is looked at that cannot be watched, and one that can: a lost notice must not hold a run for ever.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const DOUBT_INTERVAL: Duration = Duration::from_secs(30);

type Watched = Arc<Mutex<HashMap<i32, Bells>>>;

/// Watches the folders of all runs. Dropping it ends the watching.
#[derive(Debug)]
pub(crate) struct Changes {
    inotify: Option<Arc<AsyncFd<OwnedFd>>>,
    watched: Watched,
    _reading: Option<AbortOnDropHandle<()>>,
}

/// What is rung when something changes. Each is small, because thousands of runs have one; in return one task listens to it.
#[derive(Debug)]
struct Bells {
    output: Arc<Notify>,
    exit: Arc<Notify>,
}

/// What is heard of one folder.
#[derive(Debug)]
pub(crate) struct FolderChanges {
    output: Change,
    exit: Change,
    _watch: Option<Watch>,
}

/// Something that changes. One task at a time is to wait for it: a change is told once.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    bell: Arc<Notify>,
    interval: Duration,
}

/// Removed from the kernel's list when dropped.
#[derive(Debug)]
struct Watch {
    descriptor: i32,
    inotify: Arc<AsyncFd<OwnedFd>>,
    watched: Watched,
}

impl Changes {
    pub(crate) fn listen() -> Self {
        let watched = Watched::default();
        let inotify = init().inspect_err(|error| {
            tracing::warn!(%error, "folders of runs cannot be watched; they are looked at several times a second");
        });
        let inotify = inotify.ok().map(Arc::new);
        let reading = inotify
            .as_ref()
            .map(|inotify| AbortOnDropHandle::new(tokio::spawn(read(Arc::clone(inotify), Arc::clone(&watched)))));
        Self { inotify, watched, _reading: reading }
    }

    /// From now on every change in the folder is heard of.
    pub(crate) fn of(&self, folder: &RunFolder) -> FolderChanges {
        let bells = Bells { output: Arc::default(), exit: Arc::default() };
        let watch = self.watch(folder);
        let interval = if watch.is_some() { DOUBT_INTERVAL } else { POLL_INTERVAL };
        let change = |bell: &Arc<Notify>| Change { bell: Arc::clone(bell), interval };
        let (output, exit) = (change(&bells.output), change(&bells.exit));
        if let Some(watch) = &watch {
            lock(&self.watched).insert(watch.descriptor, bells);
        }
        FolderChanges { output, exit, _watch: watch }
    }

    fn watch(&self, folder: &RunFolder) -> Option<Watch> {
        let inotify = self.inotify.as_ref()?;
        let flags = WatchFlags::MODIFY | WatchFlags::ONLYDIR;
        let added = inotify::add_watch(inotify, folder.path().as_std_path(), flags).inspect_err(|error| {
            tracing::debug!(%error, "the folder of a run cannot be watched; it is looked at several times a second");
        });
        Some(Watch { descriptor: added.ok()?, inotify: Arc::clone(inotify), watched: Arc::clone(&self.watched) })
    }
}

impl FolderChanges {
    pub(crate) fn output(&self) -> Change {
        self.output.clone()
    }

    pub(crate) fn exit(&self) -> Change {
        self.exit.clone()
    }
}

impl Change {
    /// Whatever is looked at after this need not be heard of.
    pub(crate) fn mark_seen(&self) {
        // What rang before is taken, if anything did.
        pin!(self.bell.notified()).enable();
    }

    /// Waits for a change since it was marked as seen, or until it is time to look all the same. Cancel safe.
    pub(crate) async fn or_doubt(&self) {
        drop(timeout(self.interval, self.bell.notified()).await);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        lock(&self.watched).remove(&self.descriptor);
        // The folder may be gone, and the watch with it.
        inotify::remove_watch(&self.inotify, self.descriptor).unwrap_or_default();
    }
}

fn lock(watched: &Watched) -> MutexGuard<'_, HashMap<i32, Bells>> {
    watched.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(
    deprecated,
    reason = "it is deprecated for descriptors that may change; an OwnedFd does not, and the other way is unsafe"
)]
fn init() -> std::io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)
}

/// Passes on what the kernel tells, for ever.
async fn read(inotify: Arc<AsyncFd<OwnedFd>>, watched: Watched) {
    loop {
        let Ok(mut ready) = inotify.readable().await else { return };
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(inotify.get_ref(), &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map(CStr::to_bytes);
                    tell(&watched, event.wd(), event.events(), name);
                }
                Err(Errno::INTR) => {}
                Err(_nothing_more) => break,
            }
        }
        ready.clear_ready();
    }
}

fn tell(watched: &Watched, descriptor: i32, events: ReadFlags, name: Option<&[u8]>) {
    let watched = lock(watched);
    if events.contains(ReadFlags::QUEUE_OVERFLOW) {
        for bells in watched.values() {
            bells.output.notify_one();
            bells.exit.notify_one();
        }
        return;
    }
    let Some(bells) = watched.get(&descriptor) else { return };
    match name {
        Some(name) if name == CLAIM.as_bytes() => bells.exit.notify_one(),
        Some(name) if is_output(name) => bells.output.notify_one(),
        Some(_) | None => {}
    }
}

fn is_output(name: &[u8]) -> bool {
    [LogStream::Stdout, LogStream::Stderr].into_iter().any(|stream| name == output_name(stream).as_bytes())
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;
    use tokio::time::Instant;
    use worker_core::exit::{Exit, ExitReport};

    use super::*;
    use crate::claim::{Claim, Fence};
    use crate::claim_file::Word;

    #[tokio::test]
    async fn a_change_is_heard_of_at_once_also_one_before_the_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap());
        let mut claim_file = folder.place_claim(&Claim::Nobody(Fence { put_up_at: 1 })).unwrap().unwrap();
        let changes = Changes::listen();
        let heard = changes.of(&folder);
        let (output, exit) = (heard.output(), heard.exit());
        let began = Instant::now();
        std::fs::write(folder.output(LogStream::Stdout), "x").unwrap();
        output.or_doubt().await;
        claim_file.add(&Word::Exit(ExitReport::bare(Exit::Vanished))).unwrap();
        exit.or_doubt().await;
        assert!(began.elapsed() < DOUBT_INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_is_not_heard_of_again_and_what_comes_after_is() {
        let change = Change { bell: Arc::default(), interval: DOUBT_INTERVAL };
        let began = Instant::now();
        change.bell.notify_one();
        change.mark_seen();
        change.or_doubt().await;
        assert!(began.elapsed() >= DOUBT_INTERVAL);
        let began = Instant::now();
        change.mark_seen();
        change.bell.notify_one();
        change.or_doubt().await;
        assert!(began.elapsed() < DOUBT_INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_cannot_be_watched_is_looked_at_often() {
        let folder = RunFolder::at("/nonexistent".into());
        let output = Changes::listen().of(&folder).output();
        let began = Instant::now();
        output.or_doubt().await;
        assert!(began.elapsed() < DOUBT_INTERVAL);
    }
}
