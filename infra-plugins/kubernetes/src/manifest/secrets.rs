//! How secrets reach a pod without the Job showing them: in a Secret that belongs to the Job.

use std::collections::{BTreeMap, BTreeSet};

use infra_contract::masking;
use serde::{Deserialize, Serialize};
use worker_core::ids::LaunchKey;
use worker_core::job_configuration::{environment, labels};
use worker_core::spec::RunSpec;

use super::env::{Source, Variable};
use super::{references, slug};
use crate::plan_error::PlanError;
use crate::settings::{KubernetesSettings, Secrets};

const API_KEY: &str = "PREFECT_API_KEY";
const API_AUTH_STRING: &str = "PREFECT_API_AUTH_STRING";
/// The key in the Secret that all runs of a worker share.
pub(crate) const SHARED_KEY: &str = "value";

/// A Secret of one Job. Holds secrets, so there is no `Debug`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlannedSecret {
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// Its content: variables by their names.
    pub(crate) variables: BTreeMap<String, String>,
}

/// A Secret with the API key, for all runs of a worker in one namespace. Holds a secret, so there is no `Debug`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SharedSecret {
    pub(crate) name: String,
    /// What is kept under [`SHARED_KEY`].
    pub(crate) value: String,
}

/// An environment without secrets, and where these went.
pub(crate) struct Hidden {
    pub(crate) variables: Vec<Variable>,
    /// What the Secret of the Job holds.
    pub(crate) secret: BTreeMap<String, String>,
    /// Whether the pod takes all of the Secret, and not single variables.
    pub(crate) takes_all: bool,
    pub(crate) shared_api_key: Option<SharedSecret>,
    pub(crate) warnings: Vec<String>,
}

/// Name of the Secret of an execution. It follows from the execution alone: what a launch left that was cut short is found by it.
pub(crate) fn secret_name(key: &LaunchKey) -> String {
    let claim: String = key.claim.0.simple().to_string().chars().take(8).collect();
    format!("prefect-env-{}-{claim}", key.run)
}

/// Takes secrets out of an environment. What holds one of the `telling` texts is a secret too.
pub(crate) fn hide(
    settings: &KubernetesSettings,
    spec: &RunSpec,
    telling: &BTreeSet<&str>,
    variables: Vec<Variable>,
    secret_name: &str,
) -> Result<Hidden, PlanError> {
    let (variables, shared_api_key) = with_references(settings, spec, variables);
    let hidden = Hidden {
        variables: Vec::new(),
        secret: BTreeMap::new(),
        takes_all: false,
        shared_api_key,
        warnings: Vec::new(),
    };
    let hidden = if settings.store_env_as_secret {
        store_all(hidden, variables)
    } else {
        match settings.secrets {
            Secrets::Secret => store_secrets(hidden, telling, variables, secret_name),
            Secrets::Environment => store_none(hidden, variables),
        }
    };
    match hidden.secret.keys().find(|name| !is_key(name)) {
        Some(name) => Err(PlanError::SecretKey(name.clone())),
        None => Ok(hidden),
    }
}

/// The worker's own credentials come from Secrets where the settings say so.
fn with_references(
    settings: &KubernetesSettings,
    spec: &RunSpec,
    variables: Vec<Variable>,
) -> (Vec<Variable>, Option<SharedSecret>) {
    let mut shared = None;
    let referring = variables.into_iter().map(|variable| {
        let secret = match variable.name.as_str() {
            API_KEY => settings.api_key_secret.as_ref(),
            API_AUTH_STRING => settings.api_auth_string_secret.as_ref(),
            _ => None,
        };
        match (&variable.source, secret) {
            (_, Some(secret)) => Variable::of_secret(variable.name, &secret.name, &secret.key),
            (Source::Plain(value), None) if variable.name == API_KEY && settings.create_secret_for_api_key => {
                let name = shared_name(spec);
                let reference = Variable::of_secret(API_KEY, &name, SHARED_KEY);
                shared = Some(SharedSecret { name, value: value.clone() });
                reference
            }
            (_, None) => variable,
        }
    });
    (referring.collect(), shared)
}

fn shared_name(spec: &RunSpec) -> String {
    let worker = spec.env.get(environment::WORKER_NAME).or_else(|| spec.labels.get(labels::WORKER_NAME));
    let slug = worker.map(|worker| slug::name(worker)).filter(|slug| !slug.is_empty());
    format!("prefect-{}-api-key", slug.unwrap_or_else(|| "worker".to_owned()))
}

/// As Prefect does it: as they are, so that Kubernetes no longer replaces references.
fn store_all(mut hidden: Hidden, variables: Vec<Variable>) -> Hidden {
    for Variable { name, source } in variables {
        match source {
            Source::Plain(value) => {
                if !references::names(&value).is_empty() {
                    hidden.warnings.push(format!(
                        "environment variable `{name}` refers to others by `$(NAME)`, which Kubernetes leaves as it is in \
                         a Secret"
                    ));
                }
                hidden.secret.insert(name, value);
            }
            Source::Elsewhere(_) => hidden.variables.push(Variable { name, source }),
        }
    }
    hidden.takes_all = !hidden.secret.is_empty();
    hidden
}

fn store_none(mut hidden: Hidden, variables: Vec<Variable>) -> Hidden {
    let in_plain =
        |variable: &Variable| variable.name == API_AUTH_STRING && matches!(variable.source, Source::Plain(_));
    if variables.iter().any(in_plain) {
        hidden.warnings.push(format!(
            "{API_AUTH_STRING} is a plain environment variable of the Job: everyone who may read Jobs in its namespace can \
             read it"
        ));
    }
    hidden.variables = variables;
    hidden
}

/// Kubernetes does not replace references in what comes from a Secret, so they are replaced before.
fn store_secrets(mut hidden: Hidden, telling: &BTreeSet<&str>, variables: Vec<Variable>, secret_name: &str) -> Hidden {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for Variable { name, source } in variables {
        let Source::Plain(value) = source else {
            hidden.variables.push(Variable { name, source });
            continue;
        };
        let expanded = references::expanded(&value, |name| known.get(name).map(String::as_str));
        let text = expanded.as_ref().unwrap_or(&value);
        let is_secret = !text.is_empty()
            && (masking::is_secret(&name, &value) || telling.iter().any(|secret| value.contains(secret)));
        let source = match &expanded {
            Some(expanded) if is_secret => {
                hidden.secret.insert(name.clone(), expanded.clone());
                Variable::of_secret(&name, secret_name, &name).source
            }
            None if is_secret && !only_refers(&value) => {
                hidden.warnings.push(format!(
                    "environment variable `{name}` looks like a secret and refers to variables that the worker does not \
                     know, so it stays in the Job: `kubectl get job` shows it"
                ));
                Source::Plain(value)
            }
            _ => Source::Plain(value),
        };
        known.extend(expanded.map(|expanded| (name.clone(), expanded)));
        hidden.variables.push(Variable { name, source });
    }
    hidden
}

/// Whether a value is nothing but another variable's.
fn only_refers(value: &str) -> bool {
    value.strip_prefix("$(").and_then(|rest| rest.split_once(')')).is_some_and(|(_, rest)| rest.is_empty())
}

fn is_key(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && !matches!(name, "." | "..")
        && name.chars().all(|character| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::tests::{run_spec, settings};
    use crate::settings::SecretKeyRef;

    fn hidden(settings: &KubernetesSettings, variables: &[(&str, &str)]) -> Result<Hidden, PlanError> {
        let variables = variables.iter().map(|(name, value)| Variable::plain(*name, *value));
        let token = json!({"secretKeyRef": {"name": "theirs", "key": "k"}});
        let given = Variable { name: "GIVEN".to_owned(), source: Source::Elsewhere(token) };
        let all = [given].into_iter().chain(variables).collect();
        hide(settings, &run_spec(), &BTreeSet::from(["from-a-block"]), all, "job-env")
    }

    fn entries(hidden: &Hidden) -> Vec<Value> {
        hidden.variables.iter().skip(1).cloned().map(Variable::into_entry).collect()
    }

    fn of_secret(name: &str, secret: &str, key: &str) -> Value {
        json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
    }

    #[test]
    fn c107_secrets_go_into_the_jobs_secret() {
        let variables = [("A_TOKEN", "s3cret"), ("PLAIN", "x"), ("FROM", "x-from-a-block-y"), ("EMPTY_KEY", "")];
        let found = hidden(&settings(), &variables).ok().unwrap();
        assert_eq!(
            entries(&found),
            [
                of_secret("A_TOKEN", "job-env", "A_TOKEN"),
                json!({"name": "PLAIN", "value": "x"}),
                of_secret("FROM", "job-env", "FROM"),
                json!({"name": "EMPTY_KEY", "value": ""}),
            ]
        );
        assert_eq!(json!(found.secret), json!({"A_TOKEN": "s3cret", "FROM": "x-from-a-block-y"}));
        assert!(!found.takes_all && found.shared_api_key.is_none() && found.warnings.is_empty());
    }

    #[test]
    fn c107_the_worker_refers_to_secrets_that_it_is_told_of() {
        let mut settings = settings();
        let secret = |name: &str| Some(SecretKeyRef { name: name.to_owned(), key: "k".to_owned() });
        settings.api_key_secret = secret("api-key");
        settings.api_auth_string_secret = secret("auth");
        settings.create_secret_for_api_key = true;
        let found = hidden(&settings, &[(API_KEY, "pnu_x"), (API_AUTH_STRING, "u:p")]).ok().unwrap();
        assert_eq!(entries(&found), [of_secret(API_KEY, "api-key", "k"), of_secret(API_AUTH_STRING, "auth", "k")]);
        assert!(found.secret.is_empty() && found.shared_api_key.is_none());
        assert_eq!(entries(&hidden(&settings, &[("X", "x")]).ok().unwrap()).len(), 1, "nothing is added");
    }

    #[test]
    fn c107_one_secret_with_the_api_key_serves_all_runs() {
        let mut settings = settings();
        settings.create_secret_for_api_key = true;
        settings.store_env_as_secret = true;
        let found = hidden(&settings, &[(API_KEY, "pnu_x")]).ok().unwrap();
        assert_eq!(entries(&found), [of_secret(API_KEY, "prefect-my-worker-api-key", "value")]);
        assert_eq!(found.shared_api_key.unwrap().value, "pnu_x");
        assert!(found.secret.is_empty() && !found.takes_all);
    }

    #[test]
    fn c107_the_whole_environment_can_be_a_secret() {
        let mut settings = settings();
        settings.store_env_as_secret = true;
        let found = hidden(&settings, &[("A_TOKEN", "s"), ("PLAIN", "$(A_TOKEN)")]).ok().unwrap();
        assert_eq!(found.variables.len(), 1);
        assert_eq!(json!(found.secret), json!({"A_TOKEN": "s", "PLAIN": "$(A_TOKEN)"}));
        assert!(found.takes_all);
        assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
    }

    #[test]
    fn c107_secrets_can_stay_in_plain_with_a_warning_for_the_auth_string() {
        let mut settings = settings();
        settings.secrets = Secrets::Environment;
        let found = hidden(&settings, &[("A_TOKEN", "s"), (API_AUTH_STRING, "u:p")]).ok().unwrap();
        assert_eq!(entries(&found)[1], json!({"name": API_AUTH_STRING, "value": "u:p"}));
        assert!(found.secret.is_empty());
        assert_eq!(found.warnings.len(), 1);
        assert!(hidden(&settings, &[("A_TOKEN", "s")]).ok().unwrap().warnings.is_empty());
    }

    #[test]
    fn references_in_secrets_mean_what_they_mean_in_plain_values() {
        let variables = [
            ("HOST", "db$$1"),
            ("DB_PASSWORD", "pa$$word"),
            ("URL", "postgres://me:$(DB_PASSWORD)@$(HOST)/x"),
            ("COPY_KEY", "$(GIVEN)"),
            ("MIXED_KEY", "abc$(GIVEN)"),
            ("PLAIN", "$(DB_PASSWORD)"),
        ];
        let found = hidden(&settings(), &variables).ok().unwrap();
        assert_eq!(json!(found.secret), json!({"DB_PASSWORD": "pa$word", "URL": "postgres://me:pa$word@db$1/x"}));
        assert_eq!(
            entries(&found)[3..],
            [
                json!({"name": "COPY_KEY", "value": "$(GIVEN)"}),
                json!({"name": "MIXED_KEY", "value": "abc$(GIVEN)"}),
                json!({"name": "PLAIN", "value": "$(DB_PASSWORD)"}),
            ]
        );
        assert_eq!(found.warnings.len(), 1, "{:?}", found.warnings);
    }

    #[test]
    fn a_name_that_no_secret_can_hold_is_an_error() {
        for name in ["A KEY", "KEY=", "SCHLÜSSEL_KEY"] {
            assert!(matches!(hidden(&settings(), &[(name, "x")]), Err(PlanError::SecretKey(found)) if found == name));
        }
        assert!(hidden(&settings(), &[("my.db-KEY_1", "x"), ("odd name", "x")]).is_ok());
    }
}
