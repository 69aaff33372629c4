//! What holds secrets shows none, and is compared by them in tests.

use std::fmt;

use secrecy::ExposeSecret as _;

use super::{AwsCredentials, AwsKeys, AzureCredentials, GcpCredentials, Store};

impl Store {
    /// Its secrets, to be sealed.
    pub(in crate::objects) fn secret(&self) -> &str {
        let secret = match self {
            Self::S3(s3) => match &s3.credentials {
                AwsCredentials::Keys(keys) => Some(&keys.secret),
                AwsCredentials::Profile(_) | AwsCredentials::Ambient | AwsCredentials::Anonymous => None,
            },
            Self::Gcs(gcs) => match &gcs.credentials {
                GcpCredentials::ServiceAccount(secret) | GcpCredentials::Token(secret) => Some(secret),
                GcpCredentials::File(_) | GcpCredentials::Ambient | GcpCredentials::Anonymous => None,
            },
            Self::Azure(azure) => match &azure.credentials {
                AzureCredentials::AccountKey(secret)
                | AzureCredentials::Signature(secret)
                | AzureCredentials::ServicePrincipal { secret, .. } => Some(secret),
                AzureCredentials::Ambient | AzureCredentials::Anonymous => None,
            },
            Self::Local(_) => None,
        };
        secret.map_or("", |secret| secret.expose_secret())
    }
}

impl fmt::Debug for AwsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsKeys").field("id", &self.id).finish_non_exhaustive()
    }
}

impl PartialEq for AwsKeys {
    fn eq(&self, other: &Self) -> bool {
        let token = |keys: &Self| keys.token.as_ref().map(|token| token.expose_secret().to_owned());
        self.id == other.id
            && self.secret.expose_secret() == other.secret.expose_secret()
            && token(self) == token(other)
    }
}

impl Eq for AwsKeys {}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(keys) => keys.fmt(f),
            Self::Profile(name) => f.debug_tuple("Profile").field(name).finish(),
            Self::Ambient => f.write_str("Ambient"),
            Self::Anonymous => f.write_str("Anonymous"),
        }
    }
}

impl PartialEq for AwsCredentials {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Keys(one), Self::Keys(other)) => one == other,
            (Self::Profile(one), Self::Profile(other)) => one == other,
            (Self::Ambient, Self::Ambient) | (Self::Anonymous, Self::Anonymous) => true,
            _ => false,
        }
    }
}

impl Eq for AwsCredentials {}

impl fmt::Debug for GcpCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ServiceAccount(_) => f.write_str("ServiceAccount"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Token(_) => f.write_str("Token"),
            Self::Ambient => f.write_str("Ambient"),
            Self::Anonymous => f.write_str("Anonymous"),
        }
    }
}

impl PartialEq for GcpCredentials {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ServiceAccount(one), Self::ServiceAccount(other)) | (Self::Token(one), Self::Token(other)) => {
                one.expose_secret() == other.expose_secret()
            }
            (Self::File(one), Self::File(other)) => one == other,
            (Self::Ambient, Self::Ambient) | (Self::Anonymous, Self::Anonymous) => true,
            _ => false,
        }
    }
}

impl Eq for GcpCredentials {}

impl fmt::Debug for AzureCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccountKey(_) => f.write_str("AccountKey"),
            Self::Signature(_) => f.write_str("Signature"),
            Self::ServicePrincipal { tenant, client, .. } => f
                .debug_struct("ServicePrincipal")
                .field("tenant", tenant)
                .field("client", client)
                .finish_non_exhaustive(),
            Self::Ambient => f.write_str("Ambient"),
            Self::Anonymous => f.write_str("Anonymous"),
        }
    }
}

impl PartialEq for AzureCredentials {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::AccountKey(one), Self::AccountKey(other)) | (Self::Signature(one), Self::Signature(other)) => {
                one.expose_secret() == other.expose_secret()
            }
            (
                Self::ServicePrincipal { tenant, client, secret },
                Self::ServicePrincipal { tenant: other_tenant, client: other_client, secret: other },
            ) => tenant == other_tenant && client == other_client && secret.expose_secret() == other.expose_secret(),
            (Self::Ambient, Self::Ambient) | (Self::Anonymous, Self::Anonymous) => true,
            _ => false,
        }
    }
}

impl Eq for AzureCredentials {}
