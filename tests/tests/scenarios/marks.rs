//! What commands of runs leave behind: proof that they ran, in which order, and not at the same time.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use worker_tests::harness::{PATIENT, until};

/// The time of a file lags behind the clock by up to a tick of the kernel.
const FILE_TIME: SignedDuration = SignedDuration::from_millis(10);

/// A directory that commands write into.
#[derive(Debug)]
pub(crate) struct Marks(TempDir);

impl Marks {
    pub(crate) fn new() -> Self {
        Self(tempfile::Builder::new().prefix("marks-").tempdir().unwrap())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A command that makes a mark and ends well.
    pub(crate) fn command(&self, mark: &str) -> String {
        self.shell(&format!("echo {mark} >> marks"))
    }

    /// A command that marks whether it was alone while it ran.
    pub(crate) fn exclusive_command(&self) -> String {
        self.shell("if mkdir lock; then sleep 0.2; echo alone >> marks; rmdir lock; else echo together >> marks; fi")
    }

    /// A command that makes a mark and then runs until [`Marks::release`], ending with a code.
    pub(crate) fn held_command(&self, code: u8) -> String {
        self.shell(&format!("echo started >> marks; while ! test -e released; do sleep 0.05; done; exit {code}"))
    }

    /// A command that makes a mark and then runs for longer than any test.
    pub(crate) fn endless_command(&self) -> String {
        self.shell("echo started >> marks; while :; do sleep 0.1; done")
    }

    /// A shell script, run in the directory.
    pub(crate) fn shell(&self, script: &str) -> String {
        assert!(!script.contains('"'), "the script is put between double quotes");
        let script = script.replace('$', "\\$");
        format!("sh -c \"cd {} && {{ {script}; }}\"", self.0.path().display())
    }

    pub(crate) fn release(&self) {
        fs_err::write(self.path("released"), "").unwrap();
    }

    /// The marks so far, in order.
    pub(crate) fn made(&self) -> Vec<String> {
        let text = fs_err::read_to_string(self.path("marks")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits for a number of marks.
    pub(crate) async fn count(&self, wanted: usize) {
        until(PATIENT, format!("{wanted} marks"), async || (self.made().len() >= wanted).then_some(())).await;
    }

    /// When the only mark was made, at the latest.
    pub(crate) fn first_at(&self) -> Timestamp {
        let modified = fs_err::metadata(self.path("marks")).unwrap().modified().unwrap();
        assert_eq!(self.made().len(), 1);
        Timestamp::try_from(modified).unwrap() + FILE_TIME
    }
}
