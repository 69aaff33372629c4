//! Writes `default.toml` and the reference of settings anew from the table of settings.

use std::{io, path::Path};

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs_err::write(root.join("default.toml"), worker_config::reference::default_toml())?;
    fs_err::create_dir_all(root.join("../docs"))?;
    fs_err::write(root.join("../docs/settings.md"), worker_config::reference::settings_md())
}
