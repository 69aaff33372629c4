//! Hiding of secrets in what is shown of a value.

use url::Url;

/// What stands in place of a secret.
pub(crate) const MASK: &str = "********";

/// The text with the password of a URL masked, if it is a URL with one.
///
/// Text with `:` and `@` that is no URL may be one written wrongly, with a password all the same: all before the `@` is masked.
pub(crate) fn url_password(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            // Refused only for URLs that cannot have a password.
            if url.set_password(Some(MASK)).is_err() {
                return MASK.to_owned();
            }
            url.to_string()
        }
        Ok(url) if url.has_host() => text.to_owned(),
        Ok(_) | Err(_) => match text.rsplit_once('@') {
            Some((before, after)) if before.contains(':') => format!("{MASK}@{after}"),
            _ => text.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_is_hidden() {
        let cases = [
            ("http://h:4200/api", "http://h:4200/api"),
            ("http://u:p4ss@h/api", "http://u:********@h/api"),
            ("redis://:p4ss@h:6379/0", "redis://:********@h:6379/0"),
            ("u:p4ss@h/api", "********@h/api"),
            ("/srv/a@b/c", "/srv/a@b/c"),
            ("plain", "plain"),
        ];
        for (text, shown) in cases {
            assert_eq!(url_password(text), shown);
        }
    }
}
