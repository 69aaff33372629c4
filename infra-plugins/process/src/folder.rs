//! The folder of one run: what its supervisor and any later worker know of it.
//!
//! | file | written by | holds |
//! |---|---|---|
//! | `claim` | whoever is first, once | who executes the run |
//! | `process` | supervisor, once | the identity of the command |
//! | `stdout`, `stderr` | the command itself | its output |
//! | `relayed` | worker | how far the output was passed on |
//! | `exit` | supervisor, once | how the run ended |
//! | `hooks-*` | supervisor, once each | nothing: that these hooks were begun |
//! | `control` | supervisor | the socket that takes orders |
//! | `prefect` | worker | the temporary working directory |
//! | `tmp` | supervisor | what the run has for `/tmp` |

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use infra_contract::LogStream;
use rustix::fs::{Mode, OFlags};
use rustix::process::getpid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use worker_core::exit::ExitReport;
use worker_core::ids::LaunchKey;

use crate::claim::Claim;
use crate::procfs::Identity;

const CLAIM: &str = "claim";
const PROCESS: &str = "process";
const CONTROL: &str = "control";

/// The name of the file that says how the run ended.
pub(crate) const EXIT: &str = "exit";

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

    /// Makes the claim unless there is one. False if somebody else was first.
    pub(crate) fn place_claim(&self, claim: &Claim) -> io::Result<bool> {
        let (draft, _file) = self.draft(CLAIM, claim)?;
        // Linked, not renamed: a rename would replace the claim of another.
        let placed = fs_err::hard_link(&draft, self.file(CLAIM));
        fs_err::remove_file(&draft)?;
        match placed {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The claim. One that is not even text of its form is torn: none is ever placed before it is written as a whole. An
    /// error also for one of another form: a worker of another release may well know whose it is.
    pub(crate) fn claim(&self) -> io::Result<Option<Claim>> {
        let Some(content) = self.content(CLAIM)? else { return Ok(None) };
        match serde_json::from_slice(&content) {
            Ok(claim) => Ok(Some(claim)),
            Err(error) if error.is_eof() || error.is_syntax() => Ok(Some(Claim::Torn)),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a claim of nobody back.
    pub(crate) fn lift_claim(&self) -> io::Result<()> {
        fs_err::remove_file(self.file(CLAIM))
    }

    pub(crate) fn write_process(&self, process: Identity) -> io::Result<()> {
        let (draft, _file) = self.draft(PROCESS, &process)?;
        fs_err::rename(draft, self.file(PROCESS))
    }

    pub(crate) fn process(&self) -> io::Result<Option<Identity>> {
        self.read(PROCESS)
    }

    pub(crate) fn write_exit(&self, report: &ExitReport) -> io::Result<()> {
        let (draft, _file) = self.draft(EXIT, report)?;
        fs_err::rename(draft, self.file(EXIT))
    }

    pub(crate) fn exit(&self) -> io::Result<Option<ExitReport>> {
        self.read(EXIT)
    }

    /// Makes sure that what is known of the run survives a failure of the machine.
    pub(crate) fn sync(&self) -> io::Result<()> {
        for name in [CLAIM, PROCESS, EXIT] {
            match File::open(self.file(name)) {
                Ok(file) => file.sync_data()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
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

    /// A complete file under a name that only this thread uses.
    fn draft(&self, name: &str, content: &impl Serialize) -> io::Result<(Utf8PathBuf, File)> {
        let path = self.file(&format!("{name}.{}.{:?}", getpid().as_raw_nonzero(), std::thread::current().id()));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all(&serde_json::to_vec(content)?)?;
        Ok((path, file))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> io::Result<Option<T>> {
        self.content(name)?.map(|content| Ok(serde_json::from_slice(&content)?)).transpose()
    }

    fn content(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs_err::read(self.file(name)) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
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
    use super::*;
    use crate::claim::Fence;

    #[test]
    fn only_the_first_claim_is_placed() {
        let directory = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(Utf8PathBuf::from_path_buf(directory.path().join("run")).unwrap());
        folder.make().unwrap();
        let first = Claim::Nobody(Fence { put_up_at: 1 });
        assert_eq!(folder.claim().unwrap(), None);
        assert!(folder.place_claim(&first).unwrap());
        assert!(!folder.place_claim(&Claim::Nobody(Fence { put_up_at: 2 })).unwrap());
        assert_eq!(folder.claim().unwrap(), Some(first));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "a draft is left");
    }

    #[test]
    fn a_claim_that_a_failure_of_the_machine_has_torn_is_somebodys_and_one_of_another_form_is_not_guessed_at() {
        let directory = tempfile::tempdir().unwrap();
        let folder = RunFolder::at(Utf8PathBuf::from_path_buf(directory.path().to_owned()).unwrap());
        for torn in ["", "\0\0\0", r#"{"claimed_by":"nob"#] {
            std::fs::write(folder.file(CLAIM), torn).unwrap();
            assert_eq!(folder.claim().unwrap(), Some(Claim::Torn), "{torn:?}");
        }
        std::fs::write(folder.file(CLAIM), r#"{"claimed_by":"a_later_release"}"#).unwrap();
        folder.claim().unwrap_err();
    }
}
