//! The folder of one run: what its supervisor and any later worker know of it.
//!
//! | file | written by | holds |
//! |---|---|---|
//! | `claim` | whoever is first, once; then its supervisor | who executes the run, which process it is, how it ended |
//! | `stdout`, `stderr` | the command itself | its output |
//! | `relayed` | worker | how far the output was passed on |
//! | `hooks-*` | supervisor, once each | nothing: that these hooks were begun |
//! | `control` | supervisor | the socket that takes orders |
//! | `prefect` | worker | the temporary working directory |
//! | `tmp` | supervisor | what the run has for `/tmp` |

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use infra_contract::LogStream;
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;
use rustix::process::getpid;
use worker_core::ids::LaunchKey;

use crate::claim::Claim;
use crate::claim_file::{ClaimFile, Written};

/// The name of the file that says who executes the run and what became of it.
pub(crate) const CLAIM: &str = "claim";

const CONTROL: &str = "control";

/// The folder of one run. Clones share its path.
#[derive(Clone, Debug)]
pub(crate) struct RunFolder(Arc<Utf8Path>);

impl RunFolder {
    pub(crate) fn of(runs_directory: &Utf8Path, key: &LaunchKey) -> Self {
        Self(runs_directory.join(key.to_string()).into())
    }

    pub(crate) fn at(path: Utf8PathBuf) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Utf8Path {
        &self.0
    }

    /// Makes it, for nobody else to read: output may hold anything.
    pub(crate) fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&*self.0)
    }

    /// Removes it and all that is in it. That it is gone already is no error.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs_err::remove_dir_all(&*self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(crate) fn file(&self, name: &str) -> Utf8PathBuf {
        self.0.join(name)
    }

    pub(crate) fn output(&self, stream: LogStream) -> Utf8PathBuf {
        self.file(output_name(stream))
    }

    pub(crate) fn temporary_directory(&self) -> Utf8PathBuf {
        self.file("prefect")
    }

    /// What takes the place of `/tmp` for the run.
    pub(crate) fn private_tmp(&self) -> Utf8PathBuf {
        self.file("tmp")
    }

    /// Makes the claim unless there is one. `None` if somebody else was first.
    pub(crate) fn place_claim(&self, claim: &Claim) -> io::Result<Option<ClaimFile>> {
        // Under a name that only this thread uses, until it is written.
        let draft = self.file(&format!("{CLAIM}.{}.{:?}", getpid().as_raw_nonzero(), std::thread::current().id()));
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        let written = ClaimFile::begin(file, claim)?;
        let claim = self.file(CLAIM);
        let renamed = renameat_with(CWD, draft.as_std_path(), CWD, claim.as_std_path(), RenameFlags::NOREPLACE);
        let placed = match renamed {
            // Not every file system can do that without replacing the claim of another.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link(&draft, &claim, written),
            renamed => renamed.map(|()| written).map_err(io::Error::from),
        };
        match placed {
            Ok(placed) => Ok(Some(placed)),
            Err(error) => {
                fs_err::remove_file(&draft)?;
                if error.kind() == io::ErrorKind::AlreadyExists { Ok(None) } else { Err(error) }
            }
        }
    }

    /// The claim, with what was said of the run below it.
    pub(crate) fn written(&self) -> io::Result<Option<Written>> {
        match fs_err::read(self.file(CLAIM)) {
            Ok(content) => Written::parse(&content).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The claim alone.
    pub(crate) fn claim(&self) -> io::Result<Option<Claim>> {
        Ok(self.written()?.map(|written| written.claim))
    }

    /// Takes a claim of nobody back.
    pub(crate) fn lift_claim(&self) -> io::Result<()> {
        fs_err::remove_file(self.file(CLAIM))
    }

    /// Makes sure that what is known of the run survives a failure of the machine.
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(self.file(CLAIM))?.sync_data()?;
        self.sync_names()
    }

    /// Makes sure that the names of its files survive a failure of the machine.
    pub(crate) fn sync_names(&self) -> io::Result<()> {
        File::open(&*self.0)?.sync_all()
    }

    /// The path of the socket, short enough for a socket address however deep the folder is. Good while the descriptor
    /// is open.
    pub(crate) fn control(&self) -> io::Result<(OwnedFd, Utf8PathBuf)> {
        let directory =
            rustix::fs::open(self.0.as_std_path(), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let path = Utf8PathBuf::from(format!("/proc/self/fd/{}/{CONTROL}", directory.as_raw_fd()));
        Ok((directory, path))
    }
}

/// Gives a draft its name in two steps, which replaces nothing either.
fn link(draft: &Utf8Path, claim: &Utf8Path, written: ClaimFile) -> io::Result<ClaimFile> {
    fs_err::hard_link(draft, claim)?;
    fs_err::remove_file(draft)?;
    // Whoever watches the folder hears of a file by the name under which it was opened.
    Ok(written.reopened(OpenOptions::new().write(true).open(claim)?))
}

/// The file that a stream is written to.
pub(crate) const fn output_name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
    }
}

#[cfg(test)]
mod tests {
    use worker_core::exit::{Exit, ExitReport};

    use super::*;
    use crate::claim::Fence;
    use crate::claim_file::Word;

    #[test]
    fn only_the_first_claim_is_placed() {
        let directory = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(Utf8PathBuf::from_path_buf(directory.path().join("run")).unwrap());
        folder.make().unwrap();
        let first = Claim::Nobody(Fence { put_up_at: 1 });
        assert_eq!(folder.claim().unwrap(), None);
        assert!(folder.place_claim(&first).unwrap().is_some());
        assert!(folder.place_claim(&Claim::Nobody(Fence { put_up_at: 2 })).unwrap().is_none());
        assert_eq!(folder.claim().unwrap(), Some(first));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a draft is left");
    }

    #[test]
    fn a_claim_is_placed_as_well_where_files_cannot_be_renamed_without_replacing() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let (draft, claim) = (directory.join("draft"), directory.join(CLAIM));
        let begun = |number| {
            let file = File::create(&draft).unwrap();
            ClaimFile::begin(file, &Claim::Nobody(Fence { put_up_at: number })).unwrap()
        };
        let mut placed = link(&draft, &claim, begun(1)).unwrap();
        assert!(!draft.exists() && format!("{placed:?}").contains("/claim\""), "{placed:?}");
        let error = link(&draft, &claim, begun(2)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let exit = ExitReport::bare(Exit::Code(3));
        placed.add(&Word::Exit(exit.clone())).unwrap();
        let written = RunFolder::at(directory.to_owned()).written().unwrap().unwrap();
        let first = Claim::Nobody(Fence { put_up_at: 1 });
        assert_eq!((written.claim, written.words.exit().unwrap()), (first, Some(exit)));
    }
}
