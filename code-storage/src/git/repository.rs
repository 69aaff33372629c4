//! Where a repository is.

use std::fmt;

use url::Url;

use super::Login;

/// A repository: an `https`, `http`, `ssh`, `git` or `file` URL, the short form of an SSH address (`git@host:path`), or
/// a path of this machine. It holds no secret, so it may be shown anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository(String);

impl Repository {
    /// Reads the `repository` input, and takes a user or password out of an `https` or `http` URL. The error completes
    /// "the input …" and repeats nothing of it.
    ///
    /// # Errors
    ///
    /// Text that names no repository, or one that only the SDK can judge.
    pub fn parse(text: &str) -> Result<(Self, Option<Login>), &'static str> {
        if text.starts_with('-') {
            return Err("starts with a dash");
        }
        if text.contains("://") {
            return parse_url(text);
        }
        if has_colon_first(text) {
            return if is_ssh_address(text) {
                Ok((Self(text.to_owned()), None))
            } else {
                Err("is not a URL, an SSH address or a path")
            };
        }
        if text.contains(['?', '#', ';']) {
            // The SDK reads a path as a URL when it names the clone's directory.
            return Err("has characters that are special in a URL");
        }
        Ok((Self(text.to_owned()), None))
    }

    /// The repository as the deployment has it, without user and password.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        self.is_path() || self.0.to_ascii_lowercase().starts_with("file:")
    }

    /// Whether it is a path rather than a URL.
    pub(crate) fn is_path(&self) -> bool {
        !self.0.contains("://") && !has_colon_first(&self.0)
    }

    /// Whether it is reached through `ssh`.
    pub(crate) fn is_ssh(&self) -> bool {
        self.0.to_ascii_lowercase().starts_with("ssh:") || (!self.0.contains("://") && has_colon_first(&self.0))
    }

    /// The URL, if it is one.
    pub(crate) fn url(&self) -> Option<Url> {
        self.0.contains("://").then(|| Url::parse(&self.0).ok()).flatten()
    }

    /// What follows the last slash of its path.
    pub(crate) fn last_segment(&self) -> &str {
        let path = match self.0.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => &self.0,
        };
        path.rsplit('/').next().unwrap_or_default()
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How `git` tells an SSH address from a path: a colon before any slash.
fn has_colon_first(text: &str) -> bool {
    text.find(':').is_some_and(|colon| text.find('/').is_none_or(|slash| colon < slash))
}

/// `[user@]host:path`, where `host` may be an alias in the configuration of `ssh`. Not `ext::command`, which runs one,
/// and not `c:/path`. Without a slash in the path the SDK would name the clone's directory after the host as well.
fn is_ssh_address(text: &str) -> bool {
    let Some((login, path)) = text.split_once(':') else { return false };
    let (user, host) = login.split_once('@').unwrap_or(("git", login));
    let is_name = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
    };
    is_name(user)
        && is_name(host)
        && host.len() > 1
        && path.contains('/')
        && !path.starts_with([':', '-'])
        && !path.contains(['?', '#', ';'])
}

fn parse_url(text: &str) -> Result<(Repository, Option<Login>), &'static str> {
    let url = Url::parse(text).map_err(|_| "is not a URL")?;
    // A query may hold a token, and `;` starts the parameters of a path, which the SDK drops from the name.
    if text.contains(['?', '#', ';']) {
        return Err("has more than a path in its URL");
    }
    match url.scheme() {
        // In the name of a host `*` would make git send the login to every host it stands for.
        "https" | "http" if url.host_str().is_none_or(|host| host.contains('*')) => Err("is not a URL"),
        "https" | "http" => Ok(take_login_out(text, &url)),
        "ssh" if url.password().is_some() => Err("has a password in its URL, which ssh does not take"),
        "ssh" if url.host_str().is_none_or(|host| host.starts_with('-')) || url.username().starts_with('-') => {
            Err("is not a URL")
        }
        "ssh" => Ok((Repository(text.to_owned()), None)),
        "git" | "file" if url.username().is_empty() && url.password().is_none() => {
            Ok((Repository(text.to_owned()), None))
        }
        "git" | "file" => Err("has a user in its URL"),
        _ => Err("is not a URL that git repositories have"),
    }
}

/// The user goes as well: it may be a token, as in `https://<token>@host/path`.
fn take_login_out(text: &str, url: &Url) -> (Repository, Option<Login>) {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    match authority.rsplit_once('@') {
        None => (Repository(text.to_owned()), None),
        Some((_, host)) => {
            let repository = Repository(format!("{scheme}://{host}{path}"));
            let login = Login::of_url(url);
            (repository, login)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Repository;

    fn parsed(text: &str) -> (String, Option<(String, String)>) {
        let (repository, login) = Repository::parse(text).unwrap();
        let login = login.map(|login| (login.username().to_owned(), login.secret().to_owned()));
        (repository.as_str().to_owned(), login)
    }

    #[test]
    fn a_login_in_a_url_is_taken_out_of_it() {
        for (text, repository, user, secret) in [
            ("https://me:s3cret@h.test/o/r.git", "https://h.test/o/r.git", "me", "s3cret"),
            ("https://me:p%40ss%3A@h.test:8443/r", "https://h.test:8443/r", "me", "p@ss:"),
            ("https://t0ken@h.test/r", "https://h.test/r", "t0ken", ""),
            ("http://me:s3cret@h.test/r", "http://h.test/r", "me", "s3cret"),
            ("https://:s3cret@h.test/r", "https://h.test/r", "", "s3cret"),
        ] {
            assert_eq!(parsed(text), (repository.to_owned(), Some((user.to_owned(), secret.to_owned()))), "{text}");
        }
        for text in ["https://h.test/r", "https://@h.test/r", "ssh://git@h.test:22/o/r", "git@h.test:o/r.git", "/srv/r"]
        {
            assert_eq!(parsed(text).1, None, "{text}");
        }
    }

    #[test]
    fn ssh_addresses_are_told_from_paths_and_from_commands() {
        for text in
            ["git@h.test:o/r.git", "h.test:o/r", "work-alias:o/r", "ssh://git@h.test/o/r", "ssh://h.test:2222/r"]
        {
            let (repository, _) = Repository::parse(text).unwrap();
            assert!(repository.is_ssh() && !repository.is_path() && !repository.is_local(), "{text}");
        }
        for text in ["/srv/r", "../a:b/r", "./c:d", "r"] {
            let (repository, _) = Repository::parse(text).unwrap();
            assert!(repository.is_path() && !repository.is_ssh(), "{text}");
        }
        for text in [
            "ext::sh -c true",
            "c:/srv/r",
            "-oProxyCommand=x:o/r",
            "git@-oProxyCommand=x:o/r",
            "git@h.test:r",
            "git@h.test:-o/r",
            "ssh://-oProxyCommand=x/r",
            "ssh://me:s3cret@h.test/r",
            "https://*.test/r",
        ] {
            assert!(Repository::parse(text).is_err(), "{text}");
        }
    }
}
