//! Logging in to a repository's server, in the shapes that the SDK gives to a token for each kind of host.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};
use url::Url;
use worker_core::redaction::Redactor;

use super::Repository;

/// A user name and a secret, for one server. `Debug` prints neither.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    username: String,
    secret: String,
    /// The scheme, host and port that it may be sent to; none for a repository that is not reached over `https`.
    site: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("site", &self.site).finish_non_exhaustive()
    }
}

impl Login {
    /// The login for a step's `access_token`, which may be of the form `user:token`.
    ///
    /// A bare token for a Bitbucket server goes as `x-token-auth`, where the SDK refuses it.
    pub fn of_access_token(repository: &Repository, token: &str) -> Self {
        let (username, secret) = of_token(Host::of(repository), token);
        Self { username, secret, site: https_site(repository) }
    }

    /// The login for a step's `credentials`: the values of a block, or what the step's author wrote. None if there is
    /// nothing in it. The error completes "the input `credentials` …" and repeats nothing of it.
    ///
    /// # Errors
    ///
    /// What the SDK refuses, too: a user name without a secret, values that are no texts, and a token for a Bitbucket
    /// server without a user name.
    pub fn of_credentials(
        repository: &Repository,
        credentials: &Map<String, Value>,
    ) -> Result<Option<Self>, &'static str> {
        if credentials.is_empty() {
            return Ok(None);
        }
        let text = |key: &str| match credentials.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Ok(None),
            Some(Value::String(text)) if text.contains(char::is_control) => Err("has control characters"),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(_) => Err("has a value that is not a text"),
        };
        let username = text("username")?;
        let secret = text("access_token")?.or(text("token")?).or(text("password")?);
        let secret = secret.ok_or("has neither a token nor a password")?;
        if let Some(username) = username {
            let site = https_site(repository);
            return Ok(Some(Self { username: username.to_owned(), secret: secret.to_owned(), site }));
        }
        if Host::of(repository) == Host::BitbucketServer && !secret.contains(':') {
            return Err("has no username, which a Bitbucket server wants besides the token");
        }
        Ok(Some(Self::of_access_token(repository, secret)))
    }

    /// The user and password of a URL.
    pub(super) fn of_url(url: &Url) -> Option<Self> {
        let decoded = |text: &str| percent_decoded(text);
        let (username, secret) = (decoded(url.username()), decoded(url.password().unwrap_or_default()));
        (!username.is_empty() || !secret.is_empty()).then(|| Self { username, secret, site: site_of(url) })
    }

    /// The scheme, host and port that the login is for: `https://host`. None if it is for nothing that it can be sent to:
    /// like the SDK, a token goes to no repository that is not reached over `https`.
    pub fn site(&self) -> Option<&str> {
        self.site.as_deref()
    }

    /// The user name, which is the token itself where a host wants it there.
    pub(super) fn username(&self) -> &str {
        &self.username
    }

    /// The password or token; empty where the user name is the token.
    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// Whether it can be told to git, whose protocol has a value to a line.
    pub(super) fn fits_a_line(&self) -> bool {
        !self.username.contains(char::is_control) && !self.secret.contains(char::is_control)
    }

    /// A text with the secret masked, however short it is, and the header that both make together.
    pub(super) fn mask(&self, text: &str) -> String {
        let secret = if self.secret.is_empty() { &self.username } else { &self.secret };
        let header = BASE64.encode(format!("{}:{}", self.username, self.secret));
        Redactor::new([secret.as_str(), header.as_str()], 1).redact(text).into_owned()
    }
}

/// The hosts that want a token in a form of their own. Told from the name of the host, as in the SDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    BitbucketServer,
    Bitbucket,
    Gitlab,
    Other,
}

impl Host {
    fn of(repository: &Repository) -> Self {
        let host = repository.url().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        if host.contains("bitbucketserver") {
            Self::BitbucketServer
        } else if host.contains("bitbucket") {
            Self::Bitbucket
        } else if host.contains("gitlab") {
            Self::Gitlab
        } else {
            Self::Other
        }
    }
}

/// User name and secret of a token.
fn of_token(host: Host, token: &str) -> (String, String) {
    let with = |username: &str| (username.to_owned(), token.to_owned());
    let split = token.split_once(':').map(|(username, secret)| (username.to_owned(), secret.to_owned()));
    match host {
        Host::BitbucketServer | Host::Bitbucket => split.unwrap_or_else(|| with("x-token-auth")),
        // A deploy token is given with its user name.
        Host::Gitlab => split.unwrap_or_else(|| with("oauth2")),
        // GitHub, Azure DevOps and the rest take a token as the user name. A user name cannot have a colon, so where the
        // SDK makes one of `user:token` this could only be refused.
        Host::Other => split.unwrap_or_else(|| (token.to_owned(), String::new())),
    }
}

fn https_site(repository: &Repository) -> Option<String> {
    repository.url().filter(|url| url.scheme() == "https").as_ref().and_then(site_of)
}

fn site_of(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{host}{port}", url.scheme()))
}

fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after
            .split_at_checked(2)
            .filter(|_| *first == b'%')
            .and_then(|(digits, after)| Some((u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?, after)));
        let (byte, after) = escaped.unwrap_or((*first, after));
        decoded.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
#[path = "login_tests.rs"]
mod tests;
