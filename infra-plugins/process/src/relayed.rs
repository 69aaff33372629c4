//! How far the output of a run was passed on: where a later worker goes on.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};

use infra_contract::LogStream;

use crate::folder::RunFolder;

const NAME: &str = "relayed";

/// Offsets in the output files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relayed {
    pub(crate) stdout: u64,
    pub(crate) stderr: u64,
}

impl Relayed {
    /// What is written down; nothing was relayed if nothing is.
    pub(crate) fn read(folder: &RunFolder) -> Self {
        let text = std::fs::read_to_string(folder.file(NAME)).unwrap_or_default();
        let mut offsets = text.split_ascii_whitespace().map(|word| word.parse().unwrap_or_default());
        Self { stdout: offsets.next().unwrap_or_default(), stderr: offsets.next().unwrap_or_default() }
    }

    pub(crate) const fn offset(self, stream: LogStream) -> u64 {
        match stream {
            LogStream::Stdout => self.stdout,
            LogStream::Stderr => self.stderr,
        }
    }
}

/// Writes the offsets down. A worker that dies between passing on and writing passes something on twice; never is
/// something left out.
#[derive(Debug)]
pub(crate) struct RelayedMark {
    written: Relayed,
}

impl RelayedMark {
    pub(crate) const fn of(written: Relayed) -> Self {
        Self { written }
    }

    pub(crate) fn set(&mut self, folder: &RunFolder, relayed: Relayed) {
        if relayed == self.written {
            return;
        }
        match write(folder, relayed) {
            Ok(()) => self.written = relayed,
            Err(error) => tracing::debug!(%error, "how far output was relayed cannot be written down"),
        }
    }
}

/// Always as long as before, and in one write: never half of an old and half of a new offset.
fn write(folder: &RunFolder, relayed: Relayed) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(folder.file(NAME))?;
    let text = format!("{:020} {:020}\n", relayed.stdout, relayed.stderr);
    file.write_all_at(text.as_bytes(), 0)
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    #[test]
    fn what_is_marked_is_read_back_and_nothing_is_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap();
        let folder = RunFolder::at(path);
        assert_eq!(Relayed::read(&folder), Relayed::default());
        let mut mark = RelayedMark::of(Relayed::default());
        mark.set(&folder, Relayed { stdout: 1_000_000, stderr: 7 });
        mark.set(&folder, Relayed { stdout: 1_000_001, stderr: 8 });
        assert_eq!(Relayed::read(&folder), Relayed { stdout: 1_000_001, stderr: 8 });
    }
}
