use serde_json::{Value, json};

use super::{Login, Repository};

const GITHUB: &str = "https://github.com/o/r.git";
const GITLAB: &str = "https://gitlab.example.com:8443/o/r.git";
const BITBUCKET: &str = "https://bitbucket.org/o/r.git";
const BITBUCKET_SERVER: &str = "https://bitbucketserver.example.com/scm/o/r.git";
const AZURE: &str = "https://dev.azure.com/o/p/_git/r";

fn repository(text: &str) -> Repository {
    Repository::parse(text).unwrap().0
}

fn of_credentials(text: &str, credentials: &Value) -> Result<Option<Login>, &'static str> {
    Login::of_credentials(&repository(text), credentials.as_object().unwrap())
}

fn pair(login: &Login) -> (&str, &str) {
    (login.username(), login.secret())
}

#[test]
fn an_access_token_is_sent_in_the_form_that_each_host_wants() {
    for (text, token, username, secret) in [
        (GITHUB, "t0k", "t0k", ""),
        (GITHUB, "x-access-token:t0k", "x-access-token", "t0k"),
        (AZURE, "t0k", "t0k", ""),
        (GITLAB, "t0k", "oauth2", "t0k"),
        (GITLAB, "oauth2:t0k", "oauth2", "t0k"),
        (GITLAB, "deploy-user:t0k", "deploy-user", "t0k"),
        (GITLAB, "deploy-user:t0k:with:colons", "deploy-user", "t0k:with:colons"),
        (BITBUCKET, "t0k", "x-token-auth", "t0k"),
        (BITBUCKET, "x-token-auth:t0k", "x-token-auth", "t0k"),
        (BITBUCKET, "me:t0k", "me", "t0k"),
        (BITBUCKET_SERVER, "me:t0k", "me", "t0k"),
        (BITBUCKET_SERVER, "t0k", "x-token-auth", "t0k"),
    ] {
        assert_eq!(pair(&Login::of_access_token(&repository(text), token)), (username, secret), "{text} {token}");
    }
}

#[test]
fn credentials_with_a_user_name_are_sent_as_they_are() {
    for text in [GITHUB, GITLAB, BITBUCKET, BITBUCKET_SERVER, AZURE] {
        for key in ["access_token", "token", "password"] {
            let login = of_credentials(text, &json!({"username": "me", key: "t0:k@"})).unwrap().unwrap();
            assert_eq!(pair(&login), ("me", "t0:k@"), "{text} {key}");
        }
    }
}

#[test]
fn the_blocks_of_each_host_are_read() {
    for (text, block, username, secret) in [
        (GITHUB, json!({"token": "t0k"}), "t0k", ""),
        (GITLAB, json!({"token": "t0k", "url": "https://gitlab.example.com"}), "oauth2", "t0k"),
        (GITLAB, json!({"token": "deploy:t0k", "username": null}), "deploy", "t0k"),
        (
            BITBUCKET,
            json!({"token": "t0k", "username": null, "password": null, "url": "https://x/"}),
            "x-token-auth",
            "t0k",
        ),
        (BITBUCKET, json!({"token": null, "username": "me", "password": "p"}), "me", "p"),
        (BITBUCKET_SERVER, json!({"token": "t0k", "username": "me", "password": null}), "me", "t0k"),
        (BITBUCKET_SERVER, json!({"token": "me:t0k"}), "me", "t0k"),
        (AZURE, json!({"token": "t0k"}), "t0k", ""),
        (GITHUB, json!({"password": "c", "token": "b", "access_token": "a"}), "a", ""),
        (GITHUB, json!({"password": "c", "token": "b", "access_token": ""}), "b", ""),
    ] {
        let login = of_credentials(text, &block).unwrap().unwrap();
        assert_eq!(pair(&login), (username, secret), "{text} {block}");
    }
}

#[test]
fn credentials_that_the_sdk_refuses_are_refused() {
    for (text, credentials) in [
        (GITHUB, json!({"username": "me"})),
        (GITHUB, json!({"token": ""})),
        (GITHUB, json!({"url": "https://github.com"})),
        (GITHUB, json!({"token": 3})),
        (GITHUB, json!({"token": "t0k\nhost=evil.test"})),
        (BITBUCKET_SERVER, json!({"token": "s3cret"})),
    ] {
        let refused = of_credentials(text, &credentials).unwrap_err();
        assert!(!refused.contains("s3cret"));
    }
    assert_eq!(of_credentials(GITHUB, &json!({})), Ok(None));
}

#[test]
fn a_token_is_for_the_repositorys_own_site_and_only_over_https() {
    for (text, site) in [
        (GITHUB, Some("https://github.com")),
        (GITLAB, Some("https://gitlab.example.com:8443")),
        ("https://H.test:443/r", Some("https://h.test")),
        ("https://[::1]:8443/r", Some("https://[::1]:8443")),
        ("http://h.test/r", None),
        ("ssh://git@h.test/r", None),
        ("git@h.test:o/r", None),
        ("/srv/r", None),
    ] {
        assert_eq!(Login::of_access_token(&repository(text), "t0k").site(), site, "{text}");
    }
    let (_, login) = Repository::parse("http://me:s3cret@h.test:8080/r").unwrap();
    assert_eq!(login.unwrap().site(), Some("http://h.test:8080"), "what the URL itself says is done");
}

#[test]
fn no_form_of_the_secret_is_shown() {
    let login = of_credentials(GITHUB, &json!({"username": "me", "token": "s3/cr et@"})).unwrap().unwrap();
    assert!(!format!("{login:?}").contains("s3"), "{login:?}");
    for form in ["s3/cr et@", "s3%2Fcr%20et%40", "bWU6czMvY3IgZXRA", "czMvY3IgZXRA"] {
        assert_eq!(login.mask(&format!("a {form} b")), "a *** b");
    }
    let bare = Login::of_access_token(&repository(GITHUB), "ghp_s3cret");
    assert_eq!(bare.mask("https://ghp_s3cret@h.test Z2hwX3MzY3JldDo="), "https://***@h.test ***");
    assert!(!format!("{bare:?}").contains("s3cret"));
    assert!(!Login::of_access_token(&repository(GITHUB), "t0k\n").fits_a_line());
}
