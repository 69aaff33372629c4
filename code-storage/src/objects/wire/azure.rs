//! The protocol of Azure Blob Storage.

use async_trait::async_trait;
use http::HeaderValue;
use object_store::azure::{AzureAuthorizer, AzureCredentialProvider};
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;

use super::http::{ask_for_rest, first_byte, request, whole_length};
use super::{Cause, Checks, Content, Failure, Http, IN_PATH, IN_QUERY, Listed, Mark, Page, Remote};

/// The version of the protocol of requests that nobody signs.
const VERSION: HeaderValue = HeaderValue::from_static("2023-11-03");

/// A container of Azure Blob Storage.
pub(in crate::objects) struct AzureRemote {
    pub(in crate::objects) http: Http,
    pub(in crate::objects) container: String,
    pub(in crate::objects) account: String,
    /// The blob service, without a slash at the end.
    pub(in crate::objects) endpoint: String,
    /// None for requests that are not signed.
    pub(in crate::objects) credentials: Option<AzureCredentialProvider>,
}

#[async_trait]
impl Remote for AzureRemote {
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let encoded = |text| utf8_percent_encode(text, IN_QUERY);
        let after = after.map_or_else(String::new, |marker| format!("&marker={}", encoded(marker)));
        let query = format!("restype=container&comp=list&include=metadata&prefix={}{after}", encoded(prefix));
        let text = self.ask("", &query, None, true).await?.text().await?;
        let listing: Listing = quick_xml::de::from_str(text.trim_start_matches('\u{feff}'))
            .map_err(|_| Failure::new(Cause::Server, "its answer to a listing is not one of Azure"))?;
        let objects = listing.blobs.blob.into_iter().map(Listed::from).collect();
        Ok(Page { objects, next: listing.next_marker.filter(|marker| !marker.is_empty()) })
    }

    async fn get(&self, key: &str, start: u64, version: Option<&str>) -> Result<Content, Failure> {
        let rest = (start > 0).then_some((start, version));
        let body = self.ask(&format!("/{}", utf8_percent_encode(key, IN_PATH)), "", rest, false).await?;
        let header = |name: &str| body.headers().get(name).and_then(|value| value.to_str().ok());
        let mut checks = Checks::default();
        // Whoever uploads a blob says its sum, and the server does not look: it is trusted no more than a tag.
        if let Some(sum) = header("content-md5") {
            checks.stated_md5(sum);
        }
        Ok(Content {
            start: first_byte(&body),
            length: whole_length(&body),
            version: header("etag").unwrap_or_default().to_owned(),
            checks,
            body,
        })
    }
}

impl AzureRemote {
    async fn ask(
        &self,
        path: &str,
        query: &str,
        rest: Option<(u64, Option<&str>)>,
        is_list: bool,
    ) -> Result<reqwest::Response, Failure> {
        let question = if query.is_empty() { "" } else { "?" };
        let mut asked = request(&format!("{}/{}{path}{question}{query}", self.endpoint, self.container))?;
        if let Some((start, version)) = rest {
            ask_for_rest(asked.headers_mut(), start, version);
        }
        match &self.credentials {
            Some(provider) => {
                let credential = provider.get_credential().await?;
                AzureAuthorizer::new(&credential, &self.account).try_authorize(&mut asked)?;
            }
            None => {
                asked.headers_mut().insert("x-ms-version", VERSION);
            }
        }
        let answer = self.http.get(asked).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let code = answer.headers().get("x-ms-error-code").and_then(|code| code.to_str().ok()).map(str::to_owned);
        let text = answer.text().await.unwrap_or_default();
        let said: Said = quick_xml::de::from_str(text.trim_start_matches('\u{feff}')).unwrap_or_default();
        let code = code.or(said.code).unwrap_or_default();
        // Further lines are the id of the request and the time.
        let message = said.message.lines().next().unwrap_or_default();
        let failure =
            Failure::of_status(status, if code.is_empty() { code.clone() } else { format!("{code}: {message}") });
        let cause = match code.as_str() {
            "ContainerNotFound" | "ResourceNotFound" | "AccountNotFound" if is_list => Cause::NoSuchBucket,
            "AuthenticationFailed" | "InvalidAuthenticationInfo" => Cause::CredentialsRefused,
            "ServerBusy" | "OperationTimedOut" | "InternalError" => Cause::Unreachable,
            _ => match status.as_u16() {
                404 if is_list => Cause::NoSuchBucket,
                404 | 412 | 416 => Cause::Changed,
                _ => failure.cause,
            },
        };
        Err(Failure { cause, ..failure })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    blobs: Blobs,
    next_marker: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Blobs {
    blob: Vec<Blob>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Blob {
    name: Name,
    #[serde(default)]
    properties: Properties,
    metadata: Option<Metadata>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Properties {
    #[serde(rename = "Etag")]
    etag: Option<String>,
    #[serde(rename = "Content-Length")]
    length: Option<u64>,
}

#[derive(Deserialize)]
struct Name {
    /// Set for names with characters that XML does not have.
    #[serde(rename = "@Encoded", default)]
    encoded: bool,
    #[serde(rename = "$text", default)]
    text: String,
}

#[derive(Deserialize)]
struct Metadata {
    /// The mark of a directory in accounts that have such.
    hdi_isfolder: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Said {
    code: Option<String>,
    message: String,
}

impl From<Blob> for Listed {
    fn from(blob: Blob) -> Self {
        let key = if blob.name.encoded {
            percent_encoding::percent_decode_str(&blob.name.text).decode_utf8_lossy().into_owned()
        } else {
            blob.name.text
        };
        let marked = blob.metadata.and_then(|metadata| metadata.hdi_isfolder).is_some_and(|mark| mark == "true");
        let mark = Mark::new(blob.properties.etag.as_deref(), blob.properties.length);
        Self { is_folder: marked || key.ends_with('/'), mark, key }
    }
}
