//! Reading a run's output files on, towards whoever watches.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use infra_contract::LogStream;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use tokio::time::timeout;

use crate::changes::Change;
use crate::folder::RunFolder;
use crate::lines::LineCutter;
use crate::output_file;
use crate::relayed::{Relayed, RelayedMark};

/// When an unfinished line (a prompt, a progress bar) is passed on.
const IDLE_FLUSH: Duration = Duration::from_millis(100);

/// How much is read at once.
const CHUNK: usize = 64 * 1024;

/// After how much the files are held within their bounds: also where the supervisor is gone.
const BOUND_EVERY: u64 = 16 * 1024 * 1024;

/// A piece of output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) stream: LogStream,
    pub(crate) text: String,
}

/// Both streams of a run, from where an earlier reader stopped.
#[derive(Debug)]
pub(crate) struct Tail {
    folder: RunFolder,
    streams: [FileTail; 2],
    /// Which is read first the next time: one that is flooded must not starve the other.
    stderr_is_next: bool,
    mark: RelayedMark,
    change: Change,
    since_bounded: u64,
}

impl Tail {
    pub(crate) fn of(folder: &RunFolder, change: Change) -> Self {
        let relayed = Relayed::read(folder);
        let stream = |stream| FileTail::of(stream, relayed.offset(stream));
        Self {
            folder: folder.clone(),
            streams: [stream(LogStream::Stdout), stream(LogStream::Stderr)],
            stderr_is_next: false,
            mark: RelayedMark::of(relayed),
            change,
            since_bounded: 0,
        }
    }

    /// The next piece, as soon as there is one; `None` once the run has ended and everything was given. What was given
    /// before counts as passed on.
    ///
    /// The files are read in place: what was just written is in memory.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn next(&mut self, has_ended: impl Fn() -> bool, end: impl Future<Output = ()>) -> Option<Piece> {
        self.remember();
        tokio::pin!(end);
        loop {
            self.change.mark_seen();
            // Asked before reading: what was written before the end is then read.
            let has_ended = has_ended();
            if let Some(piece) = self.read() {
                return Some(piece);
            }
            if has_ended {
                return self.streams.iter_mut().find_map(FileTail::finish);
            }
            let line_waits = self.streams.iter().any(|stream| !stream.cutter.is_empty());
            let limit = if line_waits { IDLE_FLUSH } else { Duration::MAX };
            let something = async {
                tokio::select! {
                    () = self.change.or_doubt() => {}
                    () = &mut end => {}
                }
            };
            if timeout(limit, something).await.is_err()
                && let Some(piece) = self.streams.iter_mut().find_map(FileTail::flush)
            {
                return Some(piece);
            }
        }
    }

    fn read(&mut self) -> Option<Piece> {
        let [stdout, stderr] = &mut self.streams;
        let (first, second) = if self.stderr_is_next { (stderr, stdout) } else { (stdout, stderr) };
        let piece = first.read(&self.folder).or_else(|| second.read(&self.folder))?;
        self.stderr_is_next = piece.stream == LogStream::Stdout;
        Some(piece)
    }

    fn remember(&mut self) {
        let [stdout, stderr] = &self.streams;
        let relayed = Relayed { stdout: stdout.given(), stderr: stderr.given() };
        self.mark.set(&self.folder, relayed);
        let total = relayed.stdout + relayed.stderr;
        if total >= self.since_bounded + BOUND_EVERY {
            self.since_bounded = total;
            for stream in [LogStream::Stdout, LogStream::Stderr] {
                if let Err(error) = output_file::bound(&self.folder, stream, relayed.offset(stream)) {
                    tracing::debug!(%error, "an output file of a run cannot be held within bounds");
                }
            }
        }
    }
}

/// One stream. Its file is open only while it is read: a worker with hundreds of runs would run out of them.
#[derive(Debug)]
struct FileTail {
    stream: LogStream,
    offset: u64,
    cutter: LineCutter,
    /// Bytes that were freed before they were read, and not told of yet.
    lost: u64,
}

impl FileTail {
    fn of(stream: LogStream, offset: u64) -> Self {
        Self { stream, offset, cutter: LineCutter::default(), lost: 0 }
    }

    /// How far everything was given to the reader.
    fn given(&self) -> u64 {
        self.offset.saturating_sub(u64::try_from(self.cutter.len()).unwrap_or_default())
    }

    /// Whole lines, as far as there are any.
    fn read(&mut self, folder: &RunFolder) -> Option<Piece> {
        loop {
            let bytes = self.read_bytes(folder).ok().filter(|bytes| !bytes.is_empty())?;
            if let Some(text) = self.cutter.push(&bytes) {
                return Some(self.piece(text));
            }
        }
    }

    fn flush(&mut self) -> Option<Piece> {
        self.cutter.flush().map(|text| self.piece(text))
    }

    fn finish(&mut self) -> Option<Piece> {
        self.cutter.finish().map(|text| self.piece(text))
    }

    fn read_bytes(&mut self, folder: &RunFolder) -> io::Result<Vec<u8>> {
        let path = folder.output(self.stream);
        if path.metadata()?.len() == self.offset {
            return Ok(Vec::new());
        }
        let file = File::open(&path)?;
        loop {
            let start = first_kept(&file, self.offset)?;
            let mut bytes = vec![0; CHUNK];
            let count = file.read_at(&mut bytes, start)?;
            // Freed between the two: what was read then is not what was written.
            if first_kept(&file, start)? != start {
                continue;
            }
            bytes.truncate(count);
            self.lost += start.saturating_sub(self.offset);
            self.offset = start + u64::try_from(count).unwrap_or_default();
            return Ok(bytes);
        }
    }

    fn piece(&mut self, text: String) -> Piece {
        let text = match std::mem::take(&mut self.lost) {
            0 => text,
            lost => format!("[{lost} bytes of output were dropped because nobody read them]\n{text}"),
        };
        Piece { stream: self.stream, text }
    }
}

/// The first offset, from this one on, that was not freed. A file that was cut off is read from its beginning.
fn first_kept(file: &File, offset: u64) -> io::Result<u64> {
    let length = file.metadata()?.len();
    if length < offset {
        return Ok(0);
    }
    match seek(file, SeekFrom::Data(offset)) {
        Ok(start) => Ok(start),
        Err(Errno::NXIO) => Ok(length),
        // A file system that does not tell.
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(offset),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use camino::Utf8PathBuf;
    use rustix::fs::{FallocateFlags, fallocate};

    use super::*;
    use crate::changes::Changes;

    struct Written {
        folder: RunFolder,
        changes: Changes,
        stdout: File,
        _directory: tempfile::TempDir,
    }

    impl Written {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let folder = RunFolder::at(Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap());
            let stdout = File::create(folder.output(LogStream::Stdout)).unwrap();
            Self { folder, changes: Changes::listen(), stdout, _directory: directory }
        }

        fn tail(&self) -> Tail {
            Tail::of(&self.folder, self.changes.of(&self.folder).output())
        }
    }

    async fn next(tail: &mut Tail) -> Option<String> {
        tail.next(|| false, std::future::pending()).await.map(|piece| piece.text)
    }

    async fn last(tail: &mut Tail) -> Option<String> {
        tail.next(|| true, std::future::pending()).await.map(|piece| piece.text)
    }

    #[tokio::test]
    async fn an_unfinished_line_is_passed_on_after_a_moment() {
        let mut written = Written::new();
        written.stdout.write_all(b"50%").unwrap();
        assert_eq!(next(&mut written.tail()).await.unwrap(), "50%");
    }

    #[tokio::test]
    async fn a_later_reader_goes_on_behind_what_was_passed_on() {
        let mut written = Written::new();
        written.stdout.write_all(b"one\nhal").unwrap();
        let mut first = written.tail();
        assert_eq!(next(&mut first).await.unwrap(), "one\n");
        written.stdout.write_all(b"f\ntwo\n").unwrap();
        assert_eq!(next(&mut first).await.unwrap(), "half\ntwo\n");
        drop(first);
        // The last piece was given, but nobody has said that it was passed on.
        let mut second = written.tail();
        assert_eq!(last(&mut second).await.unwrap(), "half\ntwo\n");
        assert_eq!(last(&mut second).await, None);
        assert_eq!(last(&mut written.tail()).await, None);
    }

    #[tokio::test]
    async fn a_stream_that_is_flooded_does_not_starve_the_other() {
        let mut written = Written::new();
        written.stdout.write_all(&b"flood\n".repeat(CHUNK)).unwrap();
        std::fs::write(written.folder.output(LogStream::Stderr), "trouble\n").unwrap();
        let mut tail = written.tail();
        assert!(next(&mut tail).await.unwrap().starts_with("flood\n"));
        assert_eq!(next(&mut tail).await.unwrap(), "trouble\n");
        assert!(next(&mut tail).await.unwrap().ends_with("flood\n"));
    }

    #[tokio::test]
    async fn what_was_freed_before_it_was_read_is_told() {
        const FREED: usize = 128 * 1024;
        let mut written = Written::new();
        written.stdout.write_all(&b"lost\n".repeat(FREED / 5 + 1)).unwrap();
        written.stdout.write_all(b"\nkept\n").unwrap();
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&written.stdout, flags, 0, u64::try_from(FREED).unwrap()).unwrap();
        let text = last(&mut written.tail()).await.unwrap();
        assert!(text.starts_with(&format!("[{FREED} bytes of output were dropped")), "{text}");
        assert!(text.ends_with("\nkept\n") && !text.contains('\0'), "{text}");
    }
}
