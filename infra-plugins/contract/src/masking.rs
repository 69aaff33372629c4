//! Which values are secrets, by the name or the look of a variable.

use std::collections::BTreeMap;

use worker_core::redaction::{MASK, Redactor};

/// Settings of Prefect that are secret although their names hold none of the telling words.
const SECRET_NAMES: [&str; 2] = ["PREFECT_API_AUTH_STRING", "PREFECT_CLIENT_CUSTOM_HEADERS"];

/// Words in the name of a variable that tell a secret.
const SECRET_WORDS: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL"];

/// What the name of a variable ends with that holds a password (`MYSQL_PWD`), and the two of the shell that end so too and
/// hold directories.
const PASSWORD_ENDING: &str = "PWD";
const DIRECTORY_NAMES: [&str; 2] = ["PWD", "OLDPWD"];

/// Shorter values are not looked for in texts: they occur by chance.
const SHORTEST_SOUGHT: usize = 6;

/// A variable's value as it may be shown.
pub fn shown<'v>(name: &str, value: &'v str) -> &'v str {
    if is_secret(name, value) { MASK } else { value }
}

/// A text of the run without the values of its secret variables.
pub fn without_secrets(text: &str, environment: &BTreeMap<String, String>) -> String {
    without(text, environment.iter().filter(|(name, value)| is_secret(name, value)).map(|(_, value)| value.as_str()))
}

/// A text without these secrets, and without the passwords of those that are URLs.
pub fn without<'s>(text: &str, secrets: impl IntoIterator<Item = &'s str>) -> String {
    let sought = secrets.into_iter().flat_map(|secret| [secret].into_iter().chain(password_in_url(secret)));
    Redactor::new(sought, SHORTEST_SOUGHT).redact(text).into_owned()
}

/// Whether a variable's value is a secret.
pub fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    SECRET_NAMES.contains(&name.as_str())
        || SECRET_WORDS.iter().any(|word| name.contains(word))
        || (name.ends_with(PASSWORD_ENDING) && !DIRECTORY_NAMES.contains(&name.as_str()))
        || password_in_url(value).is_some()
}

/// The password in a URL such as `postgres://user:password@host`.
pub fn password_in_url(value: &str) -> Option<&str> {
    let (_, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    Some(user.split_once(':')?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_told_by_their_names() {
        for name in ["PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_CLIENT_CUSTOM_HEADERS", "my_db_password"] {
            assert_eq!(shown(name, "value"), "***", "{name}");
        }
        for name in ["DB_PASS", "PASSWD", "SSH_PASSPHRASE", "PGPASSWORD", "MYSQL_PWD", "dbpwd"] {
            assert_eq!(shown(name, "value"), "***", "{name}");
        }
        for name in ["PWD", "OLDPWD"] {
            assert_eq!(shown(name, "/srv/flows"), "/srv/flows", "{name}");
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

    #[test]
    fn texts_lose_the_password_of_a_url_and_the_lines_of_a_key() {
        let environment = BTreeMap::from([
            ("DATABASE".to_owned(), "postgres://me:hunter22@db/x".to_owned()),
            ("SIGNING_KEY".to_owned(), "-----BEGIN-----\nMIIEvQIBADANBgkqhkiG\n".to_owned()),
        ]);
        let text = without_secrets("no login with hunter22 or MIIEvQIBADANBgkqhkiG", &environment);
        assert_eq!(text, "no login with *** or ***");
    }
}
