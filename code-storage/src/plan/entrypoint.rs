//! Entrypoints that name a file.

use camino::{Utf8Path, Utf8PathBuf};

use super::EngineReason;

/// An entrypoint `path/to/file.py:function`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileEntrypoint {
    /// The file; a relative one starts from where the pull steps end.
    pub file: Utf8PathBuf,
    /// The function, or `Class.method`.
    pub object: String,
}

impl FileEntrypoint {
    /// Reads a deployment's entrypoint.
    ///
    /// Left to the SDK besides module paths: files it would not load (not `.py`), and paths with backslashes, which it
    /// translates.
    pub(super) fn parse(entrypoint: Option<&str>) -> Result<Self, EngineReason> {
        let entrypoint = entrypoint.filter(|text| !text.is_empty()).ok_or(EngineReason::NoEntrypoint)?;
        entrypoint
            .rsplit_once(':')
            .filter(|(file, object)| {
                Utf8Path::new(file).extension() == Some("py") && !file.contains('\\') && !object.is_empty()
            })
            .map(|(file, object)| Self { file: file.into(), object: object.to_owned() })
            .ok_or_else(|| EngineReason::NotAFileEntrypoint { entrypoint: entrypoint.to_owned() })
    }

    /// The entrypoint as the engine takes it once the code is in `directory`.
    pub(crate) fn within(&self, directory: &Utf8Path) -> String {
        format!("{}:{}", directory.join(&self.file), self.object)
    }
}
