//! Carrying out a fetch.

mod download;
mod kept;

use std::collections::BTreeMap;
use std::pin::Pin;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::tokio as fs;
use futures::{StreamExt as _, TryStreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;
use tokio::time::Sleep;
use tokio_util::sync::CancellationToken;

use super::credentials;
use super::error::ObjectError;
use super::local::{Copying, LocalError};
use super::options::FetchOptions;
use super::placing::{Names, PlacingError, Staging};
use super::request::{ObjectPull, Placement, Store};
use super::wire::{Cause, Failure, Mark, Remote, persist};
use crate::Cache;
use crate::cache::is_full_disk;
use download::{DownloadError, Downloaded};
use kept::Kept;

/// Objects that are wholly in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    /// The directory that holds them.
    pub root: Utf8PathBuf,
    /// Where they are from: the URL of the folder.
    pub source: String,
    /// How many there are.
    pub objects: usize,
    /// How much they hold.
    pub bytes: u64,
    /// What exactly they are: a digest of their keys, sizes and versions, in hexadecimal digits.
    pub revision: String,
}

/// A folder of a store, and how to fetch it.
#[derive(Clone, Debug)]
pub struct ObjectSource {
    pull: ObjectPull,
    options: FetchOptions,
}

impl ObjectSource {
    /// A source for this folder.
    pub fn new(pull: ObjectPull, options: FetchOptions) -> Self {
        Self { pull, options }
    }

    /// Brings the objects to the directory `into`, whose parent exists.
    ///
    /// # Guarantees
    ///
    /// Nothing is written outside of `into` and of a directory beside it. A file is under its final name only when it is
    /// complete, and the files are moved there only when all of them are.
    ///
    /// # Errors
    ///
    /// Why the objects are not there, after the attempts that made sense; [`ObjectError::Cancelled`] when `cancel`
    /// fired. After [`ObjectError::LeftToPrefect`] nothing was changed, and the SDK can fetch them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves unfinished work in or beside `into` until the next fetch to it. Firing `cancel` cleans
    /// up first.
    pub async fn fetch(&self, into: &Utf8Path, cancel: &CancellationToken) -> Result<Tree, ObjectError> {
        let mut limit = Box::pin(tokio::time::sleep(self.options.time_limit));
        let mut cache = self.options.cache.as_ref();
        let mut cleared = false;
        loop {
            let ended = self.attempt(into, cache, cancel, &mut limit).await;
            let (Err(ObjectError::DiskFull { .. }), Some(full)) = (&ended, cache) else { return ended };
            // What the run needs for itself is less than what the cache would keep besides.
            let has_made_room = full.shares_disk(into) && full.make_room().await;
            if cleared || !has_made_room {
                tracing::warn!(store = %self.pull.store, "the disk is full: objects are fetched without the cache");
                cache = None;
            }
            cleared = true;
        }
    }

    async fn attempt(
        &self,
        into: &Utf8Path,
        cache: Option<&Cache>,
        cancel: &CancellationToken,
        limit: &mut Pin<Box<Sleep>>,
    ) -> Result<Tree, ObjectError> {
        let place = || self.pull.store.to_string();
        let (staging, copying): (Mutex<Option<Staging>>, _) = (Mutex::new(None), Copying::default());
        let ended = tokio::select! {
            biased;
            () = cancel.cancelled() => Err(ObjectError::Cancelled { place: place() }),
            () = limit => Err(ObjectError::TimedOut { place: place(), limit: self.options.time_limit }),
            ended = self.run(into, cache, &staging, &copying) => ended.map_err(|error| self.explain(error, into)),
        };
        copying.stop().await;
        if ended.is_err()
            && let Some(staging) = staging.into_inner()
            && let Err(error) = staging.remove().await
        {
            tracing::warn!(?error, "an unfinished fetch could not be removed");
        }
        ended
    }

    /// Asks for the beginning of the list of objects, and so whether the credentials may read it. Nothing is brought. What is
    /// there, for people.
    ///
    /// # Errors
    ///
    /// As for [`ObjectSource::fetch`].
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn look(&self) -> Result<String, ObjectError> {
        let looked = tokio::time::timeout(self.options.time_limit, self.glance());
        match looked.await {
            Ok(looked) => looked.map_err(|error| self.explain(error, Utf8Path::new("/"))),
            Err(_) => Err(ObjectError::TimedOut { place: self.pull.store.to_string(), limit: self.options.time_limit }),
        }
    }

    async fn glance(&self) -> Result<String, FetchError> {
        let Some(remote) = self.remote().await? else {
            let Store::Local(local) = &self.pull.store else { return Err(FetchError::Empty) };
            let at = &local.directory;
            return match fs::read_dir(at).await {
                Ok(_) => Ok(format!("{at} is there")),
                Err(error) => Err(PlacingError::of(at)(error).into()),
            };
        };
        let folder = self.pull.folder.as_str();
        let page = persist(&self.options, || remote.list(folder, None)).await?;
        let is_empty = page.next.is_none() && page.objects.iter().all(|object| object.is_folder);
        if is_empty { Err(FetchError::Empty) } else { Ok(format!("{} can be listed", self.pull)) }
    }

    /// The server; none for a directory of this machine.
    async fn remote(&self) -> Result<Option<Box<dyn Remote>>, FetchError> {
        Ok(Some(match &self.pull.store {
            Store::S3(s3) => Box::new(credentials::s3(s3, &self.options).await?),
            Store::Gcs(gcs) => Box::new(credentials::gcs(gcs, &self.options).await?),
            Store::Azure(azure) => Box::new(credentials::azure(azure, &self.options).await?),
            Store::Local(_) => return Ok(None),
        }))
    }

    async fn run(
        &self,
        into: &Utf8Path,
        cache: Option<&Cache>,
        staging: &Mutex<Option<Staging>>,
        copying: &Copying,
    ) -> Result<Tree, FetchError> {
        if let Store::Local(local) = &self.pull.store {
            let directory = self.stage(into, staging).await?;
            let copied = copying.run(local, directory, into.to_owned()).await?;
            return self.finish(into, staging, &copied.names, copied.bytes, copied.revision).await;
        }
        let remote = self.remote().await?.ok_or(FetchError::Empty)?;
        let (names, marks) = self.names(remote.as_ref()).await?;
        let directories = names.directories()?;
        let directory = self.stage(into, staging).await?;
        for inner in &directories {
            let path = directory.join(inner);
            fs::create_dir(&path).await.map_err(PlacingError::of(&path))?;
        }
        let kept = match cache {
            Some(cache) => Some(Kept::open(cache, &self.pull, &self.options).await?),
            None => None,
        };
        let from = Objects { remote: remote.as_ref(), kept: kept.as_ref(), marks: &marks, options: &self.options };
        let downloaded = from.all(&names, &directory).await?;
        if let (Some(kept), Some(cache)) = (kept, cache) {
            kept.finish(&marks).await?;
            cache.tidy().await;
        }
        let bytes = downloaded.iter().map(|(_, done)| done.length).sum();
        self.finish(into, staging, &names, bytes, revision(&downloaded)).await
    }

    async fn stage(&self, into: &Utf8Path, staging: &Mutex<Option<Staging>>) -> Result<Utf8PathBuf, FetchError> {
        let merge = self.pull.placement == Placement::Merge;
        Ok(staging.lock().await.insert(Staging::create(into, merge).await?).directory.clone())
    }

    async fn finish(
        &self,
        into: &Utf8Path,
        staging: &Mutex<Option<Staging>>,
        names: &Names,
        bytes: u64,
        revision: String,
    ) -> Result<Tree, FetchError> {
        if let Some(staging) = staging.lock().await.as_ref() {
            staging.finish(names).await?;
        }
        Ok(Tree { root: into.to_owned(), source: self.pull.to_string(), objects: names.len(), bytes, revision })
    }

    /// The names of all objects of the folder.
    async fn names(&self, remote: &dyn Remote) -> Result<(Names, BTreeMap<String, Mark>), FetchError> {
        let folder = self.pull.folder.as_str();
        let mut names = Names::default();
        let mut marks = BTreeMap::new();
        let mut after: Option<String> = None;
        loop {
            let page = persist(&self.options, || remote.list(folder, after.as_deref())).await?;
            for object in page.objects.iter().filter(|object| !object.is_folder) {
                names.add(folder, &object.key)?;
                marks.extend(object.mark.clone().map(|mark| (object.key.clone(), mark)));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        if names.len() == 0 { Err(FetchError::Empty) } else { Ok((names, marks)) }
    }

    fn explain(&self, error: FetchError, into: &Utf8Path) -> ObjectError {
        let place = self.pull.store.to_string();
        match error {
            FetchError::Request(failure) => request_failed(place, failure),
            FetchError::Empty => {
                let folder = self.pull.folder.as_str();
                ObjectError::Empty { place, folder: if folder.is_empty() { "/" } else { folder }.to_owned() }
            }
            FetchError::Placing(PlacingError::Key { key, problem }) => ObjectError::Key { place, key, problem },
            FetchError::Placing(PlacingError::Files { path, source }) => files_failed(place, into, path, source),
            FetchError::Object { key, error: DownloadError::Request(failure) } => {
                let detail = format!("{} (object `{key}`)", failure.detail);
                request_failed(place, Failure { detail, ..failure })
            }
            FetchError::Object { key, error: DownloadError::Damaged(detail) } => {
                ObjectError::Damaged { place, key, detail }
            }
            FetchError::Object { error: DownloadError::File { path, source }, .. } => {
                files_failed(place, into, path, source)
            }
        }
    }
}

/// Where objects come from: the server, or what is kept of it.
struct Objects<'a> {
    remote: &'a dyn Remote,
    kept: Option<&'a Kept>,
    marks: &'a BTreeMap<String, Mark>,
    options: &'a FetchOptions,
}

impl Objects<'_> {
    async fn all(&self, names: &Names, directory: &Utf8Path) -> Result<Vec<(String, Downloaded)>, FetchError> {
        let files: Vec<(Utf8PathBuf, String)> =
            names.iter().map(|(path, key)| (directory.join(path), key.to_owned())).collect();
        let mut fetched: Vec<(String, Downloaded)> = futures::stream::iter(files)
            .map(async |(path, key)| Ok::<_, FetchError>((key.clone(), self.one(key, &path).await?)))
            .buffer_unordered(self.options.parallel.max(1))
            .try_collect()
            .await?;
        fetched.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(fetched)
    }

    async fn one(&self, key: String, path: &Utf8Path) -> Result<Downloaded, FetchError> {
        let download = async |path: &Utf8Path| {
            let done = download::download(self.remote, self.options, &key, path).await;
            done.map_err(|error| FetchError::Object { key: key.clone(), error })
        };
        let (Some(kept), Some(mark)) = (self.kept, self.marks.get(&key)) else { return download(path).await };
        if let Some(found) = kept.find(&key, mark).await {
            kept::copy(&found, path).await?;
            return Ok(Downloaded { length: mark.size, version: mark.tag.clone() });
        }
        let done = download(&kept.unfinished(&key, mark)).await?;
        kept.take(&key, mark, &done, path).await?;
        Ok(done)
    }
}

/// What went wrong, before it is told with the name of the store.
#[derive(Debug)]
enum FetchError {
    Request(Failure),
    Empty,
    Placing(PlacingError),
    Object { key: String, error: DownloadError },
}

impl From<Failure> for FetchError {
    fn from(failure: Failure) -> Self {
        Self::Request(failure)
    }
}

impl From<LocalError> for FetchError {
    fn from(error: LocalError) -> Self {
        match error {
            LocalError::LeftToPrefect(reason) => Self::Request(reason.into()),
            LocalError::Files(error) => Self::Placing(error),
        }
    }
}

impl From<PlacingError> for FetchError {
    fn from(error: PlacingError) -> Self {
        Self::Placing(error)
    }
}

fn request_failed(place: String, failure: Failure) -> ObjectError {
    let detail = failure.detail;
    match failure.cause {
        Cause::LeftToPrefect(reason) => ObjectError::LeftToPrefect { place, reason },
        Cause::NoCredentials => ObjectError::NoCredentials { place, detail },
        Cause::CredentialsRefused => ObjectError::CredentialsRefused { place, detail },
        Cause::Denied => ObjectError::Denied { place, detail },
        Cause::NoSuchBucket => ObjectError::NoSuchBucket { place, detail },
        Cause::WrongRegion => ObjectError::WrongRegion { place, detail },
        Cause::Certificate => ObjectError::Certificate { place, detail },
        Cause::Unreachable => ObjectError::Unreachable { place, detail },
        Cause::Server | Cause::Changed => ObjectError::Server { place, detail },
    }
}

fn files_failed(place: String, into: &Utf8Path, path: Utf8PathBuf, source: std::io::Error) -> ObjectError {
    if is_full_disk(&source) {
        ObjectError::DiskFull { place, directory: into.to_owned() }
    } else {
        ObjectError::Files { place, path, source }
    }
}

fn revision(downloaded: &[(String, Downloaded)]) -> String {
    let mut digest = Sha256::new();
    for (key, done) in downloaded {
        digest.update(format!("{key}\0{}\0{}\n", done.length, done.version.trim_matches('"')));
    }
    format!("{:x}", digest.finalize())
}
