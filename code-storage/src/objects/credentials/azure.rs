//! Credentials of Azure Blob Storage.

use std::sync::Arc;
use std::time::Duration;

use camino::Utf8Path;
use object_store::azure::{
    AzureAccessKey, AzureConfigKey, AzureCredential, AzureCredentialProvider, MicrosoftAzureBuilder, split_sas,
};
use object_store::{RetryConfig, StaticCredentialProvider};
use secrecy::ExposeSecret as _;

use crate::objects::options::FetchOptions;
use crate::objects::request::{Azure, AzureCredentials};
use crate::objects::wire::{AzureRemote, Cause, Failure, Http};

/// Where there is no metadata server, nothing answers. It is asked in any case before the SDK gets the run.
const PATIENCE: Duration = Duration::from_secs(3);

/// Variables that ask for credentials of kinds that are not known here, or that `adlfs` takes more of.
const OF_THE_SDK: &[&str] = &[
    "AZURE_CLIENT_CERTIFICATE_PATH",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ANON",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_STORAGE_CONNECTION_STRING",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_USERNAME",
    "IDENTITY_ENDPOINT",
    "MSI_ENDPOINT",
];

/// Everything that requests to a container need.
pub(in crate::objects) async fn azure(azure: &Azure, options: &FetchOptions) -> Result<AzureRemote, Failure> {
    let http = Http::new(options, options.variable("REQUESTS_CA_BUNDLE").map(Utf8Path::new))?;
    Ok(AzureRemote {
        credentials: credentials(azure, &http, options).await?,
        container: azure.container.clone(),
        account: azure.account.clone(),
        endpoint: azure.endpoint.as_str().trim_end_matches('/').to_owned(),
        http,
    })
}

async fn credentials(
    azure: &Azure,
    http: &Http,
    options: &FetchOptions,
) -> Result<Option<AzureCredentialProvider>, Failure> {
    let unusable = || Failure::new(Cause::CredentialsRefused, "the account's key or signature is not well-formed");
    let fixed = |credential| {
        let provider: AzureCredentialProvider = Arc::new(StaticCredentialProvider::new(credential));
        Ok(Some(provider))
    };
    match &azure.credentials {
        AzureCredentials::Anonymous => Ok(None),
        AzureCredentials::AccountKey(key) => {
            fixed(AzureCredential::AccessKey(AzureAccessKey::try_new(key.expose_secret()).map_err(|_| unusable())?))
        }
        AzureCredentials::Signature(signature) => {
            fixed(AzureCredential::SASToken(split_sas(signature.expose_secret()).map_err(|_| unusable())?))
        }
        AzureCredentials::ServicePrincipal { tenant, client, secret } => {
            let builder =
                builder(http, options).with_client_secret_authorization(client, secret.expose_secret(), tenant);
            provider(builder).map(Some)
        }
        AzureCredentials::Ambient => ambient(http, options).await.map(Some),
    }
}

/// What `DefaultAzureCredential` tries first; what it tries after that is left to it.
async fn ambient(http: &Http, options: &FetchOptions) -> Result<AzureCredentialProvider, Failure> {
    if OF_THE_SDK.iter().any(|name| options.variable(name).is_some()) {
        return Err(Failure::left_to_prefect("its environment asks for another kind of credentials"));
    }
    let (tenant, client) = (options.variable("AZURE_TENANT_ID"), options.variable("AZURE_CLIENT_ID"));
    let (secret, token) = (options.variable("AZURE_CLIENT_SECRET"), options.variable("AZURE_FEDERATED_TOKEN_FILE"));
    if let (Some(tenant), Some(client), Some(secret)) = (tenant, client, secret) {
        return provider(builder(http, options).with_client_secret_authorization(client, secret, tenant));
    }
    if let (Some(tenant), Some(client), Some(token)) = (tenant, client, token) {
        let builder = builder(http, options).with_tenant_id(tenant).with_client_id(client);
        return provider(builder.with_federated_token_file(token));
    }
    let mut builder = builder(&Http::of_this_machine(PATIENCE)?, options)
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() });
    if let Some(client) = client {
        builder = builder.with_client_id(client);
    }
    let identity = provider(builder)?;
    let found = identity.get_credential().await;
    found.map_err(|_| Failure::left_to_prefect("this worker found no identity of the machine"))?;
    Ok(identity)
}

fn builder(http: &Http, options: &FetchOptions) -> MicrosoftAzureBuilder {
    // Account and container are not used, and it does not build without.
    let builder = MicrosoftAzureBuilder::new().with_account("account").with_container_name("container");
    let builder = builder.with_http_connector(http.clone());
    match options.variable("AZURE_AUTHORITY_HOST") {
        Some(host) => builder.with_config(AzureConfigKey::AuthorityHost, host),
        None => builder,
    }
}

fn provider(builder: MicrosoftAzureBuilder) -> Result<AzureCredentialProvider, Failure> {
    let unusable = |_| Failure::new(Cause::NoCredentials, "the service principal cannot be used");
    Ok(Arc::clone(builder.build().map_err(unusable)?.credentials()))
}
