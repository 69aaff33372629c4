//! The name of a container, and the names of its labels.

use std::collections::{BTreeMap, HashMap};

use deunicode::deunicode;

/// The longest name that is asked for; a suffix that makes it unique still fits.
const LONGEST_NAME: usize = 250;

/// A name that the engine accepts, as Prefect's Docker worker makes it; `None` leaves the choice to the engine.
pub(crate) fn container_name(name: &str) -> Option<String> {
    let mut slug = String::new();
    for character in deunicode(name).chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-') {
            slug.push(character);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_start_matches(['_', '-', '.']).trim_end_matches('-');
    let name: String = slug.chars().take(LONGEST_NAME).collect();
    (!name.is_empty()).then_some(name)
}

/// Labels as Docker wants their names: `prefect.io/flow-run-id` becomes `io.prefect.flow-run-id`.
pub(crate) fn labels(labels: &BTreeMap<String, String>) -> HashMap<String, String> {
    labels.iter().map(|(name, value)| (label_name(name), value.clone())).collect()
}

fn label_name(name: &str) -> String {
    let Some((domain, rest)) = name.split_once('/') else { return name.to_owned() };
    let mut parts: Vec<&str> = domain.split('.').collect();
    parts.reverse();
    parts.push(rest);
    parts.join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c090_names_keep_what_docker_allows_and_their_case() {
        for (name, expected) in [
            ("My Name!", Some("My-Name")),
            ("cute-crab", Some("cute-crab")),
            ("a_b.c-d", Some("a_b.c-d")),
            ("--..__x", Some("x")),
            ("flow  (2)", Some("flow-2")),
            ("größe", Some("grosse")),
            ("!!!", None),
            ("", None),
        ] {
            assert_eq!(container_name(name).as_deref(), expected, "{name}");
        }
        assert_eq!(container_name(&"x".repeat(300)).unwrap().len(), 250);
    }

    #[test]
    fn c093_label_names_are_reversed() {
        for (name, expected) in [
            ("prefect.io/flow-run-id", "io.prefect.flow-run-id"),
            ("a/b", "a.b"),
            ("a.b.c/d/e", "c.b.a.d/e"),
            ("plain", "plain"),
        ] {
            assert_eq!(label_name(name), expected);
        }
    }
}
