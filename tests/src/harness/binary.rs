//! Where the programs under test are.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the workspace.
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the workspace")
}

/// The built worker, beside the running test: in the folder of the same profile.
pub fn worker_binary() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let profile = test.ancestors().find(|folder| folder.join("deps").is_dir());
    let worker = profile.map(|folder| folder.join("worker")).filter(|worker| worker.is_file());
    worker.unwrap_or_else(|| {
        panic!("there is no built worker above {}: run `cargo build -p worker` first", test.display());
    })
}

/// Makes the Debian package of the built worker, as another version than its own, alone in a folder.
pub fn debian_package(version: &str, into: &Path) -> PathBuf {
    let done = Command::new(workspace_root().join("scripts/dist"))
        .arg("package")
        .env("DIST_PROFILE", "dev")
        .env("DIST", into)
        .env("DIST_VERSION", version)
        .output()
        .expect("the script can be started");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let mut files = fs_err::read_dir(into).expect("the folder was made").filter_map(Result::ok).map(|file| file.path());
    let (package, more) = (files.next(), files.next());
    assert_eq!(more, None, "more than the package was made");
    package.expect("a package was made")
}

/// A program of the locked Python environment, such as `python` or `prefect`.
pub fn python_program(name: &str) -> PathBuf {
    let program = workspace_root().join(".tools/python/bin").join(name);
    assert!(program.is_file(), "there is no {}: run `scripts/python-env` first", program.display());
    program
}

/// The interpreter of the locked Python environment with Helm.
pub(crate) fn charts_python() -> PathBuf {
    let program = workspace_root().join(".tools/charts/bin/python");
    assert!(program.is_file(), "there is no {}: run `scripts/python-env charts` first", program.display());
    program
}
