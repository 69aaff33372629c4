//! What the plugin notes on disk: how far the output of runs was read, and where a Job was asked for.
//!
//! Losing the first repeats some output. The second is written before an API server is asked, so that a process which was killed in
//! that moment is not taken for one that asked nobody.

use std::io;

use camino::Utf8PathBuf;
use fs_err as fs;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use worker_core::ids::LaunchKey;

/// Where a Job was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) cluster: String,
    pub(crate) namespace: String,
    /// Whether a request may have been left without an answer.
    pub(crate) is_open: bool,
}

/// The notes of one daemon. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Notes(Utf8PathBuf);

impl Notes {
    pub(crate) const fn new(folder: Utf8PathBuf) -> Self {
        Self(folder)
    }

    /// Up to when the output of an execution was read.
    pub(crate) fn read_until(&self, key: &LaunchKey) -> Option<Timestamp> {
        fs::read_to_string(self.file(key)).ok()?.trim().parse().ok()
    }

    pub(crate) fn note_read_until(&self, key: &LaunchKey, time: Timestamp) {
        let write = || -> io::Result<()> {
            fs::create_dir_all(&self.0)?;
            fs::write(self.file(key), time.to_string())
        };
        if let Err(error) = write() {
            tracing::debug!("how far the output was read is not noted: {error}");
        }
    }

    /// Where the Job of an execution was asked for, if it ever was.
    pub(crate) fn asked(&self, key: &LaunchKey) -> io::Result<Option<Asked>> {
        match fs::read_to_string(self.launch(key)) {
            Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// On disk whole, or not at all.
    pub(crate) fn note_asked(&self, key: &LaunchKey, asked: &Asked) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let new = self.0.join(format!("{key}.asked-new"));
        fs::write(&new, serde_json::to_string(asked)?)?;
        fs::File::open(&new)?.sync_all()?;
        fs::rename(new, self.launch(key))
    }

    pub(crate) fn forget_asked(&self, key: &LaunchKey) {
        drop(fs::remove_file(self.launch(key)));
    }

    pub(crate) fn forget(&self, key: &LaunchKey) {
        drop(fs::remove_file(self.file(key)));
        self.forget_asked(key);
    }

    fn launch(&self, key: &LaunchKey) -> Utf8PathBuf {
        self.0.join(format!("{key}.asked"))
    }

    fn file(&self, key: &LaunchKey) -> Utf8PathBuf {
        self.0.join(format!("{key}.read-until"))
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8Path;
    use uuid::Uuid;
    use worker_core::ids::{RunId, TransitionId};

    use super::*;

    #[test]
    fn a_later_process_knows_where_a_job_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap().join("notes");
        let key = LaunchKey { run: RunId(Uuid::from_u128(1)), claim: TransitionId(Uuid::from_u128(2)) };
        let asked = Asked { cluster: String::new(), namespace: "flows".to_owned(), is_open: true };
        let notes = Notes::new(folder.clone());
        assert_eq!(notes.asked(&key).unwrap(), None);
        notes.note_asked(&key, &asked).unwrap();
        let later = Notes::new(folder);
        assert_eq!(later.asked(&key).unwrap(), Some(asked));
        later.forget(&key);
        assert_eq!(later.asked(&key).unwrap(), None);
    }
}
