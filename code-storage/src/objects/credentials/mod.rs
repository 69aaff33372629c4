//! Where credentials come from when a request does not have them, looked up in the order of the clouds' own libraries.

mod aws;
mod azure;
mod gcp;
mod keyring;
mod machine;
mod origin;
mod profiles;
mod sts;

pub(super) use aws::s3;
pub(super) use azure::azure;
pub(super) use gcp::gcs;
pub(super) use keyring::Keyring;
