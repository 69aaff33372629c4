//! The part of a queue that is on disk, so that it outlives an outage of the API and the end of the process.

mod backlog;
mod segment;
mod spooling;

use std::collections::VecDeque;
use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::os::unix::fs::OpenOptionsExt as _;
use fs_err::{self as fs, File, OpenOptions};
use jiff::Timestamp;

pub(crate) use backlog::Backlog;
use segment::{Line, Segment};
pub(crate) use spooling::{Spoolable, Spooling};

const SEGMENT_BYTES: u64 = 1024 * 1024;
const MOST_BYTES: u64 = 32 * 1024 * 1024;
const NOT_WRITTEN: &str = "what the API does not take cannot be kept on disk; it waits in memory";
const NOT_REMOVED: &str =
    "what was delivered cannot be removed from the disk; it would be delivered again after a restart";

/// A folder of lines that the API has not taken yet, in files that are only appended to: 32 MiB at most, of which the
/// oldest are dropped first.
///
/// It belongs to one process, to one API, and to either logs or events. It is made when the first line is written, private
/// to its owner, and gone when the last was delivered. Lines are not synced to the disk: they survive the process, not a
/// power cut.
#[derive(Debug)]
pub struct Spool {
    folder: Utf8PathBuf,
    segment_bytes: u64,
    most_bytes: u64,
    /// Oldest first.
    segments: VecDeque<Segment>,
    /// Ends of the lines of the first segment that were read and not confirmed. Such a segment is no longer written to.
    read: VecDeque<u64>,
    /// The last segment, while it is written to.
    writing: Option<File>,
    /// Whether a failure was told, and nothing could be written since.
    is_told: bool,
}

impl Spool {
    /// Looks at what an earlier process left in the folder, which need not exist: it is delivered first. Reads it all, which
    /// may take a moment after a long outage. A folder that cannot be read is warned of, and what is in it is left alone.
    pub fn open(folder: impl Into<Utf8PathBuf>) -> Self {
        Self::with_limits(folder.into(), SEGMENT_BYTES, MOST_BYTES)
    }

    fn with_limits(folder: Utf8PathBuf, segment_bytes: u64, most_bytes: u64) -> Self {
        let segments = Segment::all(&folder).unwrap_or_else(|error| {
            tracing::warn!(%error, "what an earlier process left undelivered cannot be read");
            Vec::new()
        });
        Self {
            folder,
            segment_bytes,
            most_bytes,
            segments: segments.into(),
            read: VecDeque::new(),
            writing: None,
            is_told: false,
        }
    }

    /// Takes over what another process, which has ended, left in its folder on the same file system, and removes that folder
    /// if nothing else is in it. Files stand in the order in which they were begun, whosever they were, and before everything
    /// that is still to come. What was taken over when it fails stays ours. The bound is kept again from the next line on.
    pub fn adopt(&mut self, left: &Utf8Path) -> io::Result<()> {
        let found = Segment::all(left)?;
        if !found.is_empty() {
            make_private(&self.folder)?;
        }
        for segment in found {
            let mut ours = segment.clone();
            while self.segments.iter().any(|other| other.order == ours.order) {
                ours.order += 1;
            }
            fs::rename(segment.path(left), ours.path(&self.folder))?;
            let at = self.segments.partition_point(|other| other.order < ours.order);
            self.segments.insert(at, ours);
        }
        remove_if_empty(left);
        Ok(())
    }

    /// How many lines wait here.
    pub(crate) fn lines(&self) -> u64 {
        self.segments.iter().map(|segment| segment.lines).sum()
    }

    /// Writes as many of the lines as one file takes, one at least, and returns how many: none when it fails, which is told.
    fn append(&mut self, lines: &[impl AsRef<str>]) -> usize {
        match self.try_append(lines) {
            Ok(written) => {
                self.is_told = false;
                written
            }
            Err(error) => {
                self.tell(&error, NOT_WRITTEN);
                0
            }
        }
    }

    fn try_append(&mut self, lines: &[impl AsRef<str>]) -> io::Result<usize> {
        let mut file = self.writable()?;
        let Some(segment) = self.segments.back_mut() else { return Ok(0) };
        let room = self.segment_bytes.saturating_sub(segment.bytes);
        let mut text = String::new();
        let mut written = 0;
        for line in lines {
            text.push_str(line.as_ref());
            text.push('\n');
            written += 1;
            if u64::try_from(text.len()).is_ok_and(|bytes| bytes >= room) {
                break;
            }
        }
        if let Err(error) = file.write_all(text.as_bytes()) {
            // What was written of it would be delivered twice: by us, and by whoever reads the file.
            file.set_len(segment.bytes)?;
            self.writing = Some(file);
            return Err(error);
        }
        segment.bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
        segment.lines += u64::try_from(written).unwrap_or(u64::MAX);
        if segment.bytes < self.segment_bytes {
            self.writing = Some(file);
        }
        Ok(written)
    }

    /// The file that is written to. Whoever takes it puts it back, unless it is full or has an end that must stay the end.
    fn writable(&mut self) -> io::Result<File> {
        if let Some(file) = self.writing.take() {
            return Ok(file);
        }
        make_private(&self.folder)?;
        // The clock orders the files of several processes; those of one are in order whatever the clock does.
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or_default();
        let segment = Segment::new(self.segments.back().map_or(now, |last| now.max(last.order + 1)));
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(segment.path(&self.folder))?;
        self.segments.push_back(segment);
        Ok(file)
    }

    /// Drops the oldest files until the rest is within the bound, and returns their lines. What is being delivered stays.
    fn make_room(&mut self) -> Vec<String> {
        let mut dropped = Vec::new();
        let oldest = usize::from(!self.read.is_empty());
        while self.segments.iter().map(|segment| segment.bytes).sum::<u64>() > self.most_bytes
            && self.segments.len() > oldest + 1
            && let Some(segment) = self.segments.remove(oldest)
        {
            match segment.read(&self.folder) {
                Ok(lines) => dropped.extend(lines.into_iter().map(|line| line.json)),
                Err(error) => tracing::warn!(%error, lines = segment.lines, "undelivered lines were dropped unread"),
            }
            self.remove(&segment.path(&self.folder));
        }
        dropped
    }

    /// The oldest lines, as many as one file has. They stay until they are confirmed. A file that cannot be read any more
    /// is passed over. None if nothing waits.
    fn read(&mut self) -> Vec<String> {
        while let Some(segment) = self.segments.pop_front() {
            if self.segments.is_empty() {
                self.writing = None;
            }
            match segment.read(&self.folder) {
                Ok(lines) if !lines.is_empty() => {
                    let (ends, lines) = lines.into_iter().map(|Line { json, end }| (end, json)).unzip();
                    self.read = ends;
                    self.segments.push_front(segment);
                    return lines;
                }
                Ok(_) => {
                    tracing::warn!(lines = segment.lines, "undelivered lines are gone from their file");
                    self.remove(&segment.path(&self.folder));
                }
                Err(error) => tracing::warn!(%error, lines = segment.lines, "undelivered lines cannot be read back"),
            }
        }
        Vec::new()
    }

    /// So many of the lines that were read are settled: they will not be read again.
    fn confirm(&mut self, lines: u64) {
        let Some(mut segment) = self.segments.pop_front() else { return };
        let path = segment.path(&self.folder);
        let mut confirmed = segment.confirmed;
        for _ in 0..lines {
            let Some(end) = self.read.pop_front() else { break };
            confirmed = end;
            segment.lines = segment.lines.saturating_sub(1);
        }
        if self.read.is_empty() {
            self.remove(&path);
        } else {
            match fs::rename(path, Segment { confirmed, ..segment.clone() }.path(&self.folder)) {
                Ok(()) => segment.confirmed = confirmed,
                Err(error) => self.tell(&error, NOT_REMOVED),
            }
            self.segments.push_front(segment);
        }
    }

    fn remove(&mut self, path: &Utf8Path) {
        if let Err(error) = fs::remove_file(path) {
            self.tell(&error, NOT_REMOVED);
        }
        if self.segments.is_empty() {
            remove_if_empty(&self.folder);
        }
    }

    /// Warns of the first failure since lines were last written.
    fn tell(&mut self, error: &io::Error, what: &str) {
        if self.is_told {
            tracing::debug!(%error, "{what}");
        } else {
            tracing::warn!(%error, "{what}");
            self.is_told = true;
        }
    }
}

/// Whatever else is in a folder keeps it.
fn remove_if_empty(folder: &Utf8Path) {
    if let Err(error) = fs::remove_dir(folder) {
        tracing::debug!(%error, "the folder of undelivered lines stays");
    }
}

/// Makes a folder, and those above it, that nobody else may look into.
fn make_private(folder: &Utf8Path) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| io::Error::new(error.kind(), format!("the folder {folder} cannot be made: {error}")))
}

#[cfg(test)]
mod tests;
