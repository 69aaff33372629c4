//! What is known of registries: names of images, when to pull, and credentials.

mod block;
mod config_entries;
mod credential_helper;
mod credentials;
mod grammar;
mod hosts;
mod pull_policy;
mod reference;

pub(crate) use block::RegistryBlock;
pub(crate) use credentials::{CredentialsError, credentials_for};
pub(crate) use grammar::ReferenceError;
pub(crate) use pull_policy::PullPolicy;
pub(crate) use reference::ImageReference;

/// Whether an image is named by the id that an engine gave it, which is no name of a registry.
pub(crate) fn is_image_id(image: &str) -> bool {
    let digits = image.strip_prefix("sha256:").unwrap_or(image);
    digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
}
