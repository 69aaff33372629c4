//! Finding a program as `execvp` would, so that a missing one can be named before anything is started.

use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use crate::error::ProcessError;

/// Where programs are looked for if there is no `PATH`.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The file behind a command's first word: relative to the working directory if it has a slash, else on the `PATH`.
pub(crate) fn resolve(program: &str, working_dir: &Utf8Path, path: Option<&str>) -> Result<Utf8PathBuf, ProcessError> {
    if !program.contains('/') {
        return on_path(program, path).ok_or_else(|| ProcessError::ProgramNotFound { program: program.to_owned() });
    }
    let file = working_dir.join(program);
    if !file.exists() {
        return Err(ProcessError::ProgramNotFound { program: file.into_string() });
    }
    if !is_executable(&file) {
        return Err(ProcessError::ProgramNotExecutable { program: file.into_string() });
    }
    Ok(file)
}

/// The first executable file of that name on a `PATH`. Relative entries are passed over: they would mean another place
/// to the run than to the worker.
pub(crate) fn on_path(program: &str, path: Option<&str>) -> Option<Utf8PathBuf> {
    let directories = path.unwrap_or(DEFAULT_PATH).split(':');
    directories
        .filter(|directory| directory.starts_with('/'))
        .map(|directory| Utf8Path::new(directory).join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Utf8Path) -> bool {
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_looked_up_and_a_path_is_relative_to_the_working_directory() {
        let nowhere = Utf8Path::new("/nonexistent");
        let found = resolve("sh", nowhere, Some("/nonexistent:/bin")).unwrap();
        assert_eq!(found, "/bin/sh");
        assert_eq!(resolve("./sh", Utf8Path::new("/bin"), None).unwrap(), "/bin/./sh");
    }

    #[test]
    fn a_missing_program_and_one_without_permission_are_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        std::fs::write(directory.join("data"), "x").unwrap();
        assert!(matches!(resolve("./data", directory, None), Err(ProcessError::ProgramNotExecutable { .. })));
        assert!(matches!(resolve("./gone", directory, None), Err(ProcessError::ProgramNotFound { .. })));
        assert!(matches!(
            resolve("data", directory, Some(directory.as_str())),
            Err(ProcessError::ProgramNotFound { .. })
        ));
    }
}
