//! Names of images.

use super::grammar::{self, ReferenceError};
use super::hosts::HUB;

const HUBS_OWN: &str = "library/";
const DEFAULT_TAG: &str = "latest";

/// The name of an image, with all that Docker adds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageReference {
    registry: String,
    path: String,
    tag: Option<String>,
    digest: Option<String>,
}

impl ImageReference {
    /// Reads a name as `docker pull` does.
    pub(crate) fn parse(text: &str) -> Result<Self, ReferenceError> {
        if text.is_empty() {
            return Err(ReferenceError::Empty);
        }
        if text.contains("://") {
            return Err(ReferenceError::Url);
        }
        if grammar::is_id(text) {
            return Err(ReferenceError::Id);
        }
        let (rest, digest) = cut(text, '@');
        // First: a user name and password would be before it.
        digest.map_or(Ok(()), grammar::check_digest)?;
        let (registry, rest) = split_registry(rest);
        let (path, tag) = cut(rest, ':');
        let hubs_own = registry == HUB && !path.contains('/') && !path.is_empty();
        let path = if hubs_own { format!("{HUBS_OWN}{path}") } else { path.to_owned() };

        grammar::check_registry(registry)?;
        grammar::check_repository(registry, &path)?;
        tag.map_or(Ok(()), grammar::check_tag)?;
        let owned = |part: Option<&str>| part.map(str::to_owned);
        Ok(Self { registry: registry.to_owned(), path, tag: owned(tag), digest: owned(digest) })
    }

    /// Registry and repository.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.registry, self.path)
    }

    /// The registry's host; `docker.io` for Docker Hub.
    pub(crate) fn registry(&self) -> &str {
        &self.registry
    }

    /// Whether it may mean another image tomorrow, which is when Prefect pulls it each time.
    pub(crate) fn default_pull_policy_is_always(&self) -> bool {
        self.digest.is_none() && self.tag.as_deref().is_none_or(|tag| tag == DEFAULT_TAG)
    }

    /// `fromImage` and `tag` for the engine, which pulls all tags if it gets none.
    pub(crate) fn for_pull(&self) -> (String, String) {
        let tag = self.digest.as_deref().or(self.tag.as_deref()).unwrap_or(DEFAULT_TAG);
        (self.familiar_name(), tag.to_owned())
    }

    fn familiar_name(&self) -> String {
        if self.registry != HUB {
            return self.name();
        }
        let own = self.path.strip_prefix(HUBS_OWN).filter(|rest| !rest.contains('/'));
        own.unwrap_or(&self.path).to_owned()
    }
}

fn cut(text: &str, at: char) -> (&str, Option<&str>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after)))
}

/// What is before the first slash is a registry if it cannot be part of a repository's name.
fn split_registry(text: &str) -> (&str, &str) {
    let Some((first, rest)) = text.split_once('/') else { return (HUB, text) };
    if first == "index.docker.io" {
        return (HUB, rest);
    }
    let is_registry = first == "localhost" || first.contains(['.', ':']) || first.chars().any(char::is_uppercase);
    if is_registry { (first, rest) } else { (HUB, text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn names_are_read_as_docker_reads_them() {
        for (text, name, pulled, pull_tag) in [
            ("python", "docker.io/library/python", "python", "latest"),
            ("python:3.12", "docker.io/library/python", "python", "3.12"),
            ("docker.io/python", "docker.io/library/python", "python", "latest"),
            ("index.docker.io/library/python", "docker.io/library/python", "python", "latest"),
            ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b", "latest"),
            ("prefecthq/prefect:3-latest", "docker.io/prefecthq/prefect", "prefecthq/prefect", "3-latest"),
            ("localhost/flows", "localhost/flows", "localhost/flows", "latest"),
            ("localhost:5000/a/b__c--d.e:v_1", "localhost:5000/a/b__c--d.e", "localhost:5000/a/b__c--d.e", "v_1"),
            ("Registry.Example.com/flows", "Registry.Example.com/flows", "Registry.Example.com/flows", "latest"),
            ("[::1]:5000/flows", "[::1]:5000/flows", "[::1]:5000/flows", "latest"),
            ("[::1]/flows", "[::1]/flows", "[::1]/flows", "latest"),
        ] {
            let image = ImageReference::parse(text).unwrap();
            assert_eq!(image.name(), name, "{text}");
            assert!(name.starts_with(image.registry()), "{text}");
            assert_eq!(image.for_pull(), (pulled.to_owned(), pull_tag.to_owned()), "{text}");
        }
        let text = format!("flows:1@sha256:{DIGITS}");
        let pinned = ImageReference::parse(&text).unwrap();
        let digest = text.split_once('@').unwrap().1;
        assert_eq!(pinned.for_pull(), ("flows".to_owned(), digest.to_owned()));
    }

    #[test]
    fn only_a_name_that_may_change_its_meaning_is_always_pulled() {
        let digest = format!("python@sha256:{DIGITS}");
        let both = format!("python:latest@sha256:{DIGITS}");
        for (text, always) in
            [("python", true), ("python:latest", true), ("python:3", false), (digest.as_str(), false), (&both, false)]
        {
            assert_eq!(ImageReference::parse(text).unwrap().default_pull_policy_is_always(), always, "{text}");
        }
    }

    #[test]
    fn what_is_no_name_of_an_image_is_refused_and_no_password_shown() {
        use ReferenceError as E;
        let repository = |text: &str| E::Repository(text.to_owned());
        let tag = |text: &str| E::Tag(text.to_owned());
        let long = format!("a/{}", "b".repeat(255));
        let long_tag = "t".repeat(129);
        for (text, error) in [
            ("", E::Empty),
            ("https://me:hunter2@registry/flows", E::Url),
            ("me:hunter2@registry/flows", E::Digest),
            (DIGITS, E::Id),
            ("Flows", E::NotLowerCase("library/Flows".to_owned())),
            ("team/Flows:1", E::NotLowerCase("team/Flows".to_owned())),
            ("flows:", tag("")),
            ("flows:.1", tag(".1")),
            ("flows:1:2", tag("1:2")),
            (&format!("flows:{long_tag}"), tag(&long_tag)),
            (" flows", repository("library/ flows")),
            ("a//b", repository("a//b")),
            ("a/", repository("a/")),
            ("/a", repository("/a")),
            (":1", repository("")),
            ("a___b", repository("library/a___b")),
            ("a.-b", repository("library/a.-b")),
            ("-a", repository("library/-a")),
            ("é", repository("library/é")),
            ("-.x/a", E::Registry),
            ("host:/a", E::Registry),
            ("host:port/a", E::Registry),
            ("[::1/a", E::Registry),
            ("flows@", E::Digest),
            ("flows@sha256:0123", E::Digest),
            (&format!("flows@md5:{DIGITS}"), E::Digest),
            (&format!("flows@sha256:{}", DIGITS.to_uppercase()), E::Digest),
            (&long, E::TooLong),
        ] {
            let found = ImageReference::parse(text).unwrap_err();
            assert!(!found.to_string().contains("hunter2"), "{found}");
            assert_eq!(found, error, "{text}");
        }
    }
}
