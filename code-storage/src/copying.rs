//! Copying a file in pieces, so that a copy can be given up.

use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt as _;
use rustix::fs::OFlags;
use tokio_util::sync::CancellationToken;

/// How much is copied before it is looked whether to go on. A multiple of the blocks of every file system, so that the
/// system can share them.
pub(crate) const PIECE: u64 = 64 << 20;

/// Copies a file with its permissions and the time of its last change to `to`, which does not exist, and gives its length. What
/// is no file is an error: to read it could take for ever. Where the file system can share blocks until they are written to, the
/// system does that by itself.
pub(crate) fn copy_file(from: &Path, to: &Path, stop: &CancellationToken) -> io::Result<u64> {
    let mut source = open(from)?;
    let metadata = source.metadata()?;
    let mut target = fs::OpenOptions::new().write(true).create_new(true).open(to)?.into_file();
    let mut copied = 0;
    loop {
        check(stop)?;
        let piece = io::copy(&mut (&mut source).take(PIECE), &mut target)?;
        copied += piece;
        if piece == 0 {
            break;
        }
    }
    target.set_permissions(metadata.permissions())?;
    target.set_modified(metadata.modified()?)?;
    Ok(copied)
}

/// Opens a file to read. What is no file is an error.
fn open(path: &Path) -> io::Result<std::fs::File> {
    // Without waiting for a writer: the file may have become a pipe a moment ago.
    let flags = OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path)?.into_file();
    check_kind(&file.metadata()?).map(|()| file)
}

/// An error for what is no file.
pub(crate) fn check_kind(metadata: &Metadata) -> io::Result<()> {
    match special(metadata) {
        None => Ok(()),
        Some(kind) => {
            Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is a {kind}, which cannot be copied")))
        }
    }
}

/// What is neither a file nor a directory nor a link, by its name.
pub(crate) fn special(metadata: &Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_fifo() {
        Some("named pipe")
    } else if kind.is_socket() {
        Some("socket")
    } else if kind.is_block_device() || kind.is_char_device() {
        Some("device")
    } else {
        None
    }
}

/// An error once the copy is given up.
pub(crate) fn check(stop: &CancellationToken) -> io::Result<()> {
    if stop.is_cancelled() { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
}
