//! The secrets that this process has come to know, and the edge at which texts lose them.
//!
//! Whoever resolves a secret says so here ([`KnownSecrets::learn`]). The edge is where text leaves the process: its own log
//! (`console::LogWriter`) and what is told to the API (`control_plane::RemoteControlPlane`: lines of logs, messages of states,
//! events, labels). What flows print is not touched on its way to standard output: it is theirs, and Prefect's worker does not
//! touch it either.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use infra_contract::masking::{is_secret, password_in_url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use worker_core::redaction::Redactor;

/// Shorter texts occur by chance: with `prefect` for a password no line could be read any more.
const SHORTEST: usize = 8;
/// So many are remembered, those learned last: finding them takes memory, a few KiB each.
const MOST: usize = 256;

/// The secrets of a process. Clones share them.
#[derive(Clone, Default)]
pub struct KnownSecrets(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: Mutex<Known>,
    redactor: RwLock<Redactor>,
}

#[derive(Default)]
struct Known {
    texts: HashSet<String>,
    /// Oldest first.
    order: VecDeque<String>,
}

impl fmt::Debug for KnownSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KnownSecrets").finish_non_exhaustive()
    }
}

impl KnownSecrets {
    /// These are secrets from now on. What is known already, or too short, costs nothing.
    pub fn learn<'s>(&self, secrets: impl IntoIterator<Item = &'s str>) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_news = false;
        for secret in secrets.into_iter().filter(|secret| secret.len() >= SHORTEST) {
            if known.texts.insert(secret.to_owned()) {
                known.order.push_back(secret.to_owned());
                is_news = true;
            }
        }
        while known.order.len() > MOST
            && let Some(oldest) = known.order.pop_front()
        {
            known.texts.remove(&oldest);
        }
        if is_news {
            let redactor = Redactor::new(known.texts.iter().map(String::as_str), SHORTEST);
            *self.0.redactor.write().unwrap_or_else(PoisonError::into_inner) = redactor;
        }
    }

    /// The values of variables that are secret by their names, and passwords in those that are URLs.
    pub fn learn_variables<'v>(&self, variables: impl IntoIterator<Item = (&'v String, &'v String)>) {
        let secret = variables.into_iter().filter(|(name, value)| is_secret(name, value));
        self.learn(secret.flat_map(|(_, value)| match password_in_url(value) {
            // The URL itself may well be shown.
            Some(password) => vec![password],
            None => vec![value.as_str()],
        }));
    }

    /// The texts that are secret by the names of their keys, in something written by people. Placeholders are none.
    pub fn learn_named(&self, value: &Value) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.learn_named(item)),
            Value::Object(entries) => {
                for (name, value) in entries {
                    if let Some(text) = value.as_str()
                        && is_secret(name, text)
                        && !text.contains("{{")
                    {
                        self.learn([text]);
                    }
                    self.learn_named(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// A text as it may leave the process.
    pub fn redact(&self, text: String) -> String {
        let redacted = match self.redactor().redact(&text) {
            std::borrow::Cow::Borrowed(_) => None,
            std::borrow::Cow::Owned(redacted) => Some(redacted),
        };
        redacted.unwrap_or(text)
    }

    /// Something that is sent as JSON, as it may leave the process. `None` if a secret is where nothing can stand in its place.
    pub fn redact_json<T: Serialize + DeserializeOwned>(&self, value: T) -> Option<T> {
        let json = serde_json::to_string(&value).ok()?;
        match self.redactor().redact(&json) {
            std::borrow::Cow::Borrowed(_) => Some(value),
            std::borrow::Cow::Owned(redacted) => serde_json::from_str(&redacted).ok(),
        }
    }

    fn redactor(&self) -> Redactor {
        self.0.redactor.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_learned_is_gone_from_texts_and_json() {
        let secrets = KnownSecrets::default();
        secrets.learn(["pnu_0123456789", "short"]);
        assert_eq!(secrets.redact("key pnu_0123456789, short".to_owned()), "key ***, short");
        let json = json!({"message": "bad pnu_0123456789", "n": 1});
        assert_eq!(secrets.redact_json(json), Some(json!({"message": "bad ***", "n": 1})));
    }

    #[test]
    fn variables_are_secret_by_their_names_or_for_a_password_in_a_url() {
        let secrets = KnownSecrets::default();
        let variables = BTreeMap::from([
            ("DEPLOY_TOKEN".to_owned(), "0123456789".to_owned()),
            ("DATABASE".to_owned(), "postgres://me:hunter2hunter2@db/x".to_owned()),
            ("REGION".to_owned(), "eu-central-1".to_owned()),
        ]);
        secrets.learn_variables(&variables);
        let text = "0123456789 at postgres://me:hunter2hunter2@db/x in eu-central-1";
        assert_eq!(secrets.redact(text.to_owned()), "*** at postgres://me:***@db/x in eu-central-1");
    }

    #[test]
    fn tokens_that_people_write_into_pull_steps_are_secrets_and_placeholders_are_none() {
        let secrets = KnownSecrets::default();
        let steps = json!([{"prefect.deployments.steps.git_clone": {
            "repository": "https://example.com/r.git", "access_token": "ghp_0123456789", "token": "{{ prefect.blocks.secret.t }}",
        }}]);
        secrets.learn_named(&steps);
        let text = "https://example.com/r.git ghp_0123456789 {{ prefect.blocks.secret.t }}";
        assert_eq!(secrets.redact(text.to_owned()), text.replace("ghp_0123456789", "***"));
    }

    #[test]
    fn the_oldest_of_too_many_are_forgotten() {
        let secrets = KnownSecrets::default();
        let many: Vec<String> = (0..=MOST).map(|number| format!("secret-number-{number:04}")).collect();
        secrets.learn(many.iter().map(String::as_str));
        assert_eq!(secrets.redact(many[0].clone()), many[0]);
        assert_eq!(secrets.redact(many[MOST].clone()), "***");
    }
}
