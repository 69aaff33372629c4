//! One object, from the server to a file.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::tokio::File;
use tokio::io::{AsyncSeekExt as _, AsyncWriteExt as _};

use crate::objects::options::FetchOptions;
use crate::objects::wire::{Cause, Content, Failure, Remote, Running, Verdict};

/// An object that is in its file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Downloaded {
    pub(super) length: u64,
    pub(super) version: String,
}

#[derive(Debug)]
pub(super) enum DownloadError {
    Request(Failure),
    Damaged(String),
    File { path: Utf8PathBuf, source: io::Error },
}

impl From<Failure> for DownloadError {
    fn from(failure: Failure) -> Self {
        Self::Request(failure)
    }
}

/// How far an object has come.
#[derive(Debug)]
struct Progress {
    version: String,
    written: u64,
    length: Option<u64>,
    running: Running,
}

/// Brings an object to a file that does not exist. What breaks off is taken up where it did; what is damaged, or changed
/// meanwhile, is fetched anew.
pub(super) async fn download(
    remote: &dyn Remote,
    options: &FetchOptions,
    key: &str,
    path: &Utf8Path,
) -> Result<Downloaded, DownloadError> {
    let at_file = |source| DownloadError::File { path: path.to_owned(), source };
    let mut file = File::create(path).await.map_err(at_file)?;
    let mut progress: Option<Progress> = None;
    let mut last_tag: Option<String> = None;
    let mut failed = 0;
    loop {
        let before = progress.as_ref().map_or(0, |progress| progress.written);
        let failure = match advance(remote, key, &mut file, &mut progress).await {
            Ok(()) => {
                let Some(done) = progress.take() else { continue };
                file.flush().await.map_err(at_file)?;
                let detail = match done.running.finish() {
                    Verdict::Good => return Ok(Downloaded { length: done.written, version: done.version }),
                    // A server whose tags are no sums says the same for the same content, which has now come twice.
                    Verdict::OtherTag(sum) if last_tag.as_ref() == Some(&sum) => {
                        return Ok(Downloaded { length: done.written, version: done.version });
                    }
                    Verdict::OtherTag(sum) => {
                        let detail = format!("its MD5 is {sum} and not its tag");
                        last_tag = Some(sum);
                        detail
                    }
                    Verdict::Bad(detail) => detail,
                };
                DownloadError::Damaged(detail)
            }
            Err(Broken::File(source)) => return Err(at_file(source)),
            Err(Broken::Request(failure)) if failure.cause == Cause::Changed => {
                progress = None;
                failure.into()
            }
            Err(Broken::Request(failure)) if failure.cause.is_transient() => failure.into(),
            Err(Broken::Request(failure)) => return Err(failure.into()),
        };
        // As long as something comes, it goes on: the time limit of the fetch ends it.
        if progress.as_ref().is_some_and(|progress| progress.written > before) {
            failed = 0;
        }
        failed += 1;
        if failed >= options.attempts {
            return Err(failure);
        }
        tracing::debug!(key, ?failure, "an object is fetched again");
        tokio::time::sleep(options.back_off_after(failed)).await;
    }
}

enum Broken {
    Request(Failure),
    File(io::Error),
}

/// Fetches what is missing.
async fn advance(
    remote: &dyn Remote,
    key: &str,
    file: &mut File,
    progress: &mut Option<Progress>,
) -> Result<(), Broken> {
    let (start, version) = match progress {
        Some(progress) => (progress.written, Some(progress.version.clone())),
        None => (0, None),
    };
    let mut content = remote.get(key, start, version.as_deref()).await.map_err(Broken::Request)?;
    let goes_on = start > 0 && content.start == start && version.as_deref() == Some(&*content.version);
    let progress = if goes_on { progress } else { restart(file, &content, progress).await? };
    let Some(progress) = progress else { return Ok(()) };
    while let Some(bytes) = content.body.chunk().await.map_err(|error| Broken::Request(error.into()))? {
        progress.running.update(&bytes);
        file.write_all(&bytes).await.map_err(Broken::File)?;
        progress.written += u64::try_from(bytes.len()).unwrap_or_default();
    }
    match progress.length {
        Some(length) if length != progress.written => {
            let detail = format!("{} of {length} bytes came", progress.written);
            Err(Broken::Request(Failure::new(Cause::Unreachable, detail)))
        }
        _ => Ok(()),
    }
}

/// Begins at the first byte, whatever came before.
async fn restart<'a>(
    file: &mut File,
    content: &Content,
    progress: &'a mut Option<Progress>,
) -> Result<&'a mut Option<Progress>, Broken> {
    *progress = None;
    if content.start != 0 {
        return Err(Broken::Request(Failure::new(Cause::Changed, "it changed while it was fetched")));
    }
    file.set_len(0).await.map_err(Broken::File)?;
    file.rewind().await.map_err(Broken::File)?;
    *progress = Some(Progress {
        version: content.version.clone(),
        written: 0,
        length: content.length,
        running: content.checks.start(),
    });
    Ok(progress)
}
