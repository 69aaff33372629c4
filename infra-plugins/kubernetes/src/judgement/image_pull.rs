//! Why an image cannot be pulled.

use jiff::Timestamp;

use super::digest::{ContainerDigest, HappeningDigest, PodDigest};

/// What a container waits for whose image is not there. The first two are what Prefect knows.
const WAITING: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// Why an image cannot be pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullCause {
    NotFound,
    Denied,
    RateLimited,
    Unreachable,
    Certificate,
    Platform,
    InvalidName,
    NeverPulled,
    /// The kubelet said nothing yet but that it waits before it tries again.
    Unsaid,
    Other,
}

impl PullCause {
    fn of(reason: &str, said: &str) -> Self {
        match reason {
            "InvalidImageName" => return Self::InvalidName,
            "ErrImageNeverPull" => return Self::NeverPulled,
            "RegistryUnavailable" => return Self::Unreachable,
            _ => {}
        }
        let said = said.to_ascii_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
        if said.is_empty() {
            Self::Unsaid
        } else if says(&["no such host", "i/o timeout", "connection refused", "server misbehaving", "no route to host"])
            || says(&["tls handshake timeout", "context deadline exceeded", "connection reset", "unreachable"])
        {
            Self::Unreachable
        } else if says(&["x509", "server gave http response to https client"]) {
            Self::Certificate
        } else if says(&["toomanyrequests", "too many requests", "rate limit", "pull qps exceeded"]) {
            Self::RateLimited
        } else if says(&["no match for platform", "no matching manifest"]) {
            Self::Platform
        } else if says(&["invalid reference format"]) {
            Self::InvalidName
        } else if says(&["repository does not exist", "manifest unknown", "name unknown", "not found", "notfound"])
            && !says(&["executable", "credential"])
        {
            Self::NotFound
        } else if says(&["unauthorized", "denied", "forbidden", "no basic auth", "authorize", "authentication"]) {
            Self::Denied
        } else {
            Self::Other
        }
    }

    /// Whether trying again brings nothing.
    pub(crate) const fn is_definite(self) -> bool {
        matches!(self, Self::NotFound | Self::Platform | Self::InvalidName | Self::NeverPulled)
    }

    pub(crate) const fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NotFound => "NotFound",
            Self::Denied => "Denied",
            Self::RateLimited => "RateLimited",
            Self::Unreachable => "Unreachable",
            Self::Certificate => "Certificate",
            Self::Platform => "Platform",
            Self::InvalidName => "InvalidName",
            Self::NeverPulled => "NeverPulled",
            Self::Other => "Other",
            Self::Unsaid => return None,
        })
    }

    pub(crate) const fn fix(self) -> &'static str {
        match self {
            Self::NotFound => {
                "Check name and tag of the image. A registry also says so of a private image when it gets no credentials"
            }
            Self::Denied => {
                "Give the pod's service account or the job template an image pull secret for the registry \
                 (`imagePullSecrets`)"
            }
            Self::RateLimited => "Wait, give the pod an image pull secret, or use a mirror of the registry",
            Self::Unreachable => "Check that the cluster's nodes reach the registry",
            Self::Certificate => "Make the nodes' container runtime trust the registry's certificate",
            Self::Platform => "Build the image for the architecture of the cluster's nodes, or choose nodes that fit",
            Self::InvalidName => "Write the image as registry.example.com/team/flows:1.2, in lower case",
            Self::NeverPulled => "Put the image on the node, or set `image_pull_policy` to IfNotPresent",
            Self::Unsaid | Self::Other => {
                "Check name and tag of the image, that the nodes reach the registry, and the image pull secret if it is \
                 private"
            }
        }
    }
}

/// A container whose image cannot be pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FailedPull<'a> {
    pub(crate) container: &'a ContainerDigest,
    pub(crate) cause: PullCause,
    /// The registry's own words, as far as the kubelet passes them on.
    pub(crate) said: String,
    /// When it failed first, if that is still known.
    pub(crate) since: Option<Timestamp>,
}

/// The first container of a pod whose image cannot be pulled.
pub(crate) fn failed_pull<'a>(pod: &'a PodDigest, happenings: &[HappeningDigest]) -> Option<FailedPull<'a>> {
    pod.containers.iter().find_map(|container| of_container(pod, container, happenings))
}

/// The failure of one container's image.
pub(crate) fn of_container<'a>(
    pod: &PodDigest,
    container: &'a ContainerDigest,
    happenings: &[HappeningDigest],
) -> Option<FailedPull<'a>> {
    let (reason, message) = container.waiting()?;
    if !WAITING.contains(&reason) {
        return None;
    }
    let quoted = format!("\"{}\"", container.image);
    let failures: Vec<&HappeningDigest> = happenings
        .iter()
        .filter(|told| told.is_about_pod(pod) && &*told.reason == "Failed" && told.message.contains(&quoted))
        .collect();
    let own = words(message);
    let said = if own.is_empty() {
        failures.iter().max_by_key(|told| told.last).map(|told| words(&told.message)).unwrap_or_default()
    } else {
        own
    };
    Some(FailedPull {
        container,
        cause: PullCause::of(reason, said),
        said: said.to_owned(),
        since: failures.iter().map(|told| told.first).min(),
    })
}

/// What is said beyond who says it.
fn words(message: &str) -> &str {
    const QUOTING: [&str; 4] = [
        "Back-off pulling image \"",
        "Failed to pull image \"",
        "failed to pull and unpack image \"",
        "failed to resolve reference \"",
    ];
    let mut rest = message.trim();
    loop {
        let quoting = QUOTING.iter().find_map(|head| rest.strip_prefix(head)).and_then(|rest| rest.split_once('"'));
        let next = if let Some((_, rest)) = quoting {
            rest.strip_prefix(':').unwrap_or(rest)
        } else if let Some((_, rest)) =
            rest.strip_prefix("rpc error: code = ").and_then(|rest| rest.split_once("desc ="))
        {
            rest
        } else if let Some(rest) =
            ["Error response from daemon:", "ErrImagePull:"].iter().find_map(|head| rest.strip_prefix(head))
        {
            rest
        } else {
            return rest;
        };
        rest = next.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, happenings, pod};
    use super::*;

    #[test]
    fn c115_the_registrys_own_words_are_found_in_either_kind_of_message() {
        for (version, said) in [
            ("modern", "registry.example.com/team/flows:1.2: not found"),
            ("1.20", "manifest for registry.example.com/team/flows:1.2 not found: manifest unknown: manifest unknown"),
        ] {
            let events = happenings(&format!("{version}/events-image.json"));
            for status in ["failing", "back-off"] {
                let pod = pod(&format!("{version}/pod-image-{status}.json"));
                let failed = failed_pull(&pod, &events).unwrap();
                assert_eq!((failed.cause, failed.said.as_str()), (PullCause::NotFound, said), "{version} {status}");
                assert_eq!(failed.since, Some(at("00:10")), "{version} {status}");
            }
        }
        let unsaid = pod("1.20/pod-image-back-off.json");
        let unsaid = failed_pull(&unsaid, &[]).unwrap();
        assert_eq!((unsaid.cause, unsaid.said.as_str(), unsaid.since), (PullCause::Unsaid, "", None));
    }

    #[test]
    fn only_what_no_waiting_mends_is_definite() {
        let of = |said: &str| PullCause::of("ErrImagePull", said);
        for (said, cause) in [
            ("pull access denied for x, repository does not exist or may require 'docker login'", PullCause::NotFound),
            ("no match for platform in manifest: not found", PullCause::Platform),
            ("dial tcp: lookup registry.example.com on 10.0.0.2:53: no such host", PullCause::Unreachable),
            ("Head \"https://x/v2/\": dial tcp 10.1.2.3:443: i/o timeout", PullCause::Unreachable),
            ("x509: certificate signed by unknown authority", PullCause::Certificate),
            ("toomanyrequests: You have reached your pull rate limit", PullCause::RateLimited),
            ("pull QPS exceeded", PullCause::RateLimited),
            ("unexpected status: 403 Forbidden", PullCause::Denied),
            ("error getting credentials - exec: \"helper\": executable file not found in $PATH", PullCause::Other),
            ("unexpected EOF", PullCause::Other),
        ] {
            assert_eq!(of(said), cause, "{said}");
        }
        assert!(PullCause::NotFound.is_definite() && PullCause::Platform.is_definite());
        assert!(
            !PullCause::Denied.is_definite()
                && !PullCause::Unreachable.is_definite()
                && !PullCause::Unsaid.is_definite()
        );
    }
}
