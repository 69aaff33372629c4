//! URLs that may be printed.

use url::Url;

/// The URL without user, password, query and fragment: all places where people put secrets.
pub fn redacted(url: &Url) -> String {
    let mut url = url.clone();
    // These fail only for URLs that have no host, and such URLs have no user either.
    let without_user = url.set_username("").and_then(|()| url.set_password(None)).is_ok();
    url.set_query(None);
    url.set_fragment(None);
    if without_user || url.host().is_none() { url.into() } else { format!("{}:...", url.scheme()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_a_url_are_not_printed() {
        let url = Url::parse("https://me:s3cret@host:8080/api?token=s3cret#s3cret").unwrap();
        assert_eq!(redacted(&url), "https://host:8080/api");
        assert_eq!(redacted(&Url::parse("http://host/api").unwrap()), "http://host/api");
    }
}
