//! Credentials, region and endpoint of S3, as `boto3` finds them.

use std::sync::Mutex;

use camino::Utf8Path;
use url::Url;

use super::keyring::Keyring;
use super::origin::{origin, profile_name};
use super::profiles::{Profile, Profiles};
use super::sts::Sts;
use crate::objects::options::FetchOptions;
use crate::objects::request::{AwsCredentials, S3, Trust};
use crate::objects::wire::{Failure, Http, S3Remote};

/// Settings of a profile, or variables, that make other endpoints of the ordinary ones, or other requests.
const OTHER_SETTINGS: &[&str] = &["s3", "services", "use_dualstack_endpoint", "use_fips_endpoint"];
const OTHER_VARIABLES: &[&str] = &["AWS_USE_DUALSTACK_ENDPOINT", "AWS_USE_FIPS_ENDPOINT"];

/// Everything that requests to a bucket need.
pub(in crate::objects) async fn s3(s3: &S3, options: &FetchOptions) -> Result<S3Remote, Failure> {
    let profiles = Profiles::read(options).await?;
    let name = match &s3.credentials {
        AwsCredentials::Profile(name) => name,
        AwsCredentials::Keys(_) | AwsCredentials::Ambient | AwsCredentials::Anonymous => profile_name(options),
    };
    let none = Profile::new();
    let profile = profiles.get(name).unwrap_or(&none);
    let is_set = |value: &str| !value.eq_ignore_ascii_case("false");
    if OTHER_SETTINGS.iter().any(|name| profile.get(*name).is_some_and(|value| is_set(value)))
        || OTHER_VARIABLES.iter().any(|name| options.variable(name).is_some_and(is_set))
    {
        return Err(Failure::left_to_prefect("its profile or environment asks for another kind of endpoint"));
    }
    let http = Http::new(options, ca_file(&s3.trust, options, profile))?;
    let region = s3.region.as_deref().or_else(|| options.variable("AWS_DEFAULT_REGION"));
    let region = region.or_else(|| profile.get("region").map(String::as_str));
    let endpoint = match &s3.endpoint {
        Some(endpoint) => Some(endpoint.clone()),
        None => configured_endpoint("S3", options, profile)?,
    };
    // The client of STS knows nothing of the parameters of the one for S3.
    let sts = Sts {
        http: Http::new(options, ca_file(&Trust::Environment, options, profile))?,
        region: region.map(str::to_owned),
        endpoint: configured_endpoint("STS", options, profile)?,
    };
    Ok(S3Remote {
        credentials: origin(s3, options, &profiles)?.map(|origin| Keyring::new(origin, sts, options)),
        bucket: s3.bucket.clone(),
        region: Mutex::new(region.unwrap_or("us-east-1").to_owned()),
        endpoint,
        tls: s3.tls,
        addressing: s3.addressing,
        requester_pays: s3.requester_pays,
        http,
    })
}

fn ca_file<'a>(trust: &'a Trust, options: &'a FetchOptions, profile: &'a Profile) -> Option<&'a Utf8Path> {
    match trust {
        Trust::Environment => options
            .variable("AWS_CA_BUNDLE")
            .or_else(|| profile.get("ca_bundle").map(String::as_str))
            .or_else(|| options.variable("REQUESTS_CA_BUNDLE"))
            .map(Utf8Path::new),
        Trust::Default => None,
        Trust::File(path) => Some(path),
    }
}

fn configured_endpoint(service: &str, options: &FetchOptions, profile: &Profile) -> Result<Option<Url>, Failure> {
    let ignored = options
        .variable("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        .or_else(|| profile.get("ignore_configured_endpoint_urls").map(String::as_str));
    if ignored.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    options
        .variable(&format!("AWS_ENDPOINT_URL_{service}"))
        .or_else(|| options.variable("AWS_ENDPOINT_URL"))
        .or_else(|| profile.get("endpoint_url").map(String::as_str))
        .map(|url| Url::parse(url).map_err(|_| Failure::left_to_prefect("its endpoint is not a URL")))
        .transpose()
}
