//! The files that a run writes its output to, and their bounds.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use infra_contract::LogStream;
use rustix::fs::{FallocateFlags, fallocate};

use crate::folder::RunFolder;

/// How much of a stream may lie on disk.
pub(crate) const SIZE_LIMIT: u64 = 64 * 1024 * 1024;

/// The end of a stream, which is kept whether it was relayed or not: it says why a run failed.
const KEPT: u64 = 1024 * 1024;

/// Holes are made of whole blocks: a part of one would be overwritten with zeros instead.
const BLOCK: u64 = 64 * 1024;

/// Frees what exceeds the limit: what was relayed, and if that is not enough, all but the end. How much lies on disk then.
pub(crate) fn bound(folder: &RunFolder, stream: LogStream, relayed: u64) -> io::Result<u64> {
    let path = folder.output(stream);
    let on_disk_now = size(&path.metadata()?);
    if on_disk_now <= SIZE_LIMIT {
        return Ok(on_disk_now);
    }
    let file = OpenOptions::new().write(true).open(path)?;
    let kept_from = file.metadata()?.len().saturating_sub(KEPT);
    free(&file, relayed.min(kept_from))?;
    if on_disk(&file)? > SIZE_LIMIT {
        free(&file, kept_from)?;
    }
    on_disk(&file)
}

fn on_disk(file: &File) -> io::Result<u64> {
    Ok(size(&file.metadata()?))
}

fn size(metadata: &Metadata) -> u64 {
    metadata.blocks().saturating_mul(512)
}

/// Makes a hole of everything before an offset. Where files cannot have holes, everything goes: whoever appends goes on
/// at the new end.
fn free(file: &File, before: u64) -> io::Result<()> {
    let length = before / BLOCK * BLOCK;
    if length == 0 {
        return Ok(());
    }
    let freed = fallocate(file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, length);
    freed.or_else(|_unsupported| rustix::fs::ftruncate(file, 0))?;
    Ok(())
}
