//! Keys of the container's role (ECS, EKS) and of the machine's (EC2).

use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use url::{Host, Url};

use super::keyring::{Given, Temporary};
use crate::objects::options::FetchOptions;
use crate::objects::wire::{Cause, Failure, Http, persist};

/// Where there is no such server, nothing answers.
const PATIENCE_FOR_INSTANCE: Duration = Duration::from_secs(1);
const PATIENCE_FOR_CONTAINER: Duration = Duration::from_secs(5);
const ROLES: &str = "latest/meta-data/iam/security-credentials/";

/// Asks those of the two that may be asked.
pub(super) async fn keys(options: &FetchOptions, container: bool, instance: bool) -> Result<Temporary, Failure> {
    if container && let Some(url) = container_url(options)? {
        return persist(options, || of_container(&url, options)).await;
    }
    let disabled = options.variable("AWS_EC2_METADATA_DISABLED").is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
    if instance && !disabled {
        return of_instance(options).await.map_err(|failure| {
            let detail = format!(
                "there are no keys in the environment and in the profile, and no role of a container; \
                 the machine's metadata say: {}",
                failure.detail
            );
            Failure::new(Cause::NoCredentials, detail)
        });
    }
    Err(Failure::new(Cause::NoCredentials, "there are no keys in the environment and in the profile, and no role"))
}

fn container_url(options: &FetchOptions) -> Result<Option<Url>, Failure> {
    let unusable = || Failure::left_to_prefect("the server of its container's role is not one that this worker asks");
    let url = match options.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        Some(path) => format!("http://169.254.170.2{path}"),
        None => match options.variable("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            Some(url) => url.to_owned(),
            None => return Ok(None),
        },
    };
    let url = Url::parse(&url).map_err(|_| unusable())?;
    // A token goes there in the clear.
    let near = match url.host() {
        Some(Host::Ipv4(address)) => {
            address.is_loopback() || [[169, 254, 170, 2], [169, 254, 170, 23]].contains(&address.octets())
        }
        Some(Host::Ipv6(address)) => address.is_loopback() || address.to_string() == "fd00:ec2::23",
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if near || url.scheme() == "https" { Ok(Some(url)) } else { Err(unusable()) }
}

async fn of_container(url: &Url, options: &FetchOptions) -> Result<Temporary, Failure> {
    let token: Option<SecretString> = match options.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => {
            let text = fs_err::tokio::read_to_string(path).await;
            Some(text.map_err(|error| Failure::new(Cause::NoCredentials, error.to_string()))?.trim().into())
        }
        None => options.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Into::into),
    };
    let http = Http::of_this_machine(PATIENCE_FOR_CONTAINER)?;
    let mut request = http.client().get(url.clone());
    if let Some(token) = token {
        request = request.header("authorization", token.expose_secret());
    }
    given(request).await
}

async fn of_instance(options: &FetchOptions) -> Result<Temporary, Failure> {
    let base = options.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or("http://169.254.169.254");
    let base = base.trim_end_matches('/');
    let http = Http::of_this_machine(PATIENCE_FOR_INSTANCE)?;
    let token = http
        .client()
        .put(format!("{base}/latest/api/token"))
        .header("x-aws-ec2-metadata-token-ttl-seconds", "600")
        .header("content-length", "0");
    let token = SecretString::from(text(token).await?);
    let ask = |path: &str| {
        let request = http.client().get(format!("{base}/{ROLES}{path}"));
        request.header("x-aws-ec2-metadata-token", token.expose_secret())
    };
    let roles = text(ask("")).await?;
    let role = roles.lines().next().unwrap_or_default().trim();
    if role.is_empty() {
        return Err(Failure::new(Cause::NoCredentials, "the machine has no role"));
    }
    given(ask(role)).await
}

async fn text(request: reqwest::RequestBuilder) -> Result<String, Failure> {
    let answer = request.send().await?;
    let status = answer.status();
    if status.is_success() { Ok(answer.text().await?) } else { Err(Failure::of_status(status, "")) }
}

async fn given(request: reqwest::RequestBuilder) -> Result<Temporary, Failure> {
    let unread = |_| Failure::new(Cause::NoCredentials, "the answer of its metadata server holds no keys");
    serde_json::from_str::<Given>(&text(request).await?).map(Into::into).map_err(unread)
}
