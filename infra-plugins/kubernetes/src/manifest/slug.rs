//! Names as Kubernetes allows them, made as Prefect (python-slugify) makes them.

use sha2::{Digest as _, Sha256};
use worker_core::slug::in_ascii;

/// The longest beginning of a Job's name; what makes the name unique still fits.
const LONGEST_NAME: usize = 45;
const LONGEST_LABEL: usize = 63;
const LONGEST_PREFIX: usize = 253;

/// The beginning of a Job's name; empty if nothing is left.
pub(crate) fn name(text: &str) -> String {
    slug(&in_ascii(text).to_ascii_lowercase(), "-", LONGEST_NAME)
}

/// The key of a label or annotation, with its prefix if it has one; `None` if nothing is left.
pub(crate) fn key(text: &str) -> Option<String> {
    let (prefix, rest) = match text.split_once('/') {
        Some((prefix, rest)) => (Some(prefix), rest),
        None => (None, text),
    };
    let rest = trimmed(&slug(&in_ascii(rest), "-_.", LONGEST_LABEL)).to_owned();
    if rest.is_empty() {
        return None;
    }
    let prefix = prefix.map(|prefix| slug(&in_ascii(prefix).to_ascii_lowercase(), "-.", LONGEST_PREFIX));
    match prefix.as_deref().map(trimmed).filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => Some(format!("{prefix}/{rest}")),
        None => Some(rest),
    }
}

/// The value of a label; empty, which Kubernetes allows, if nothing is left.
pub(crate) fn value(text: &str) -> String {
    trimmed(&slug(&in_ascii(text), "-_.", LONGEST_LABEL)).to_owned()
}

/// What tells a text from others where the text itself is no name: the first bytes of its hash, in hexadecimal.
pub(crate) fn digest(text: &str, bytes: usize) -> String {
    Sha256::digest(text).iter().take(bytes).fold(String::new(), |all, byte| format!("{all}{byte:02x}"))
}

/// Letters and digits must be at both ends.
fn trimmed(slug: &str) -> &str {
    slug.trim_matches(['_', '-', '.'])
}

/// Everything but letters, digits and `kept` becomes a dash, and several dashes one.
fn slug(ascii: &str, kept: &str, longest: usize) -> String {
    let mut slug = String::with_capacity(ascii.len());
    for character in ascii.chars() {
        if character != '-' && (character.is_ascii_alphanumeric() || kept.contains(character)) {
            slug.push(character);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug: String = slug.trim_matches('-').chars().take(longest).collect();
    slug.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c104_names_are_lower_case_labels() {
        for (text, expected) in [
            ("My Job_1", "my-job-1"),
            ("cute-crab", "cute-crab"),
            ("--x--", "x"),
            ("größe/2", "grosse-2"),
            ("a–b", "a-b"),
            ("1,000", "1000"),
            ("don't", "don-t"),
            ("😀", ""),
            ("", ""),
        ] {
            assert_eq!(name(text), expected, "{text}");
        }
        assert_eq!(name(&"x".repeat(300)).len(), 45);
        assert_eq!(name(&format!("{}-y", "x".repeat(44))), "x".repeat(44), "cut at a dash");
    }

    #[test]
    fn c104_label_keys_keep_their_case_and_prefix() {
        for (text, expected) in [
            ("prefect.io/flow-run-id", Some("prefect.io/flow-run-id")),
            ("a b/c d", Some("a-b/c-d")),
            ("Example.COM/Some Name", Some("example.com/Some-Name")),
            ("a/b/c", Some("a/b-c")),
            ("_x_", Some("x")),
            ("/x", Some("x")),
            ("a_b.c", Some("a_b.c")),
            ("!!!", None),
            ("a/!!!", None),
            ("", None),
        ] {
            assert_eq!(key(text).as_deref(), expected, "{text}");
        }
        assert_eq!(key(&"k".repeat(100)).unwrap().len(), 63);
        assert_eq!(key(&format!("{}/k", "p".repeat(300))).unwrap().len(), 255);
    }

    #[test]
    fn c104_label_values_keep_their_case_and_may_be_empty() {
        for (text, expected) in [
            ("v v!", "v-v"),
            ("My Worker", "My-Worker"),
            ("2026-11-21T01:59:57.802475+00:00", "2026-11-21T01-59-57.802475-00-00"),
            ("3.8.4.dev6", "3.8.4.dev6"),
            ("a--b", "a-b"),
            ("☃", ""),
        ] {
            assert_eq!(value(text), expected, "{text}");
        }
        assert_eq!(value(&"v".repeat(100)).len(), 63);
    }
}
