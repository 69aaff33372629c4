//! What the documents say: that it is there, and that the commands in them work.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on has failed")]

mod blocks;
mod execution;
mod existence;
mod form;
mod machines;
mod marks;
mod sandbox;
mod shell;

use std::path::{Path, PathBuf};

use worker_tests::harness::workspace_root;

/// The folders with documents, besides the root.
const FOLDERS: [&str; 3] = ["docs", "deploy", "tests"];

/// The paths of all documents, below the root of the workspace.
fn documents() -> Vec<PathBuf> {
    let is_document = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let listed = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let mut open: Vec<PathBuf> = FOLDERS.iter().map(|folder| workspace_root().join(folder)).collect();
    let mut found: Vec<PathBuf> = listed(workspace_root()).into_iter().filter(is_document).collect();
    while let Some(folder) = open.pop() {
        for path in listed(&folder) {
            if path.is_dir() {
                open.push(path);
            } else if is_document(&path) {
                found.push(path);
            }
        }
    }
    assert!(found.len() > 30, "the documents are elsewhere: {found:?}");
    found
}
