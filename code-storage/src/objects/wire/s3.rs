//! The protocol of Amazon S3.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use object_store::aws::AwsAuthorizer;
use percent_encoding::{percent_decode_str, utf8_percent_encode};
use serde::Deserialize;
use url::Url;

use super::http::request;
use super::{Cause, Checks, Content, Failure, Http, IN_PATH, IN_QUERY, Listed, Mark, Page, Remote};
use crate::objects::credentials::Keyring;
use crate::objects::request::Addressing;

/// A bucket of S3.
pub(in crate::objects) struct S3Remote {
    pub(in crate::objects) http: Http,
    pub(in crate::objects) bucket: String,
    /// Changes once if the bucket turns out to be in another.
    pub(in crate::objects) region: Mutex<String>,
    pub(in crate::objects) endpoint: Option<Url>,
    pub(in crate::objects) tls: bool,
    pub(in crate::objects) addressing: Addressing,
    pub(in crate::objects) requester_pays: bool,
    /// None for requests that are not signed.
    pub(in crate::objects) credentials: Option<Keyring>,
}

#[async_trait]
impl Remote for S3Remote {
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page, Failure> {
        let after = after
            .map_or_else(String::new, |token| format!("continuation-token={}&", utf8_percent_encode(token, IN_QUERY)));
        let prefix = utf8_percent_encode(prefix, IN_QUERY);
        let query = format!("{after}encoding-type=url&list-type=2&prefix={prefix}");
        let answer = self.ask("", &query, None, true).await?;
        let text = answer.text().await?;
        let listing: Listing = quick_xml::de::from_str(&text)
            .map_err(|_| Failure::new(Cause::Server, "its answer to a listing is not one of S3"))?;
        listing.try_into()
    }

    async fn get(&self, key: &str, start: u64, version: Option<&str>) -> Result<Content, Failure> {
        let rest = (start > 0).then_some((start, version));
        let body = self.ask(&format!("/{}", utf8_percent_encode(key, IN_PATH)), "", rest, false).await?;
        let header = |name: &str| body.headers().get(name).and_then(|value| value.to_str().ok());
        let start = super::http::first_byte(&body);
        let version = header("etag").unwrap_or_default();
        Ok(Content {
            start,
            length: super::http::whole_length(&body),
            version: version.to_owned(),
            checks: checks(header),
            body,
        })
    }
}

impl S3Remote {
    /// Sends a request, and once more to the right region.
    async fn ask(
        &self,
        path: &str,
        query: &str,
        rest: Option<(u64, Option<&str>)>,
        is_list: bool,
    ) -> Result<reqwest::Response, Failure> {
        let region = self.region();
        match self.ask_in(&region, path, query, rest, is_list).await? {
            Answer::Good(response) => Ok(response),
            Answer::Elsewhere(other, _) if other.as_deref().is_some_and(|other| other != region) => {
                let other = other.unwrap_or_default();
                other.clone_into(&mut self.region.lock().unwrap_or_else(PoisonError::into_inner));
                match self.ask_in(&other, path, query, rest, is_list).await? {
                    Answer::Good(response) => Ok(response),
                    Answer::Elsewhere(_, failure) => Err(failure),
                }
            }
            Answer::Elsewhere(_, failure) => Err(failure),
        }
    }

    fn region(&self) -> String {
        self.region.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn ask_in(
        &self,
        region: &str,
        path: &str,
        query: &str,
        rest: Option<(u64, Option<&str>)>,
        is_list: bool,
    ) -> Result<Answer, Failure> {
        let mut url = format!("{}{path}", self.base(region)?);
        if !query.is_empty() {
            url.push('?');
            url.push_str(query);
        }
        let mut asked = request(&url)?;
        let headers = asked.headers_mut();
        if let Some((start, version)) = rest {
            super::http::ask_for_rest(headers, start, version);
        }
        if !is_list {
            headers.insert("x-amz-checksum-mode", http::HeaderValue::from_static("ENABLED"));
        }
        if let Some(keyring) = &self.credentials {
            let keys = keyring.keys().await?;
            AwsAuthorizer::new(&keys, "s3", region)
                .with_request_payer(self.requester_pays)
                .try_authorize(&mut asked, None)?;
        }
        let answer = self.http.get(asked).await?;
        if answer.status().is_success() {
            return Ok(Answer::Good(answer));
        }
        explain(answer, is_list).await
    }

    /// The URL of the bucket.
    fn base(&self, region: &str) -> Result<String, Failure> {
        let bucket = &self.bucket;
        let Some(endpoint) = &self.endpoint else {
            let scheme = if self.tls { "https" } else { "http" };
            let suffix = aws_suffix(region)?;
            // A certificate's `*` stands for one label, and a bucket with a dot has two.
            let in_host = is_host_label(bucket) || (!self.tls && bucket.split('.').all(is_host_label));
            return Ok(match self.addressing {
                Addressing::Auto | Addressing::Virtual if in_host => {
                    format!("{scheme}://{bucket}.s3.{region}.{suffix}")
                }
                Addressing::Auto | Addressing::Path | Addressing::Virtual => {
                    format!("{scheme}://s3.{region}.{suffix}/{bucket}")
                }
            });
        };
        let text = endpoint.as_str().trim_end_matches('/');
        match self.addressing {
            Addressing::Auto | Addressing::Path => Ok(format!("{text}/{bucket}")),
            Addressing::Virtual => Ok(text.replacen("://", &format!("://{bucket}."), 1)),
        }
    }
}

fn is_host_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

/// The domain of Amazon's servers in a region.
pub(in crate::objects) fn aws_suffix(region: &str) -> Result<&'static str, Failure> {
    if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') || region.is_empty() {
        return Err(Failure::left_to_prefect("its region is not an ordinary one"));
    }
    match region {
        _ if region.starts_with("cn-") => Ok("amazonaws.com.cn"),
        // These clouds have domains of their own.
        _ if region.contains("-iso") || region.starts_with("eusc-") => {
            Err(Failure::left_to_prefect("its region is in a cloud of its own"))
        }
        _ => Ok("amazonaws.com"),
    }
}

fn checks<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Checks {
    let mut checks = Checks::default();
    for (name, algorithm) in [
        ("x-amz-checksum-crc32", "CRC32"),
        ("x-amz-checksum-crc32c", "CRC32C"),
        ("x-amz-checksum-crc64nvme", "CRC64NVME"),
    ] {
        // One over the parts of an upload has a dash and is not base64.
        if let Some(sum) = header(name) {
            checks.crc(algorithm, sum);
        }
    }
    // With a key of its own for each object, the tag is of the encrypted content.
    let encrypted = header("x-amz-server-side-encryption").is_some_and(|kind| kind.starts_with("aws:"))
        || header("x-amz-server-side-encryption-customer-algorithm").is_some();
    if let (false, Some(tag)) = (encrypted, header("etag")) {
        checks.tag(tag);
    }
    checks
}

#[derive(Debug)]
enum Answer {
    Good(reqwest::Response),
    /// The bucket is in another region: this one, if the server said which.
    Elsewhere(Option<String>, Failure),
}

/// What a refusal means.
async fn explain(answer: reqwest::Response, is_list: bool) -> Result<Answer, Failure> {
    let status = answer.status();
    let region = answer.headers().get("x-amz-bucket-region").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = answer.text().await.unwrap_or_default();
    let said: Said = quick_xml::de::from_str(&text).unwrap_or_default();
    let detail = match (said.code.is_empty(), said.message.is_empty()) {
        (true, _) => format!("status {status}"),
        (false, true) => said.code.clone(),
        (false, false) => format!("{}: {}", said.code, said.message),
    };
    let cause = match said.code.as_str() {
        "PermanentRedirect"
        | "TemporaryRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => {
            let region = region.or(said.region.filter(|region| !region.is_empty()));
            return Ok(Answer::Elsewhere(region, Failure::new(Cause::WrongRegion, detail)));
        }
        "NoSuchBucket" => Cause::NoSuchBucket,
        "NoSuchKey" if !is_list => Cause::Changed,
        "AccessDenied" | "AllAccessDisabled" => Cause::Denied,
        "ExpiredToken"
        | "InvalidAccessKeyId"
        | "InvalidToken"
        | "NotSignedUp"
        | "RequestTimeTooSkewed"
        | "SignatureDoesNotMatch"
        | "TokenRefreshRequired" => Cause::CredentialsRefused,
        "InternalError" | "RequestTimeout" | "ServiceUnavailable" | "SlowDown" | "Throttling" => Cause::Unreachable,
        _ => match status.as_u16() {
            301 | 302 | 307 => {
                return Ok(Answer::Elsewhere(region, Failure::new(Cause::WrongRegion, detail)));
            }
            404 if is_list => Cause::NoSuchBucket,
            404 | 412 | 416 => Cause::Changed,
            _ => Failure::of_status(status, &detail).cause,
        },
    };
    Err(Failure::new(cause, detail))
}

/// What S3 says when it refuses. Other elements hold the id of the key and what was signed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Said {
    code: String,
    message: String,
    region: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    encoding_type: Option<String>,
    #[serde(default)]
    contents: Vec<Entry>,
    next_continuation_token: Option<String>,
    #[serde(default)]
    is_truncated: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    key: String,
    #[serde(rename = "ETag")]
    e_tag: Option<String>,
    size: Option<u64>,
}

impl TryFrom<Listing> for Page {
    type Error = Failure;

    fn try_from(listing: Listing) -> Result<Self, Failure> {
        let encoded = listing.encoding_type.as_deref() == Some("url")
            && listing.contents.iter().all(|entry| is_encoded(&entry.key));
        let key = |key: String| if encoded { decoded(&key) } else { key };
        let objects = listing.contents.into_iter().map(|entry| {
            let mark = Mark::new(entry.e_tag.as_deref(), entry.size);
            let key = key(entry.key);
            Listed { is_folder: key.ends_with('/'), mark, key }
        });
        let objects = objects.collect();
        let next = listing.next_continuation_token.filter(|token| listing.is_truncated && !token.is_empty());
        if listing.is_truncated && next.is_none() {
            return Err(Failure::new(Cause::Server, "its listing ends in the middle"));
        }
        Ok(Self { objects, next })
    }
}

/// Whether a key can be an encoded one. Some servers say that they encode, and do not.
fn is_encoded(key: &str) -> bool {
    key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~*/+%".contains(&byte))
}

/// A space comes as a plus, and a plus as `%2B`.
fn decoded(key: &str) -> String {
    percent_decode_str(&key.replace('+', " ")).decode_utf8_lossy().into_owned()
}
