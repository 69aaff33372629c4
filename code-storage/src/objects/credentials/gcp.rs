//! Credentials and endpoint of Google Cloud Storage, as Google's library for Python finds them.

use std::sync::Arc;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use object_store::StaticCredentialProvider;
use object_store::gcp::{GcpCredential, GcpCredentialProvider, GoogleCloudStorageBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::objects::options::FetchOptions;
use crate::objects::request::{GcpCredentials, Gcs, check_service_account};
use crate::objects::wire::{Cause, Failure, GcsRemote, Http};

/// Where there is no metadata server, nothing answers. It is asked in any case before the SDK gets the run.
const PATIENCE: Duration = Duration::from_secs(3);

/// Everything that requests to a bucket need.
pub(in crate::objects) async fn gcs(gcs: &Gcs, options: &FetchOptions) -> Result<GcsRemote, Failure> {
    let http = Http::new(options, options.variable("REQUESTS_CA_BUNDLE").map(Utf8Path::new))?;
    let endpoint = gcs.endpoint.as_ref().map(ToString::to_string);
    let endpoint = endpoint.or_else(|| {
        let emulator = options.variable("STORAGE_EMULATOR_HOST")?;
        Some(if emulator.contains("://") { emulator.to_owned() } else { format!("http://{emulator}") })
    });
    Ok(GcsRemote {
        credentials: credentials(gcs, &http, options).await?,
        bucket: gcs.bucket.clone(),
        endpoint: endpoint.as_deref().unwrap_or("https://storage.googleapis.com").trim_end_matches('/').to_owned(),
        http,
    })
}

async fn credentials(gcs: &Gcs, http: &Http, options: &FetchOptions) -> Result<Option<GcpCredentialProvider>, Failure> {
    match &gcs.credentials {
        GcpCredentials::Anonymous => Ok(None),
        GcpCredentials::Token(token) => Ok(Some(fixed(token.expose_secret()))),
        GcpCredentials::ServiceAccount(key) => service_account(key, http).map(Some),
        GcpCredentials::File(path) => {
            let (info, text) = key_file(path).await?;
            check_service_account(&info).map_err(Failure::from)?;
            service_account(&text, http).map(Some)
        }
        GcpCredentials::Ambient => ambient(http, options).await.map(Some),
    }
}

/// The file that the environment names, the one that `gcloud` writes, and the machine's account.
async fn ambient(http: &Http, options: &FetchOptions) -> Result<GcpCredentialProvider, Failure> {
    let named = options.variable("GOOGLE_APPLICATION_CREDENTIALS").map(Utf8PathBuf::from);
    let file = named.or_else(|| {
        let folder = match options.variable("CLOUDSDK_CONFIG") {
            Some(folder) => Utf8PathBuf::from(folder),
            None => Utf8PathBuf::from(options.variable("HOME")?).join(".config/gcloud"),
        };
        Some(folder.join("application_default_credentials.json")).filter(|path| path.exists())
    });
    let Some(path) = file else { return of_machine(options).await };
    let (info, text) = key_file(&path).await?;
    match info.get("type").and_then(Value::as_str) {
        Some("service_account") => {
            check_service_account(&info).map_err(Failure::from)?;
            service_account(&text, http)
        }
        Some("authorized_user") => provider(builder(http).with_application_credentials(path.as_str())),
        _ => Err(Failure::left_to_prefect(
            "its application default credentials are of a kind that this worker does not know",
        )),
    }
}

async fn of_machine(options: &FetchOptions) -> Result<GcpCredentialProvider, Failure> {
    let none = || Failure::left_to_prefect("this worker found no application default credentials");
    if options.variable("NO_GCE_CHECK").is_some_and(|flag| flag.eq_ignore_ascii_case("true")) {
        return Err(none());
    }
    let host = options.variable("GCE_METADATA_HOST").or_else(|| options.variable("GCE_METADATA_ROOT"));
    let url = format!(
        "http://{}/computeMetadata/v1/instance/service-accounts/default/token",
        host.unwrap_or("metadata.google.internal")
    );
    let http = Http::of_this_machine(PATIENCE)?;
    let answer = http.client().get(url).header("metadata-flavor", "Google").send().await.map_err(|_| none())?;
    if !answer.status().is_success() {
        return Err(none());
    }
    let token: MachineToken = serde_json::from_str(&answer.text().await?).map_err(|_| none())?;
    Ok(fixed(&token.access_token))
}

/// The metadata server's token has at least five minutes left.
#[derive(Deserialize)]
struct MachineToken {
    access_token: String,
}

async fn key_file(path: &Utf8Path) -> Result<(Map<String, Value>, SecretString), Failure> {
    let text = fs_err::tokio::read_to_string(path).await;
    let text = text.map_err(|error| Failure::new(Cause::NoCredentials, error.to_string()))?;
    let info = serde_json::from_str(&text)
        .map_err(|_| Failure::new(Cause::NoCredentials, format!("{path} is not the file of a key")))?;
    Ok((info, text.into()))
}

fn service_account(key: &SecretString, http: &Http) -> Result<GcpCredentialProvider, Failure> {
    provider(builder(http).with_service_account_key(key.expose_secret()))
}

fn builder(http: &Http) -> GoogleCloudStorageBuilder {
    // The bucket is not used, and it does not build without.
    GoogleCloudStorageBuilder::new().with_bucket_name("bucket").with_http_connector(http.clone())
}

fn provider(builder: GoogleCloudStorageBuilder) -> Result<GcpCredentialProvider, Failure> {
    // What it says may quote the key.
    let unusable = |_| Failure::new(Cause::NoCredentials, "the key of the service account cannot be used");
    Ok(Arc::clone(builder.build().map_err(unusable)?.credentials()))
}

fn fixed(token: &str) -> GcpCredentialProvider {
    Arc::new(StaticCredentialProvider::new(GcpCredential { bearer: token.to_owned() }))
}
