//! Volumes, as job variables spell them.

/// What is wrong with one of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VolumeError {
    #[error("volume `{0}` has too many parts")]
    TooManyParts(String),
    #[error("volume `{0}` does not name an absolute path in the container")]
    NoPath(String),
    #[error("volume `{0}` does not say what is mounted")]
    NoSource(String),
    #[error("volume `{volume}` has no mode `{mode}`")]
    Mode { volume: String, mode: String },
}

/// Modes of a mount that engines know; they can be combined with commas.
const MODES: [&str; 14] =
    ["ro", "rw", "z", "Z", "nocopy", "copy", "shared", "rshared", "slave", "rslave", "private", "rprivate", "U", "O"];

/// Volumes as the engine wants them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Volumes {
    /// Those that have a source.
    pub(crate) binds: Vec<String>,
    /// All paths in the container.
    pub(crate) paths: Vec<String>,
}

/// Reads `folder:path[:mode]`, `name:path[:mode]` and `path`, which is a volume without a name.
pub(crate) fn read(volumes: &[String]) -> Result<Volumes, VolumeError> {
    let mut read = Volumes::default();
    for volume in volumes {
        let parts: Vec<&str> = volume.split(':').collect();
        match *parts.as_slice() {
            [path] => read.paths.push(in_container(volume, path)?),
            [source, path] => read.mount(volume, source, path, None)?,
            [source, path, mode] => read.mount(volume, source, path, Some(mode))?,
            _ => return Err(VolumeError::TooManyParts(volume.clone())),
        }
    }
    Ok(read)
}

impl Volumes {
    fn mount(&mut self, volume: &str, source: &str, path: &str, mode: Option<&str>) -> Result<(), VolumeError> {
        if source.is_empty() {
            return Err(VolumeError::NoSource(volume.to_owned()));
        }
        let unknown = |word: &&str| !MODES.contains(word) && !matches!(*word, "cached" | "delegated" | "consistent");
        if let Some(word) = mode.and_then(|mode| mode.split(',').find(unknown)) {
            return Err(VolumeError::Mode { volume: volume.to_owned(), mode: word.to_owned() });
        }
        self.paths.push(in_container(volume, path)?);
        self.binds.push(volume.to_owned());
        Ok(())
    }
}

fn in_container(volume: &str, path: &str) -> Result<String, VolumeError> {
    if path.starts_with('/') { Ok(path.to_owned()) } else { Err(VolumeError::NoPath(volume.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volumes(volumes: &[&str]) -> Result<Volumes, VolumeError> {
        read(&volumes.iter().map(|volume| (*volume).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn c095_volumes_with_and_without_source_and_mode() {
        let read = volumes(&["/host:/a:ro", "named:/b", "/c", "/x:/d:ro,z"]).unwrap();
        assert_eq!(read.binds, ["/host:/a:ro", "named:/b", "/x:/d:ro,z"]);
        assert_eq!(read.paths, ["/a", "/b", "/c", "/d"]);
    }

    #[test]
    fn a_volume_that_is_none_is_named() {
        for (volume, complaint) in [
            ("a:/b:ro:x", "volume `a:/b:ro:x` has too many parts"),
            ("a", "volume `a` does not name an absolute path in the container"),
            ("/a:b", "volume `/a:b` does not name an absolute path in the container"),
            (":/b", "volume `:/b` does not say what is mounted"),
            ("", "volume `` does not name an absolute path in the container"),
            ("/a:/b:readonly", "volume `/a:/b:readonly` has no mode `readonly`"),
        ] {
            assert_eq!(volumes(&[volume]).unwrap_err().to_string(), complaint);
        }
    }
}
