//! The Rust sources of the workspace.

use std::path::{Path, PathBuf};

use super::binary::workspace_root;

/// Folders that hold no sources of ours.
const OTHERS: &[&str] = &["target", "docs"];

/// All Rust files, in a stable order.
pub fn rust_sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(workspace_root(), &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs_err::read_dir(folder).expect("the workspace can be read") {
        let path = entry.expect("the workspace can be read").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with('.') || OTHERS.contains(&name) {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// A path relative to the workspace.
pub fn workspace_path(path: &Path) -> PathBuf {
    path.strip_prefix(workspace_root()).expect("the path is one of the workspace").to_owned()
}
