//! Where files go: first to a directory of their own, then under their final names.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::tokio as fs;

/// The name, in a directory that exists, of what is still unfinished.
const UNFINISHED: &str = ".objects.partial";

/// Why files are not in place.
#[derive(Debug)]
pub(super) enum PlacingError {
    /// An object's key cannot be a file's name here.
    Key { key: String, problem: &'static str },
    /// The system said no.
    Files { path: Utf8PathBuf, source: io::Error },
}

impl PlacingError {
    pub(super) fn of(path: &Utf8Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Files { path: path.to_owned(), source }
    }
}

/// Which key becomes which file.
#[derive(Debug, Default)]
pub(super) struct Names {
    files: BTreeMap<Utf8PathBuf, String>,
    /// Those that are there whether there is a file in them or not.
    directories: BTreeSet<Utf8PathBuf>,
}

impl Names {
    /// The relative path of a key that starts with `folder`.
    ///
    /// It never leads out of the directory. Two slashes are one, as in the SDK.
    pub(super) fn add(&mut self, folder: &str, key: &str) -> Result<(), PlacingError> {
        let problem = |problem| PlacingError::Key { key: key.to_owned(), problem };
        let inner = key.strip_prefix(folder).ok_or_else(|| problem("it is not in the folder"))?;
        let mut path = Utf8PathBuf::new();
        for part in inner.split('/').filter(|part| !part.is_empty()) {
            match part {
                ".." => return Err(problem("it leads out of the folder")),
                "." => return Err(problem("it has a part that is a dot")),
                _ if part.contains('\0') => return Err(problem("it has a null character")),
                _ if part.len() > 255 => return Err(problem("it has a part that is too long for a file's name")),
                _ => path.push(part),
            }
        }
        if path.as_str().is_empty() {
            return Err(problem("it has no name"));
        }
        match self.files.insert(path, key.to_owned()) {
            None => Ok(()),
            Some(_) => Err(problem("another object has the same path")),
        }
    }

    /// Files whose keys are their paths, and directories.
    pub(super) fn of_tree(files: Vec<Utf8PathBuf>, directories: Vec<Utf8PathBuf>) -> Self {
        let files = files.into_iter().map(|path| (path.clone(), path.into_string())).collect();
        Self { files, directories: directories.into_iter().collect() }
    }

    /// The directories to make, outer ones first.
    pub(super) fn directories(&self) -> Result<BTreeSet<Utf8PathBuf>, PlacingError> {
        let mut directories = self.directories.clone();
        for (path, key) in &self.files {
            for parent in path.ancestors().skip(1).take_while(|parent| !parent.as_str().is_empty()) {
                if self.files.contains_key(parent) {
                    let problem = "another object is a file where this one needs a directory";
                    return Err(PlacingError::Key { key: key.clone(), problem });
                }
                if !directories.insert(parent.to_owned()) {
                    break;
                }
            }
        }
        Ok(directories)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Utf8Path, &str)> {
        self.files.iter().map(|(path, key)| (path.as_path(), key.as_str()))
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }
}

/// A directory that is being filled.
#[derive(Debug)]
pub(super) struct Staging {
    /// Where the files are written.
    pub(super) directory: Utf8PathBuf,
    into: Utf8PathBuf,
    merges: bool,
}

impl Staging {
    /// Makes an empty directory for what will be at `into`: in it if it stays, or else beside it, so that it can be
    /// renamed. What an earlier fetch left there is removed.
    pub(super) async fn create(into: &Utf8Path, merge: bool) -> Result<Self, PlacingError> {
        let merges = merge && is_directory(into).await?;
        let directory = if merges {
            into.join(UNFINISHED)
        } else {
            into.with_file_name(format!(".{}.partial", into.file_name().unwrap_or_default()))
        };
        let staging = Self { directory, into: into.to_owned(), merges };
        staging.remove().await?;
        fs::create_dir(&staging.directory).await.map_err(PlacingError::of(&staging.directory))?;
        Ok(staging)
    }

    /// Removes it with what it holds.
    pub(super) async fn remove(&self) -> Result<(), PlacingError> {
        remove(&self.directory).await
    }

    /// Puts the files under their final names.
    pub(super) async fn finish(&self, names: &Names) -> Result<(), PlacingError> {
        if self.merges {
            let directories = names.directories()?;
            self.check(names, &directories).await?;
            for directory in &directories {
                let path = self.into.join(directory);
                match fs::create_dir(&path).await {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    made => made.map_err(PlacingError::of(&path))?,
                }
            }
            for (path, _) in names.iter() {
                let target = self.into.join(path);
                fs::rename(self.directory.join(path), &target).await.map_err(PlacingError::of(&target))?;
            }
            return self.remove().await;
        }
        let old = self.into.with_file_name(format!(".{}.old", self.into.file_name().unwrap_or_default()));
        remove(&old).await?;
        match fs::rename(&self.into, &old).await {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            moved => moved.map_err(PlacingError::of(&self.into))?,
        }
        fs::rename(&self.directory, &self.into).await.map_err(PlacingError::of(&self.into))?;
        remove(&old).await
    }

    /// Finds out before anything is moved whether all can be: a link in the way could lead anywhere.
    async fn check(&self, names: &Names, directories: &BTreeSet<Utf8PathBuf>) -> Result<(), PlacingError> {
        let key_of = |directory: &Utf8Path| {
            names
                .iter()
                .find(|(path, _)| path.starts_with(directory))
                .map_or_else(|| directory.to_string(), |(_, key)| key.to_owned())
        };
        for directory in directories {
            if kind(&self.into.join(directory)).await?.is_some_and(|kind| !kind.is_dir()) {
                let problem = "a file or link is where it needs a directory";
                return Err(PlacingError::Key { key: key_of(directory), problem });
            }
        }
        for (path, key) in names.iter() {
            if kind(&self.into.join(path)).await?.is_some_and(|kind| kind.is_dir()) {
                return Err(PlacingError::Key { key: key.to_owned(), problem: "a directory has its name" });
            }
        }
        Ok(())
    }
}

async fn is_directory(path: &Utf8Path) -> Result<bool, PlacingError> {
    Ok(kind(path).await?.is_some_and(|kind| kind.is_dir()))
}

/// What is at a path, links not followed.
async fn kind(path: &Utf8Path) -> Result<Option<std::fs::FileType>, PlacingError> {
    match fs::symlink_metadata(path).await {
        Ok(metadata) => Ok(Some(metadata.file_type())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(PlacingError::of(path)(error)),
    }
}

async fn remove(path: &Utf8Path) -> Result<(), PlacingError> {
    match kind(path).await? {
        None => Ok(()),
        Some(kind) if kind.is_dir() => fs::remove_dir_all(path).await.map_err(PlacingError::of(path)),
        Some(_) => fs::remove_file(path).await.map_err(PlacingError::of(path)),
    }
}
