//! The worker's checkout, as the container sees it.

use camino::{Utf8Path, Utf8PathBuf};
use worker_core::spec::CodeInPlace;

/// Where it is mounted.
const FOLDER: &str = "/opt/prefect-worker/code";

/// A checkout that is mounted read-only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountedCode {
    /// The folder on the worker's machine.
    pub(crate) source: Utf8PathBuf,
    /// Where it is in the container.
    pub(crate) target: &'static str,
    /// Where the flow runs.
    pub(crate) directory: String,
    pub(crate) entrypoint: Option<String>,
    /// What has to be on `PYTHONPATH`.
    pub(crate) importable: Option<String>,
}

impl MountedCode {
    pub(crate) fn of(code: &CodeInPlace) -> Self {
        let directory = Utf8Path::new(&code.directory);
        let around = code.importable.as_deref().map(Utf8Path::new).filter(|around| directory.starts_with(around));
        let source = around.unwrap_or(directory).to_owned();
        let inside = |path: &str| match Utf8Path::new(path).strip_prefix(&source) {
            Ok(rest) if rest.as_str().is_empty() => FOLDER.to_owned(),
            Ok(rest) => format!("{FOLDER}/{rest}"),
            Err(_) => path.to_owned(),
        };
        Self {
            target: FOLDER,
            directory: inside(&code.directory),
            entrypoint: code.entrypoint.as_deref().map(|entrypoint| match entrypoint.rsplit_once(':') {
                Some((file, function)) => format!("{}:{function}", inside(file)),
                None => inside(entrypoint),
            }),
            importable: around.map(|around| inside(around.as_str())),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_container() {
        let code = CodeInPlace {
            directory: "/state/run-code/repo".to_owned(),
            entrypoint: Some("/state/run-code/repo/flows/a.py:main".to_owned()),
            importable: Some("/state/run-code".to_owned()),
        };
        let mounted = MountedCode::of(&code);
        assert_eq!(mounted.source, "/state/run-code");
        assert_eq!(mounted.directory, "/opt/prefect-worker/code/repo");
        assert_eq!(mounted.entrypoint.as_deref(), Some("/opt/prefect-worker/code/repo/flows/a.py:main"));
        assert_eq!(mounted.importable.as_deref(), Some("/opt/prefect-worker/code"));

        let elsewhere = MountedCode::of(&CodeInPlace { directory: "/srv/flows".to_owned(), ..code });
        assert_eq!(elsewhere.source, "/srv/flows");
        assert_eq!(elsewhere.directory, "/opt/prefect-worker/code");
        assert_eq!(elsewhere.importable, None);
    }
}
