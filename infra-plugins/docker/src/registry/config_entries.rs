//! What the Docker command's configuration says of a registry.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::auth::DockerCredentials;
use serde_json::{Map, Value};

use super::hosts;

/// An entry that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The credential helper that knows a registry, without what all their names begin with.
pub(super) fn credential_helper<'c>(config: &'c Map<String, Value>, registry: &str) -> Option<&'c str> {
    let own = config.get("credHelpers").and_then(|helpers| entry(helpers, registry));
    // An empty name of its own keeps a registry from the common helper.
    own.or_else(|| config.get("credsStore")).and_then(Value::as_str).filter(|name| !name.is_empty())
}

/// The credentials that are in the configuration itself.
pub(super) fn credentials(
    config: &Map<String, Value>,
    registry: &str,
) -> Result<Option<DockerCredentials>, Unreadable> {
    let Some(entry) = config.get("auths").and_then(|auths| entry(auths, registry)) else { return Ok(None) };
    let text = |name| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let (username, password) = match text("auth") {
        Some(auth) => user_and_password(&auth).map(|(user, password)| (Some(user), Some(password)))?,
        None => (text("username"), text("password")),
    };
    let identitytoken = text("identitytoken");
    let is_something = identitytoken.is_some() || (username.is_some() && password.is_some());
    Ok(is_something.then(|| DockerCredentials {
        username,
        password: password.filter(|_| identitytoken.is_none()),
        identitytoken,
        serveraddress: Some(hosts::server_of(registry)),
        ..DockerCredentials::default()
    }))
}

/// The entry of a registry: of its usual name, else of one that means the same.
fn entry<'c>(entries: &'c Value, registry: &str) -> Option<&'c Value> {
    let entries = entries.as_object()?;
    let usual = entries.get(&hosts::server_of(registry)).or_else(|| entries.get(registry));
    let host = hosts::host_of(registry);
    usual.or_else(|| entries.iter().find(|(key, _)| hosts::host_of(key) == host).map(|(_, entry)| entry))
}

fn user_and_password(auth: &str) -> Result<(String, String), Unreadable> {
    let decoded = STANDARD.decode(auth.trim()).map_err(|_| Unreadable)?;
    let decoded = String::from_utf8(decoded).map_err(|_| Unreadable)?;
    let (user, password) = decoded.split_once(':').ok_or(Unreadable)?;
    // Old versions of Docker padded it.
    Ok((user.to_owned(), password.trim_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(config: Value) -> Map<String, Value> {
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn a_registrys_own_helper_goes_before_the_common_one() {
        let helpers = json!({"r:5000": "own", "https://index.docker.io/v1/": "hub", "https://none/": ""});
        let both = config(json!({"credsStore": "common", "credHelpers": helpers}));
        for (registry, helper) in
            [("r:5000", Some("own")), ("docker.io", Some("hub")), ("none", None), ("other", Some("common"))]
        {
            assert_eq!(credential_helper(&both, registry), helper, "{registry}");
        }
        assert_eq!(credential_helper(&config(json!({"credsStore": 1, "credHelpers": []})), "r"), None);
    }

    #[test]
    fn entries_are_found_by_any_name_of_their_registry() {
        let auth = json!({"auth": STANDARD.encode("me:pass:word\0\0")});
        for (key, registry) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
            ("https://r:5000/", "r:5000"),
            ("r:5000/v2", "r:5000"),
        ] {
            let found = credentials(&config(json!({"auths": {key: auth}})), registry).unwrap().unwrap();
            assert_eq!(
                (found.username.as_deref(), found.password.as_deref()),
                (Some("me"), Some("pass:word")),
                "{key}"
            );
            assert_eq!(found.serveraddress, Some(hosts::server_of(registry)));
        }
        let exact_first = json!({"auths": {"https://r/": {"auth": "bm8="}, "r": auth}});
        assert!(credentials(&config(exact_first), "r").unwrap().is_some());
    }

    #[test]
    fn an_entry_holds_a_password_or_a_token_or_nothing() {
        let of = |entry: Value| credentials(&config(json!({"auths": {"r": entry}})), "r");
        let plain = of(json!({"username": "me", "password": "pw"})).unwrap().unwrap();
        assert_eq!((plain.username.as_deref(), plain.password.as_deref()), (Some("me"), Some("pw")));
        let token = of(json!({"auth": STANDARD.encode("0000:"), "identitytoken": "tok"})).unwrap().unwrap();
        assert_eq!((token.password, token.identitytoken.as_deref()), (None, Some("tok")));
        for nothing in [json!({}), json!({"username": "me"}), json!("x"), json!({"auth": ""})] {
            assert_eq!(of(nothing), Ok(None));
        }
        for unreadable in ["%", "bm8=", "/w=="] {
            assert_eq!(of(json!({"auth": unreadable})), Err(Unreadable), "{unreadable}");
        }
    }
}
