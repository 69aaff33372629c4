//! Which values are secrets, by the name or the look of a variable.

use std::collections::BTreeMap;

/// What is shown instead of a secret.
const MASK: &str = "***";

/// Settings of Prefect that are secret although their names hold none of the telling words.
const SECRET_NAMES: [&str; 2] = ["PREFECT_API_AUTH_STRING", "PREFECT_CLIENT_CUSTOM_HEADERS"];

/// Words in the name of a variable that tell a secret.
const SECRET_WORDS: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];

/// Shorter values are not looked for in texts: they occur by chance.
const SHORTEST_SOUGHT: usize = 6;

/// A variable's value as it may be shown.
pub(crate) fn shown<'v>(name: &str, value: &'v str) -> &'v str {
    if is_secret(name, value) { MASK } else { value }
}

/// A text of the run without the values of its secret variables.
pub(crate) fn without_secrets(text: &str, environment: &BTreeMap<String, String>) -> String {
    let secrets = environment.iter().filter(|(name, value)| value.len() >= SHORTEST_SOUGHT && is_secret(name, value));
    secrets.fold(text.to_owned(), |text, (_, value)| text.replace(value.as_str(), MASK))
}

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_NAMES.contains(&name.as_str())
        || SECRET_WORDS.iter().any(|word| name.contains(word))
        || has_password_in_url(value)
}

/// Whether a value is a URL such as `postgres://user:password@host`.
fn has_password_in_url(value: &str) -> bool {
    let Some((_, rest)) = value.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_their_names() {
        for name in ["PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_CLIENT_CUSTOM_HEADERS", "my_db_password"] {
            assert_eq!(shown(name, "value"), "***", "{name}");
        }
        assert_eq!(shown("PREFECT_API_URL", "http://127.0.0.1:4200/api"), "http://127.0.0.1:4200/api");
    }

    #[test]
    fn a_password_in_a_url_is_a_secret_under_any_name() {
        assert_eq!(shown("DATABASE", "postgres://me:hunter2@db/x"), "***");
        assert_eq!(shown("DATABASE", "postgres://me@db/x?mail=a:b@c"), "postgres://me@db/x?mail=a:b@c");
    }

    #[test]
    fn texts_lose_the_values_of_secrets_but_not_every_short_word() {
        let environment = BTreeMap::from([
            ("API_TOKEN".to_owned(), "abcdef123".to_owned()),
            ("OTHER_KEY".to_owned(), "a".to_owned()),
        ]);
        assert_eq!(without_secrets("bad token abcdef123", &environment), "bad token ***");
    }
}
