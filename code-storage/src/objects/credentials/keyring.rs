//! Keys that are obtained when they are needed, and again before they expire.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use object_store::aws::AwsCredential;
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::machine;
use super::origin::Origin;
use super::sts::Sts;
use crate::objects::options::FetchOptions;
use crate::objects::request::AwsKeys;
use crate::objects::wire::{Cause, Failure, persist};

/// Keys are renewed that long before they expire: a request that is on its way must still find them good.
const BEFORE_EXPIRY: SignedDuration = SignedDuration::from_mins(5);

/// Keys for signing.
pub(in crate::objects) struct Keyring {
    origin: Origin,
    sts: Sts,
    options: FetchOptions,
    current: Mutex<Option<Temporary>>,
}

/// Keys and when they expire.
#[derive(Clone)]
pub(super) struct Temporary {
    pub(super) keys: Arc<AwsCredential>,
    pub(super) expires: Option<Timestamp>,
}

impl Keyring {
    pub(super) fn new(origin: Origin, sts: Sts, options: &FetchOptions) -> Self {
        Self { origin, sts, options: options.clone(), current: Mutex::new(None) }
    }

    /// Keys that are good for a while. Who comes while they are obtained waits for them.
    pub(in crate::objects) async fn keys(&self) -> Result<Arc<AwsCredential>, Failure> {
        let mut current = self.current.lock().await;
        if let Some(keys) = current.as_ref().filter(|keys| keys.is_good()) {
            return Ok(Arc::clone(&keys.keys));
        }
        let obtained = self.obtain(&self.origin).await?;
        let keys = Arc::clone(&obtained.keys);
        *current = Some(obtained);
        Ok(keys)
    }

    async fn obtain(&self, origin: &Origin) -> Result<Temporary, Failure> {
        match origin {
            Origin::Keys(keys) => Ok(keys.into()),
            Origin::Role { from, role } => {
                let keys = Box::pin(self.obtain(from)).await?.keys;
                persist(&self.options, || self.sts.assume(role, &keys)).await
            }
            Origin::WebIdentity { token_file, role } => {
                let token = fs_err::tokio::read_to_string(token_file)
                    .await
                    .map_err(|error| Failure::new(Cause::NoCredentials, error.to_string()))?;
                persist(&self.options, || self.sts.assume_with_token(role, token.trim())).await
            }
            Origin::Machine { container, instance } => machine::keys(&self.options, *container, *instance).await,
        }
    }
}

impl Temporary {
    fn is_good(&self) -> bool {
        self.expires.is_none_or(|expires| expires.duration_since(Timestamp::now()) > BEFORE_EXPIRY)
    }
}

impl From<&AwsKeys> for Temporary {
    fn from(keys: &AwsKeys) -> Self {
        let keys = AwsCredential {
            key_id: keys.id.clone(),
            secret_key: keys.secret.expose_secret().to_owned(),
            token: keys.token.as_ref().map(|token| token.expose_secret().to_owned()),
        };
        Self { keys: Arc::new(keys), expires: None }
    }
}

/// Keys as the machine's and the container's servers, and STS, give them. They differ in the name of the token.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Given {
    access_key_id: String,
    secret_access_key: String,
    #[serde(alias = "SessionToken")]
    token: Option<String>,
    expiration: Option<Timestamp>,
}

impl From<Given> for Temporary {
    fn from(given: Given) -> Self {
        let keys =
            AwsCredential { key_id: given.access_key_id, secret_key: given.secret_access_key, token: given.token };
        Self { keys: Arc::new(keys), expires: given.expiration }
    }
}
