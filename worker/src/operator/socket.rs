//! The control socket: where it is, and how both ends reach it.
//!
//! The address of a unix socket has room for 107 bytes, and a state directory may be deeper than that. Both ends therefore
//! open the folder first and name the socket through it.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// Name of the socket in a daemon's folder.
pub(super) const NAME: &str = "control.sock";

/// Opens the socket of a folder that this process holds: one that is there already was left by a daemon that is gone.
pub(super) fn bind(folder: &Utf8Path) -> io::Result<UnixListener> {
    let (_open, path) = through(folder)?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Removes the socket at the end.
pub(super) fn remove(folder: &Utf8Path) {
    if let Err(error) = fs_err::remove_file(folder.join(NAME)) {
        tracing::debug!("the control socket stays behind: {error}");
    }
}

/// Connects to the daemon that holds a folder.
pub(super) async fn connect(folder: &Utf8Path) -> io::Result<UnixStream> {
    let (_open, path) = through(folder)?;
    UnixStream::connect(&path).await
}

/// The path is good for as long as the folder is open.
fn through(folder: &Utf8Path) -> io::Result<(File, Utf8PathBuf)> {
    let open = File::open(folder)?;
    let path = format!("/proc/self/fd/{}/{NAME}", open.as_raw_fd()).into();
    Ok((open, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_deep_folder_has_a_socket_that_only_its_user_can_open() {
        let kept = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(kept.path()).unwrap().join("d".repeat(100)).join("e".repeat(100));
        fs_err::create_dir_all(&folder).unwrap();
        let _listener = bind(&folder).unwrap();
        connect(&folder).await.unwrap();
        let mode = fs_err::metadata(folder.join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_socket_that_was_left_is_replaced() {
        let kept = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(kept.path()).unwrap();
        drop(bind(folder).unwrap());
        assert!(connect(folder).await.is_err(), "nobody listens");
        let _listener = bind(folder).unwrap();
        connect(folder).await.unwrap();
    }
}
