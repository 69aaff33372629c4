//! Code from object stores: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage.
//!
//! [`ObjectPull`] is read from a step's or block's inputs without any I/O, or refused: then the flow's process pulls with
//! the SDK. [`ObjectSource`] carries it out.

mod credentials;
mod error;
mod fetch;
mod local;
mod options;
mod placing;
mod request;
mod wire;

pub use error::ObjectError;
pub use fetch::{ObjectSource, Tree};
pub use options::FetchOptions;
pub use request::{
    Addressing, AssumedRole, AwsCredentials, AwsKeys, Azure, AzureCredentials, Folder, GcpCredentials, Gcs, Local,
    ObjectPull, Placement, S3, Store, Trust, Unreadable,
};
