//! The file of the audit log.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};

use camino::Utf8PathBuf;

/// A file that lines are added to. Something else may rename it at any time: the next line is then in a new one.
pub(super) struct AuditFile {
    path: Utf8PathBuf,
    open: Option<File>,
    /// The last line may have been written in part: the next one must not become a part of it.
    is_torn: bool,
}

impl AuditFile {
    pub(super) const fn at(path: Utf8PathBuf) -> Self {
        Self { path, open: None, is_torn: false }
    }

    /// Opens the file, unless it is open and still the one of that name.
    pub(super) fn open(&mut self) -> io::Result<&mut File> {
        if !self.is_current() {
            self.open = None;
        }
        match &mut self.open {
            Some(file) => Ok(file),
            closed @ None => {
                let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", self.path));
                let mut options = OpenOptions::new();
                let mut file =
                    options.read(true).append(true).create(true).mode(0o600).open(&self.path).map_err(named)?;
                self.is_torn = ends_within_a_line(&mut file)?;
                Ok(closed.insert(file))
            }
        }
    }

    /// Adds one line, with one write.
    pub(super) fn add(&mut self, text: &str) -> io::Result<()> {
        self.open()?;
        let line = format!("{}{text}\n", if self.is_torn { "\n" } else { "" });
        let Some(file) = &mut self.open else { return Err(io::ErrorKind::NotFound.into()) };
        match file.write(line.as_bytes()) {
            Ok(written) => {
                let is_whole = written == line.len();
                self.is_torn = !is_whole && written > 0;
                if is_whole { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
            }
            Err(error) => {
                self.open = None;
                Err(error)
            }
        }
    }

    fn is_current(&self) -> bool {
        let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
        let held = self.open.as_ref().and_then(|file| file.metadata().ok()).map(identity);
        held.is_some() && held == self.path.metadata().ok().map(identity)
    }
}

fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    let metadata = file.metadata()?;
    // What is no file (a pipe, a terminal) cannot be looked at.
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use camino::Utf8Path;

    use super::*;

    #[test]
    fn lines_are_added_for_the_owner_alone_and_go_on_in_a_new_file_after_a_rotation() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("audit.jsonl");
        let mut file = AuditFile::at(path.clone());
        file.add("1").unwrap();
        file.add("2").unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let rotated = path.with_extension("1");
        fs_err::rename(&path, &rotated).unwrap();
        file.add("3").unwrap();
        assert_eq!(fs_err::read_to_string(rotated).unwrap(), "1\n2\n");
        assert_eq!(fs_err::read_to_string(path).unwrap(), "3\n");
    }

    #[test]
    fn a_line_that_was_torn_swallows_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("audit.jsonl");
        fs_err::write(&path, "{\"ev").unwrap();
        AuditFile::at(path.clone()).add("{}").unwrap();
        assert_eq!(fs_err::read_to_string(path).unwrap(), "{\"ev\n{}\n");
    }

    #[test]
    fn a_full_disk_is_an_error_and_the_file_is_opened_again() {
        let mut file = AuditFile::at("/dev/full".into());
        assert_eq!(file.add("{}").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert!(file.open.is_none());
    }
}
