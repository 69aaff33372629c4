//! What the plugin notes on disk: how far the output of a container was read, and which containers are only kept. Losing it
//! repeats some output and looks at kept containers once more; nothing else hangs on it.

use std::io;
use std::time::{Duration, SystemTime};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err as fs;
use jiff::Timestamp;
use worker_core::ids::LaunchKey;

/// The notes of one daemon.
#[derive(Clone, Debug)]
pub(crate) struct Notes(Utf8PathBuf);

impl Notes {
    pub(crate) const fn new(folder: Utf8PathBuf) -> Self {
        Self(folder)
    }

    /// Whether this daemon ever had a container.
    pub(crate) fn exist(&self) -> bool {
        self.0.exists()
    }

    /// Notes that there are containers from now on.
    pub(crate) fn begin(&self) -> io::Result<()> {
        fs::create_dir_all(self.kept_folder())
    }

    /// Up to when the output of an execution was read.
    pub(crate) fn read_until(&self, key: &LaunchKey) -> Option<Timestamp> {
        fs::read_to_string(self.position(key)).ok()?.trim().parse().ok()
    }

    pub(crate) fn note_read_until(&self, key: &LaunchKey, time: Timestamp) {
        let written = fs::write(self.position(key), time.to_string());
        if let Err(error) = written {
            tracing::debug!("how far the output was read is not noted: {error}");
        }
    }

    pub(crate) fn forget(&self, key: &LaunchKey) {
        drop(fs::remove_file(self.position(key)));
    }

    /// Notes that a container is over and only kept.
    pub(crate) fn keep(&self, container: &str) -> io::Result<()> {
        self.begin()?;
        fs::write(self.kept_folder().join(container), "")
    }

    /// The containers that are only kept, and for how long they have been.
    pub(crate) fn kept(&self) -> Vec<(String, Duration)> {
        let now = SystemTime::now();
        let files = fs::read_dir(self.kept_folder()).into_iter().flatten().flatten();
        let kept = files.filter_map(|file| {
            let since = file.metadata().and_then(|metadata| metadata.modified()).ok()?;
            Some((file.file_name().into_string().ok()?, now.duration_since(since).unwrap_or_default()))
        });
        kept.collect()
    }

    pub(crate) fn forget_kept(&self, container: &str) {
        drop(fs::remove_file(self.kept_folder().join(container)));
    }

    fn kept_folder(&self) -> Utf8PathBuf {
        self.0.join("kept")
    }

    fn position(&self, key: &LaunchKey) -> Utf8PathBuf {
        Utf8Path::new(&self.0).join(format!("{key}.read-until"))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use worker_core::ids::{RunId, TransitionId};

    use super::*;

    #[test]
    fn notes_are_read_by_a_later_process_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap().join("docker");
        let key = LaunchKey { run: RunId(Uuid::from_u128(1)), claim: TransitionId(Uuid::from_u128(2)) };
        let time: Timestamp = "2026-11-26T01:02:03.000000004Z".parse().unwrap();
        let notes = Notes::new(folder.clone());
        assert!(!notes.exist());
        notes.begin().unwrap();
        notes.note_read_until(&key, time);
        notes.keep("abc").unwrap();

        let later = Notes::new(folder);
        assert!(later.exist());
        assert_eq!(later.read_until(&key), Some(time));
        assert_eq!(later.kept().into_iter().map(|(container, _)| container).collect::<Vec<_>>(), ["abc"]);
        later.forget(&key);
        later.forget_kept("abc");
        assert_eq!(later.read_until(&key), None);
        assert!(later.kept().is_empty());
    }
}
