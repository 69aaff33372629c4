//! Images and their patterns, in one spelling: `python` is `docker.io/library/python:latest`.

use super::pattern::Pattern;

const DEFAULT_REGISTRY: &str = "docker.io";
const DEFAULT_TAG: &str = "latest";

/// Whether a pattern fits an image: its name, its name with the tag, with the digest, or with both.
pub(super) fn matches(pattern: &Pattern, image: &str) -> bool {
    let pattern = Pattern::new(with_registry(pattern.as_str()));
    forms(image).iter().any(|form| pattern.matches(form))
}

/// Whether an image is named by its digest, so that nobody can put another one in its place.
pub(super) fn is_pinned(image: &str) -> bool {
    let digest = image.split_once('@').map_or(image, |(_, digest)| digest);
    digest
        .strip_prefix("sha256:")
        .is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn forms(image: &str) -> Vec<String> {
    // An id names no repository.
    if is_pinned(image) && !image.contains('@') {
        return vec![image.to_owned()];
    }
    let image = with_registry(image);
    let (rest, digest) = image.split_once('@').map_or((image.as_str(), None), |(rest, digest)| (rest, Some(digest)));
    let after_path = rest.rfind('/').unwrap_or(0);
    let colon = rest.get(after_path..).and_then(|last| last.find(':')).map(|at| after_path + at);
    let (name, tag) = match colon.and_then(|colon| Some((rest.get(..colon)?, rest.get(colon + 1..)?))) {
        Some((name, tag)) => (name, Some(tag)),
        None => (rest, None),
    };
    let mut forms = vec![name.to_owned()];
    match (tag, digest) {
        (tag, None) => forms.push(format!("{name}:{}", tag.unwrap_or(DEFAULT_TAG))),
        (None, Some(digest)) => forms.push(format!("{name}@{digest}")),
        (Some(tag), Some(digest)) => {
            // What is pulled is the digest; the tag beside it says nothing, so it allows nothing.
            forms.push(format!("{name}@{digest}"));
            forms.push(format!("{name}:{tag}@{digest}"));
        }
    }
    forms
}

/// With the registry that engines take where none is written, and in the case that they read it in.
fn with_registry(name: &str) -> String {
    let (first, rest) = name.split_once('/').unwrap_or(("", name));
    if first.contains('*') || (first.is_empty() && rest.starts_with('*')) {
        return name.to_owned();
    }
    let is_registry = first.contains(['.', ':']) || first == "localhost" || first.chars().any(char::is_uppercase);
    if is_registry {
        let first = first.to_ascii_lowercase();
        let registry = if first == "index.docker.io" { DEFAULT_REGISTRY } else { &first };
        let of_nobody = registry == DEFAULT_REGISTRY && !rest.contains('/') && !rest.starts_with('*');
        return if of_nobody { format!("{registry}/library/{rest}") } else { format!("{registry}/{rest}") };
    }
    if first.is_empty() { format!("{DEFAULT_REGISTRY}/library/{rest}") } else { format!("{DEFAULT_REGISTRY}/{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn one_image_has_one_name_however_it_is_written() {
        let pinned = format!("r.test/a:v1@{DIGEST}");
        for (pattern, image, expected) in [
            ("python", "python", true),
            ("python", "docker.io/library/python:3.12", true),
            ("python:3.12", "index.docker.io/python:3.12", true),
            ("python:3.12", "python", false),
            ("python", "evil/python", false),
            ("prefecthq/*", "docker.io/prefecthq/prefect:3", true),
            ("prefecthq/*", "quay.io/prefecthq/prefect:3", false),
            ("R.test/*", "r.test/a", true),
            ("r.test/*", "r.test.evil.test/a", false),
            ("r.test:5000/a", "r.test:5000/a:x", true),
            ("*:latest", "r.test/a", true),
            ("*:latest", "r.test/a:v1", false),
            ("r.test/a:v1", &pinned, false),
            ("r.test/a", &pinned, true),
            (&format!("r.test/a@{DIGEST}"), &pinned, true),
            ("python", DIGEST, false),
            (DIGEST, DIGEST, false),
            ("*", DIGEST, true),
        ] {
            assert_eq!(matches(&Pattern::new(pattern), image), expected, "{pattern} {image}");
        }
    }

    #[test]
    fn only_a_whole_digest_pins() {
        assert!(is_pinned(DIGEST) && is_pinned(&format!("a@{DIGEST}")));
        assert!(!is_pinned("a") && !is_pinned("a@sha256:12") && !is_pinned("a:sha256"));
    }
}
