//! A view of the file system for one run: its own `/tmp`, and of the worker's state directory only what is its own.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::OFlags;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use rustix::thread::UnshareFlags;
use serde::{Deserialize, Serialize};

/// The directories that a run has for itself.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// What a run sees.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Room {
    /// What takes the place of `/tmp` and `/var/tmp`.
    pub(crate) temporary: Option<Utf8PathBuf>,
    /// The directory that is hidden.
    pub(crate) hidden: Option<Utf8PathBuf>,
    /// What of the hidden or replaced directories the run has to see.
    pub(crate) kept: Vec<Utf8PathBuf>,
}

impl Room {
    /// Makes this process see it, and nobody else.
    pub(crate) fn enter(&self) -> io::Result<()> {
        unshare()?;
        // Nothing that is mounted here shows outside.
        mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::PRIVATE)?;
        // Held: their paths lead elsewhere in a moment.
        let kept = self.kept.iter().map(|path| Ok((path, held(path)?))).collect::<io::Result<Vec<_>>>()?;
        if let Some(temporary) = &self.temporary {
            let temporary = held(temporary)?;
            for place in TEMPORARY {
                mount_bind(by_descriptor(&temporary), place)?;
            }
        }
        if let Some(hidden) = self.hidden.as_ref().filter(|hidden| hidden.exists()) {
            let flags = MountFlags::NOSUID | MountFlags::NODEV;
            mount("worker-hidden", hidden.as_str(), "tmpfs", flags, Some(c"mode=0755,size=64k"))?;
        }
        for (path, directory) in kept {
            make_way(path)?;
            mount_bind(by_descriptor(&directory), path.as_str())?;
        }
        Ok(())
    }
}

#[expect(
    deprecated,
    reason = "it is deprecated for flags that break the ownership of descriptors; a mount namespace touches none, and the other \
              way is unsafe"
)]
fn unshare() -> io::Result<()> {
    Ok(rustix::thread::unshare(UnshareFlags::NEWNS)?)
}

fn held(path: &Utf8Path) -> io::Result<File> {
    let flags = i32::try_from((OFlags::PATH | OFlags::DIRECTORY).bits()).unwrap_or_default();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn by_descriptor(directory: &File) -> String {
    format!("/proc/self/fd/{}", directory.as_raw_fd())
}

/// Makes a directory, and those that lead to it such that everybody may pass.
fn make_way(path: &Utf8Path) -> io::Result<()> {
    let missing: Vec<&Utf8Path> = path.ancestors().take_while(|ancestor| !ancestor.exists()).collect();
    for directory in missing.into_iter().rev() {
        std::fs::create_dir(directory)?;
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
