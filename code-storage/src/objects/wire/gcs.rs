//! The JSON API of Google Cloud Storage.

use async_trait::async_trait;
use http::HeaderValue;
use object_store::gcp::GcpCredentialProvider;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;

use super::http::{ask_for_rest, first_byte, request, whole_length};
use super::{Cause, Checks, Content, Failure, Http, IN_QUERY, Listed, Mark, Page, Remote};

/// A bucket of Google Cloud Storage.
pub(in crate::objects) struct GcsRemote {
    pub(in crate::objects) http: Http,
    pub(in crate::objects) bucket: String,
    /// The server, without a slash at the end.
    pub(in crate::objects) endpoint: String,
    /// None for requests without a token.
    pub(in crate::objects) credentials: Option<GcpCredentialProvider>,
}

#[async_trait]
impl Remote for GcsRemote {
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let encoded = |text| utf8_percent_encode(text, IN_QUERY);
        let after = after.map_or_else(String::new, |token| format!("&pageToken={}", encoded(token)));
        let url = format!(
            "{}/storage/v1/b/{}/o?prefix={}&fields=nextPageToken,items(name,generation,size){after}",
            self.endpoint,
            self.bucket,
            encoded(prefix)
        );
        let listing: Listing = serde_json::from_str(&self.ask(&url, None, true).await?.text().await?)
            .map_err(|_| Failure::new(Cause::Server, "its answer to a listing is not one of Google"))?;
        let objects = listing.items.into_iter().map(|item| Listed {
            is_folder: item.name.ends_with('/'),
            mark: Mark::new(item.generation.as_deref(), item.size.and_then(|size| size.parse().ok())),
            key: item.name,
        });
        Ok(Page { objects: objects.collect(), next: listing.next_page_token.filter(|token| !token.is_empty()) })
    }

    async fn get(&self, key: &str, start: u64, version: Option<&str>) -> Result<Content, Failure> {
        let generation = match version {
            Some(version) if start > 0 && !version.is_empty() => format!("&generation={version}"),
            _ => String::new(),
        };
        let key = utf8_percent_encode(key, IN_QUERY);
        let url = format!("{}/download/storage/v1/b/{}/o/{key}?alt=media{generation}", self.endpoint, self.bucket);
        let body = self.ask(&url, (start > 0).then_some(start), false).await?;
        let header = |name: &str| body.headers().get(name).and_then(|value| value.to_str().ok());
        let version = header("x-goog-generation").unwrap_or_default().to_owned();
        // What is stored compressed comes uncompressed, and its sums and length are not those of what comes.
        let as_stored = header("x-goog-stored-content-encoding").is_none_or(|encoding| encoding == "identity");
        Ok(Content {
            start: first_byte(&body),
            length: whole_length(&body).filter(|_| as_stored),
            version,
            checks: if as_stored { checks(&body) } else { Checks::default() },
            body,
        })
    }
}

impl GcsRemote {
    async fn ask(&self, url: &str, rest: Option<u64>, is_list: bool) -> Result<reqwest::Response, Failure> {
        let mut asked = request(url)?;
        if let Some(start) = rest {
            ask_for_rest(asked.headers_mut(), start, None);
        }
        if let Some(provider) = &self.credentials {
            let token = provider.get_credential().await?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.bearer))
                .map_err(|_| Failure::new(Cause::CredentialsRefused, "the token has odd characters"))?;
            value.set_sensitive(true);
            asked.headers_mut().insert(http::header::AUTHORIZATION, value);
        }
        let answer = self.http.get(asked).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let text = answer.text().await.unwrap_or_default();
        let said = serde_json::from_str::<Refusal>(&text).map(|refusal| refusal.error.message).unwrap_or_default();
        let failure = Failure::of_status(status, said);
        Err(match (status.as_u16(), is_list) {
            (404, true) => Failure { cause: Cause::NoSuchBucket, ..failure },
            (404 | 412 | 416, false) => Failure { cause: Cause::Changed, ..failure },
            _ => failure,
        })
    }
}

/// `x-goog-hash: crc32c=…,md5=…`, in one header or in two.
fn checks(answer: &reqwest::Response) -> Checks {
    let mut checks = Checks::default();
    let values = answer.headers().get_all("x-goog-hash").into_iter().filter_map(|value| value.to_str().ok());
    for hash in values.flat_map(|value| value.split(',')) {
        match hash.trim().split_once('=') {
            Some(("crc32c", sum)) => checks.crc("CRC32C", sum),
            Some(("md5", sum)) => checks.md5(sum),
            _ => {}
        }
    }
    checks
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listing {
    #[serde(default)]
    items: Vec<Item>,
    next_page_token: Option<String>,
}

#[derive(Deserialize)]
struct Item {
    name: String,
    generation: Option<String>,
    size: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    #[serde(default)]
    message: String,
}
