//! The journal on disk, and the thread that writes it.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use redb::Database;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use worker_core::ids::LaunchKey;
use worker_core::machine::Run;

use super::queue::{Entrance, NotPut, Queue, queue};
use super::store::Store;
use super::tables::{self, Change, Past};
use super::{Journal, JournalError, Record};

/// What may be late is at most this late.
const SOON: Duration = Duration::from_millis(50);
/// So many changes go to disk together at most.
const MOST_TOGETHER: usize = 1_024;
/// Changes that wait for the thread. Runs wait when it is full, and what may be late is dropped.
const WAITING: usize = 8_192;

struct Request {
    change: Change,
    /// Told once the change is on disk. Absent where nobody waits.
    done: Option<oneshot::Sender<Result<(), JournalError>>>,
}

/// The journal of one daemon.
///
/// Dropping it writes what waits and closes the file.
pub struct DiskJournal {
    store: Arc<Store>,
    requests: Option<Entrance<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for DiskJournal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiskJournal").finish_non_exhaustive()
    }
}

impl DiskJournal {
    pub(super) fn start(store: Store) -> std::io::Result<Self> {
        let store = Arc::new(store);
        let (requests, queue) = queue(WAITING, SOON);
        let written = Arc::clone(&store);
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(move || write(&written, &queue))?;
        Ok(Self { store, requests: Some(requests), thread: Some(thread) })
    }

    /// The records as they are on disk now.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn records(&self) -> Result<Vec<Record>, JournalError> {
        let read = self.store.read(read).map_err(|error| JournalError::Write(Arc::new(error)))?;
        Ok(read.records)
    }

    /// What happened to the runs that are over, oldest first: a bounded number.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn history(&self) -> Result<Vec<(LaunchKey, crate::timeline::Timeline)>, JournalError> {
        let past = self.store.read(tables::history).map_err(|error| JournalError::Write(Arc::new(error)))?;
        Ok(past.into_iter().map(|Past { key, timeline }| (key, timeline)).collect())
    }

    /// Remembers something of the daemon itself, and does not return before it would survive a power cut.
    ///
    /// # Errors
    /// It could not be written.
    pub async fn remember(&self, word: &'static str, value: &impl Serialize) -> Result<(), JournalError> {
        let value = serde_json::to_vec(value).map_err(|error| JournalError::Encode(Arc::new(error)))?;
        self.and_wait(Change::Remember { word, value }).await
    }

    /// What was remembered, if it can be read.
    pub fn recall<T: DeserializeOwned>(&self, word: &str) -> Option<T> {
        let value = self.store.read(|database| tables::remembered(database, word)).ok()??;
        serde_json::from_slice(&value).ok()
    }

    async fn and_wait(&self, change: Change) -> Result<(), JournalError> {
        let (done, answer) = oneshot::channel();
        let mut request = Request { change, done: Some(done) };
        loop {
            let Some(requests) = &self.requests else { return Err(JournalError::Closed) };
            match requests.put(request, true) {
                Ok(()) => return answer.await.unwrap_or(Err(JournalError::Closed)),
                Err(NotPut::Closed) => return Err(JournalError::Closed),
                Err(NotPut::Full(back)) => request = back,
            }
            tokio::time::sleep(SOON).await;
        }
    }

    fn soon(&self, change: Change) {
        let Some(requests) = &self.requests else { return };
        if requests.put(Request { change, done: None }, false).is_err() {
            tracing::warn!("the journal is far behind; a note of it was left out, and is found out again if need be");
        }
    }
}

fn put(record: &Record) -> Result<Change, JournalError> {
    let encoded = serde_json::to_vec(record).map_err(|error| JournalError::Encode(Arc::new(error)))?;
    Ok(Change::Put { key: record.run.key, record: encoded })
}

#[async_trait]
impl Journal for DiskJournal {
    async fn persist(&self, record: &Record) -> Result<(), JournalError> {
        self.and_wait(put(record)?).await
    }

    fn persist_soon(&self, record: &Record) {
        match put(record) {
            Ok(change) => self.soon(change),
            Err(error) => tracing::error!("{error}"),
        }
    }

    fn forget(&self, key: LaunchKey) {
        self.soon(Change::Forget { key });
    }
}

impl Drop for DiskJournal {
    fn drop(&mut self) {
        // The end of the channel is the end of the thread, which writes what is left first.
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the journal ended badly");
        }
    }
}

/// Brings changes to disk: at once where somebody waits, within [`SOON`] otherwise, and all that wait together.
fn write(store: &Store, requests: &Queue<Request>) {
    let mut batch: Vec<Request> = Vec::new();
    while let Some(due) = requests.due(MOST_TOGETHER) {
        batch.extend(due);
        while !batch.is_empty() {
            let written = commit(store, &batch);
            settle(&mut batch, &written);
            if written.is_ok() || requests.is_closed() {
                break;
            }
            // A full disk is no reason to spin.
            std::thread::sleep(SOON);
            batch.extend(requests.present(MOST_TOGETHER));
        }
    }
}

fn commit(store: &Store, batch: &[Request]) -> Result<(), JournalError> {
    let changes = batch.iter().map(|request| &request.change);
    store.commit(changes).map_err(|error| JournalError::Write(Arc::new(error)))
}

/// Tells whoever waits. What nobody waits for and could not be written is tried again with the next batch, within a bound.
fn settle(batch: &mut Vec<Request>, written: &Result<(), JournalError>) {
    let failed = written.is_err();
    let mut left = Vec::new();
    for request in batch.drain(..) {
        match request.done {
            Some(done) => drop(done.send(written.clone())),
            None if failed && left.len() < WAITING => left.push(request),
            None => {}
        }
    }
    *batch = left;
}

/// The records of a file.
pub(super) struct Read {
    pub(super) records: Vec<Record>,
    /// Why others could not be read.
    pub(super) unreadable: Vec<String>,
}

/// Reads the records.
pub(super) fn read(database: &Database) -> Result<Read, redb::Error> {
    let mut all = Read { records: Vec::new(), unreadable: Vec::new() };
    for tables::Stored { key, record } in tables::records(database)? {
        match serde_json::from_slice::<Record>(&record) {
            Ok(record) if tables::bytes(record.run.key).as_slice() == key.as_slice() => all.records.push(record),
            Ok(Record { run: Run { key, .. }, .. }) => all.unreadable.push(format!("{key}: stored under another key")),
            Err(error) => all.unreadable.push(error.to_string()),
        }
    }
    Ok(all)
}
