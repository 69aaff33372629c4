//! Writes the conformance table, `docs/conformance.md`, anew.

use worker_tests::harness::{conformance, workspace_root};

fn main() -> std::io::Result<()> {
    let table = workspace_root().join(conformance::TABLE);
    fs_err::create_dir_all(table.parent().unwrap_or(workspace_root()))?;
    fs_err::write(table, conformance::render(&conformance::covered()))
}
