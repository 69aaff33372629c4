//! Objects that are kept on this machine, each under a name that stands for its key and its state.
//!
//! What a run gets is a copy: whatever it writes to is its own.

use std::collections::BTreeMap;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::tokio as fs;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::download::Downloaded;
use crate::Cache;
use crate::cache::{EntryKind, FileLock, LockError, Mode, Patience, Record, Slot, short_digest};
use crate::objects::options::FetchOptions;
use crate::objects::placing::PlacingError;
use crate::objects::request::ObjectPull;
use crate::objects::wire::Mark;

/// Variables that other objects, or other rights to them, come with.
fn says_whose(variable: &str) -> bool {
    ["AWS_", "AZURE_", "CLOUDSDK_", "GOOGLE_"].iter().any(|prefix| variable.starts_with(prefix))
        || matches!(variable, "HOME" | "STORAGE_EMULATOR_HOST")
}

/// The objects of one folder that are kept, for the one who may change them.
#[derive(Debug)]
pub(super) struct Kept {
    slot: Slot,
    source: String,
    _lock: FileLock,
}

impl Kept {
    /// Waits until nobody else uses them. Who comes with the same folder at the same time finds them fetched.
    ///
    /// Runs with other credentials have others: that the one may read an object says nothing about the other.
    pub(super) async fn open(cache: &Cache, pull: &ObjectPull, options: &FetchOptions) -> Result<Self, PlacingError> {
        let variables: Vec<_> = options.environment.iter().filter(|(name, _)| says_whose(name)).collect();
        let secret = format!("{}\0{variables:?}", pull.store.secret());
        let identity = format!("{:?}\0{}\0{}", pull.store, pull.folder.as_str(), cache.seal(&secret));
        let slot = cache.slot(EntryKind::Objects, &pull.store.to_string().replace(' ', "-"), &identity);
        let far = Instant::now() + options.time_limit;
        // The fetch as a whole is what is cancelled and ends in time.
        let patience = Patience { deadline: far, cancel: &CancellationToken::new() };
        let lock = slot.lock(Mode::Exclusive, patience).await.map_err(|error| {
            let source = match error {
                LockError::File(source) => source,
                LockError::TimedOut | LockError::Cancelled => io::ErrorKind::TimedOut.into(),
            };
            PlacingError::of(&slot.content())(source)
        })?;
        let kept = Self { slot, source: pull.to_string(), _lock: lock };
        let partial = kept.slot.partial();
        match fs::remove_dir_all(&partial).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(PlacingError::of(&partial)(error)),
            Ok(()) | Err(_) => {}
        }
        for directory in [partial, kept.slot.content()] {
            fs::create_dir_all(&directory).await.map_err(PlacingError::of(&directory))?;
        }
        Ok(kept)
    }

    /// Where an object is kept, if it is.
    pub(super) async fn find(&self, key: &str, mark: &Mark) -> Option<Utf8PathBuf> {
        let path = self.slot.content().join(name(key, mark));
        let length = fs::metadata(&path).await.ok()?.len();
        (length == mark.size).then_some(path)
    }

    /// Where an object is written until it is whole.
    pub(super) fn unfinished(&self, key: &str, mark: &Mark) -> Utf8PathBuf {
        self.slot.partial().join(name(key, mark))
    }

    /// Keeps an object that is whole, if it is in the state that the listing had, and copies it to a run.
    pub(super) async fn take(
        &self,
        key: &str,
        mark: &Mark,
        done: &Downloaded,
        target: &Utf8Path,
    ) -> Result<(), PlacingError> {
        let unfinished = self.unfinished(key, mark);
        if done.length != mark.size || done.version.trim_matches('"') != mark.tag {
            copy(&unfinished, target).await?;
            return fs::remove_file(&unfinished).await.map_err(PlacingError::of(&unfinished));
        }
        let path = self.slot.content().join(name(key, mark));
        fs::rename(&unfinished, &path).await.map_err(PlacingError::of(&path))?;
        copy(&path, target).await
    }

    /// Forgets what the folder has no longer, and says what is there.
    pub(super) async fn finish(self, marks: &BTreeMap<String, Mark>) -> Result<(), PlacingError> {
        let wanted: std::collections::BTreeSet<String> = marks.iter().map(|(key, mark)| name(key, mark)).collect();
        let content = self.slot.content();
        let at = || PlacingError::of(&content);
        let mut entries = fs::read_dir(&content).await.map_err(at())?;
        let mut size = 0;
        while let Some(entry) = entries.next_entry().await.map_err(at())? {
            if entry.file_name().to_str().is_some_and(|name| wanted.contains(name)) {
                size += entry.metadata().await.map_err(at())?.len();
            } else {
                fs::remove_file(entry.path()).await.map_err(at())?;
            }
        }
        self.slot.record(&Record { source: self.source, size }).map_err(at())
    }
}

/// Copies a file; where the file system can share blocks until they are written to, the system does that.
pub(super) async fn copy(from: &Utf8Path, to: &Utf8Path) -> Result<(), PlacingError> {
    fs::copy(from, to).await.map(drop).map_err(PlacingError::of(to))
}

fn name(key: &str, mark: &Mark) -> String {
    let identity = format!("{key}\0{}\0{}", mark.tag, mark.size);
    format!("{}{}", short_digest(&identity), short_digest(&format!("{identity}\0")))
}
