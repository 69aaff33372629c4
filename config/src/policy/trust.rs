//! Whether only the operator can change a file.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;

use camino::Utf8Path;

const ROOT: u32 = 0;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Says why somebody else could have written the file, or put it there. A daemon of root believes root alone; another one
/// also its own user.
pub(super) fn check(path: &Utf8Path, file: &File, user: u32) -> io::Result<Result<(), String>> {
    let about_file = objection(&file.metadata()?, user, false);
    if let Some(reason) = about_file {
        return Ok(Err(format!("{reason}; make it `chown root` and `chmod 644`")));
    }
    // Who may write to the directory may put another file in its place.
    let real = path.canonicalize_utf8()?;
    let Some(directory) = real.parent() else { return Ok(Ok(())) };
    let about_directory = objection(&directory.metadata()?, user, true);
    Ok(about_directory.map_or(Ok(()), |reason| {
        Err(format!("its directory {directory} {reason}, so anybody could replace the file; make it `chown root` and `chmod 755`"))
    }))
}

fn objection(of: &Metadata, user: u32, is_directory: bool) -> Option<String> {
    let owner = of.uid();
    if owner != ROOT && owner != user {
        return Some(format!("belongs to the user {owner}, and has to belong to root{}", or_own(user)));
    }
    let may_be_written = of.mode() & WRITABLE_BY_OTHERS != 0 && !(is_directory && of.mode() & STICKY != 0);
    may_be_written.then(|| format!("can be written by its group or by everybody (mode {:o})", of.mode() & 0o7777))
}

fn or_own(user: u32) -> String {
    if user == ROOT { String::new() } else { format!(" or to the daemon's own user {user}") }
}
