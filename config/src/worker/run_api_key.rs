//! The API key of runs: as a setting, in a file, or as a systemd credential.

use camino::{Utf8Path, Utf8PathBuf};
use secrecy::SecretString;

use super::keys::{RUN_API_KEY, RUN_API_KEY_FILE};
use crate::reading::Reading;

/// The name of the credential.
const CREDENTIAL: &str = "run_api_key";

/// Where the API key of runs is.
#[derive(Debug, Clone)]
pub enum RunApiKey {
    /// Here.
    Given(SecretString),
    /// In a file, which has to be there.
    File(Utf8PathBuf),
}

/// The setting itself before the file, and that before the credential.
pub(super) fn read(reading: &mut Reading<'_>, credentials_directory: Option<&str>) -> Option<RunApiKey> {
    let given = reading.secret((&RUN_API_KEY).into()).map(RunApiKey::Given);
    let file = reading.path((&RUN_API_KEY_FILE).into()).map(RunApiKey::File);
    let credential = || {
        let credential = Utf8Path::new(credentials_directory?).join(CREDENTIAL);
        credential.exists().then_some(RunApiKey::File(credential))
    };
    given.or(file).or_else(credential)
}
