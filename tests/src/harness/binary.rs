//! Where the programs under test are.

use std::path::{Path, PathBuf};

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
