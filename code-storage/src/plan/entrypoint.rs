//! What the flow's process has to load.

use camino::{Utf8Path, Utf8PathBuf};

use super::EngineReason;

/// A deployment's entrypoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entrypoint {
    /// `path/to/file.py:function`.
    File {
        /// The file; a relative one starts from where the pull steps end.
        file: Utf8PathBuf,
        /// The function, or `Class.method`.
        object: String,
    },
    /// `package.module.function`, imported from where the pull steps end or from where they began.
    Module(
        /// The whole of it.
        String,
    ),
}

impl Entrypoint {
    /// Reads a deployment's entrypoint.
    ///
    /// Left to the SDK: files it would not load (not `.py`), paths with backslashes, which it translates, and a module
    /// path where the folders in which it is looked for are not for the worker to say.
    pub(super) fn parse(entrypoint: Option<&str>, is_here: bool) -> Result<Self, EngineReason> {
        let entrypoint = entrypoint.filter(|text| !text.is_empty()).ok_or(EngineReason::NoEntrypoint)?;
        match entrypoint.rsplit_once(':') {
            Some((file, object))
                if Utf8Path::new(file).extension() == Some("py") && !file.contains('\\') && !object.is_empty() =>
            {
                Ok(Self::File { file: file.into(), object: object.to_owned() })
            }
            None if is_here && is_module_path(entrypoint) => Ok(Self::Module(entrypoint.to_owned())),
            Some(_) | None => Err(EngineReason::Entrypoint { entrypoint: entrypoint.to_owned() }),
        }
    }

    /// The file to load once the code is in `directory`.
    pub(crate) fn file_within(&self, directory: &Utf8Path) -> Option<Utf8PathBuf> {
        match self {
            Self::File { file, .. } => Some(directory.join(file)),
            Self::Module(_) => None,
        }
    }

    /// The entrypoint as the engine takes it once the code is in `directory`.
    pub(crate) fn within(&self, directory: &Utf8Path) -> String {
        match self {
            Self::File { file, object } => format!("{}:{object}", directory.join(file)),
            Self::Module(path) => path.clone(),
        }
    }
}

fn is_module_path(entrypoint: &str) -> bool {
    let is_name = |part: &str| {
        part.chars().next().is_some_and(|first| first == '_' || first.is_alphabetic())
            && part.chars().all(|character| character == '_' || character.is_alphanumeric())
    };
    entrypoint.contains('.') && entrypoint.split('.').all(is_name)
}
