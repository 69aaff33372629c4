//! What to fetch from which store, read from the inputs of steps and blocks without any I/O.

mod aws;
mod azure;
mod blocks;
mod folder;
mod gcp;
mod given;
mod remote_url;
mod secrets;
mod step;
#[cfg(test)]
mod tests;

use std::fmt;

use camino::Utf8PathBuf;
use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

pub use folder::Folder;
pub(super) use gcp::check_service_account;

/// Why a request is left to the Prefect SDK; completes "… is left to Prefect because".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub &'static str);

/// A folder of a store, to be brought to a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectPull {
    /// The store.
    pub store: Store,
    /// The folder.
    pub folder: Folder,
    /// What becomes of the files that the directory already holds.
    pub placement: Placement,
}

/// What becomes of the files that a directory holds before a fetch to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// They stay, unless an object has their name.
    Merge,
    /// They are removed, as `pull_with_block` does.
    Replace,
}

/// A bucket, a container or a directory, and how to get at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// Amazon S3, or a server that speaks its protocol.
    S3(S3),
    /// Google Cloud Storage.
    Gcs(Gcs),
    /// Azure Blob Storage.
    Azure(Azure),
    /// A directory of this machine.
    Local(Local),
}

/// A bucket of S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// Its name.
    pub bucket: String,
    /// Where the credentials come from.
    pub credentials: AwsCredentials,
    /// The role that they are exchanged for.
    pub role: Option<AssumedRole>,
    /// The region, if it is said.
    pub region: Option<String>,
    /// The server, if it is not Amazon's.
    pub endpoint: Option<Url>,
    /// Whether to use TLS with Amazon's servers.
    pub tls: bool,
    /// Which certificates to trust.
    pub trust: Trust,
    /// How the bucket is addressed.
    pub addressing: Addressing,
    /// Whether the reader pays.
    pub requester_pays: bool,
}

/// Where credentials for AWS come from.
#[derive(Clone)]
pub enum AwsCredentials {
    /// These.
    Keys(AwsKeys),
    /// A profile of the files in `~/.aws`.
    Profile(String),
    /// Whatever the environment and the machine offer, as for `boto3`.
    Ambient,
    /// None: requests are not signed.
    Anonymous,
}

/// A pair of keys.
#[derive(Clone)]
pub struct AwsKeys {
    /// The id of the key.
    pub id: String,
    /// The secret key.
    pub secret: SecretString,
    /// The token of temporary credentials.
    pub token: Option<SecretString>,
}

/// A role and how to assume it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssumedRole {
    /// Its ARN.
    pub arn: String,
    /// The parameters of the call besides, by their names in the API, in order.
    pub parameters: Vec<(String, String)>,
}

/// Which certificates of servers are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those that the environment says (`AWS_CA_BUNDLE`, `REQUESTS_CA_BUNDLE`), or else Mozilla's.
    Environment,
    /// Mozilla's.
    Default,
    /// Those in this file.
    File(Utf8PathBuf),
}

/// How a bucket is named in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// In the host's name with Amazon's servers, if it can be; in the path with others.
    Auto,
    /// In the path.
    Path,
    /// In the host's name.
    Virtual,
}

/// A bucket of Google Cloud Storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gcs {
    /// Its name.
    pub bucket: String,
    /// Where the credentials come from.
    pub credentials: GcpCredentials,
    /// The server, if it is not Google's.
    pub endpoint: Option<Url>,
}

/// Where credentials for Google Cloud come from.
#[derive(Clone)]
pub enum GcpCredentials {
    /// The text of a service account's key file.
    ServiceAccount(SecretString),
    /// A service account's key file.
    File(Utf8PathBuf),
    /// A token as it is.
    Token(SecretString),
    /// Application default credentials.
    Ambient,
    /// None.
    Anonymous,
}

/// A container of Azure Blob Storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Azure {
    /// Its name.
    pub container: String,
    /// The account's name, which signatures are made with.
    pub account: String,
    /// The account's blob service.
    pub endpoint: Url,
    /// Where the credentials come from.
    pub credentials: AzureCredentials,
}

/// Where credentials for Azure come from.
#[derive(Clone)]
pub enum AzureCredentials {
    /// The account's key.
    AccountKey(SecretString),
    /// A shared access signature.
    Signature(SecretString),
    /// A service principal.
    ServicePrincipal {
        /// The tenant.
        tenant: String,
        /// The application.
        client: String,
        /// Its secret.
        secret: SecretString,
    },
    /// A workload's or a managed identity, or a service principal of the environment.
    Ambient,
    /// None.
    Anonymous,
}

/// A directory of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// The directory.
    pub directory: Utf8PathBuf,
    /// The one that it has to be in, or to be.
    pub base: Utf8PathBuf,
}

impl ObjectPull {
    /// The inputs of `prefect_aws.deployments.steps.pull_from_s3`.
    pub fn of_s3_step(inputs: &Map<String, Value>) -> Result<Self, Unreadable> {
        step::s3(inputs)
    }

    /// The inputs of `prefect_gcp.deployments.steps.pull_from_gcs`.
    pub fn of_gcs_step(inputs: &Map<String, Value>) -> Result<Self, Unreadable> {
        step::gcs(inputs)
    }

    /// The inputs of `prefect_azure.deployments.steps.pull_from_azure_blob_storage`.
    pub fn of_azure_step(inputs: &Map<String, Value>) -> Result<Self, Unreadable> {
        step::azure(inputs)
    }

    /// The URL and the other inputs of `prefect.deployments.steps.pull_from_remote_storage`; gives the directory besides,
    /// relative to where the step starts, that it brings the files to.
    pub fn of_url(url: &str, settings: &Map<String, Value>) -> Result<(Self, Utf8PathBuf), Unreadable> {
        remote_url::pull(url, settings)
    }

    /// The data of a storage block, and the path that a deployment gives besides its block. The placement is that of a
    /// deployment's `path`; for `pull_with_block` it is [`Placement::Replace`].
    pub fn of_block(slug: &str, data: &Map<String, Value>, path: Option<&str>) -> Result<Self, Unreadable> {
        blocks::pull(slug, data, path)
    }

    fn merged(store: Store, folder: Folder) -> Self {
        Self { store, folder, placement: Placement::Merge }
    }
}

impl fmt::Display for ObjectPull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.as_str();
        match &self.store {
            Store::S3(s3) => write!(f, "s3://{}/{folder}", s3.bucket),
            Store::Gcs(gcs) => write!(f, "gs://{}/{folder}", gcs.bucket),
            Store::Azure(azure) => write!(f, "az://{}/{folder}", azure.container),
            Store::Local(local) => write!(f, "{}", local.directory),
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3(s3) => write!(f, "S3 bucket {}", s3.bucket),
            Self::Gcs(gcs) => write!(f, "GCS bucket {}", gcs.bucket),
            Self::Azure(azure) => write!(f, "Azure container {}", azure.container),
            Self::Local(local) => write!(f, "directory {}", local.directory),
        }
    }
}
