//! Prefect's block of a registry's credentials.

use std::fmt;

use bollard::auth::DockerCredentials;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::hosts;

/// A `docker-registry-credentials` block.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RegistryBlock {
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) registry_url: String,
}

impl RegistryBlock {
    /// Reads what a block holds; the error is the name of what it lacks. `reauth` has no meaning here: there is no login.
    pub(crate) fn read(block: &Map<String, Value>) -> Result<Self, &'static str> {
        let text = |name| match block.get(name).and_then(Value::as_str) {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(name),
        };
        Ok(Self { username: text("username")?, password: text("password")?, registry_url: text("registry_url")? })
    }

    /// The credentials, if they are for this registry.
    pub(super) fn credentials(&self, registry: &str) -> Option<DockerCredentials> {
        (hosts::host_of(&self.registry_url) == hosts::host_of(registry)).then(|| DockerCredentials {
            username: Some(self.username.clone()),
            password: Some(self.password.clone()),
            serveraddress: Some(hosts::server_of(registry)),
            ..DockerCredentials::default()
        })
    }
}

impl fmt::Debug for RegistryBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryBlock")
            .field("username", &self.username)
            .field("registry", &hosts::host_of(&self.registry_url))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(block: &Value) -> Result<RegistryBlock, &'static str> {
        RegistryBlock::read(block.as_object().unwrap())
    }

    #[test]
    fn a_block_is_for_its_own_registry() {
        let block = json!({"username": "me", "password": "hunter2", "registry_url": "https://me:hunter2@hub.docker.com/", "reauth": 1});
        let block = read(&block).unwrap();
        let credentials = block.credentials("docker.io").unwrap();
        assert_eq!(credentials.username.as_deref(), Some("me"));
        assert_eq!(credentials.password.as_deref(), Some("hunter2"));
        assert_eq!(credentials.serveraddress.as_deref(), Some("https://index.docker.io/v1/"));
        assert_eq!(block.credentials("registry.example.com"), None);
        assert!(!format!("{block:?}").contains("hunter2"), "{block:?}");
    }

    #[test]
    fn what_a_block_lacks_is_named() {
        for (block, lacks) in [
            (json!({"password": "pw", "registry_url": "r"}), "username"),
            (json!({"username": "me", "password": null, "registry_url": "r"}), "password"),
            (json!({"username": "me", "password": "pw", "registry_url": ""}), "registry_url"),
        ] {
            assert_eq!(read(&block), Err(lacks));
        }
    }
}
