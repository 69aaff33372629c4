//! Files that a command writes once and never over what somebody else has written.

use std::io::{self, Write as _};

use camino::Utf8Path;

/// Writes a file that does not exist yet; with `force` also over one that does.
///
/// # Errors
/// The text of why not, and what to do.
pub(super) fn write(path: &Utf8Path, text: &str, force: bool) -> Result<(), String> {
    let mut options = fs_err::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if !force {
        options.create_new(true);
    }
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            format!("{path} exists. Name another file with --file, or replace it with --force")
        } else {
            format!("{path} cannot be written: {error}. Name another file with --file")
        }
    })
}
