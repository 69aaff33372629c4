//! The one place that reads the surroundings of the running process.

use std::{collections::BTreeMap, io};

use camino::Utf8PathBuf;

/// The surroundings of a process.
#[derive(Clone)]
pub struct ProcessEnvironment {
    /// Environment variables; one that is not UTF-8 is left out, children inherit it all the same.
    pub variables: BTreeMap<String, String>,
    /// Working directory.
    pub working_directory: Utf8PathBuf,
    /// Home directory, if the user has one.
    pub home_directory: Option<Utf8PathBuf>,
}

/// Reads the surroundings of this process.
///
/// # Errors
/// The working directory is gone, or its path is not UTF-8.
pub fn process_environment() -> io::Result<ProcessEnvironment> {
    let variables =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let working_directory = Utf8PathBuf::try_from(std::env::current_dir()?).map_err(io::Error::other)?;
    let home_directory = std::env::home_dir().and_then(|home| Utf8PathBuf::try_from(home).ok());
    Ok(ProcessEnvironment {
        variables: variables.collect(),
        working_directory,
        home_directory: home_directory.filter(|home| home.is_absolute()),
    })
}
