//! The credentials for an image's registry.

use std::collections::BTreeMap;

use bollard::auth::DockerCredentials;
use camino::Utf8PathBuf;
use fs_err::tokio as fs;

use super::credential_helper::{self, HelperFailure};
use super::{ImageReference, RegistryBlock, config_entries};
use crate::connection::docker_config::{self, ConfigFileError};

/// Why credentials that there should be cannot be read. Shows none of them.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error(transparent)]
    ConfigFile(#[from] ConfigFileError),
    #[error("{path} has an entry for registry {registry} that cannot be read")]
    Entry { registry: String, path: Utf8PathBuf },
    #[error("credential helper `{}` fails for registry {registry}", credential_helper::program(.name))]
    Helper {
        name: String,
        registry: String,
        #[source]
        failure: HelperFailure,
    },
}

/// The credentials with which an image is pulled: those of the block if it is for the image's registry, else what the Docker
/// command would use. Not to be shown: `Debug` of these prints the password.
pub(crate) async fn credentials_for(
    image: &ImageReference,
    block: Option<&RegistryBlock>,
    env: &BTreeMap<String, String>,
) -> Result<Option<DockerCredentials>, CredentialsError> {
    let registry = image.registry();
    if let Some(block) = block {
        if let Some(credentials) = block.credentials(registry) {
            return Ok(Some(credentials));
        }
        tracing::debug!(registry, ?block, "the block of registry credentials is for another registry");
    }
    let Some(path) = docker_config::main_file(env) else { return Ok(None) };
    let Some(config) = docker_config::parse(&path, fs::read_to_string(&path).await)? else { return Ok(None) };
    if let Some(name) = config_entries::credential_helper(&config, registry) {
        let given = credential_helper::get(name, registry, env).await.map_err(|failure| CredentialsError::Helper {
            name: name.to_owned(),
            registry: registry.to_owned(),
            failure,
        })?;
        if given.is_some() {
            return Ok(given);
        }
    }
    config_entries::credentials(&config, registry)
        .map_err(|_| CredentialsError::Entry { registry: registry.to_owned(), path })
}

#[cfg(test)]
mod tests;
