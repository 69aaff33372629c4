//! The end of what the run wrote to its standard error.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};

use infra_contract::LogStream;

use crate::folder::RunFolder;

/// How much is read.
const LENGTH: u64 = 64 * 1024;

/// The last complete lines, or nothing if there is nothing to be read.
pub(super) fn end_of(folder: &RunFolder) -> String {
    let read = || {
        let mut file = File::open(folder.output(LogStream::Stderr))?;
        let start = file.metadata()?.len().saturating_sub(LENGTH);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(LENGTH).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>((start, bytes))
    };
    let Ok((start, mut bytes)) = read() else { return String::new() };
    if start > 0 {
        // Half of a line may hold half of a secret, which is not found.
        let cut = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |newline| newline + 1);
        bytes.drain(..cut);
    }
    String::from_utf8_lossy(&bytes).replace('\0', "")
}
