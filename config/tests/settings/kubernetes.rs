//! The worker's own settings of the Kubernetes kind, and those of Prefect's integration.

use std::time::Duration;

use worker_config::{HoldSlots, KubernetesCleanup, KubernetesSecrets, SecretKeyRef};

use crate::surroundings::{Surroundings, origin, shown};

const PREFIX: &str = "PREFECT_INTEGRATIONS_KUBERNETES_";

#[test]
fn own_settings_come_from_the_file_and_from_variables() {
    let file = "[kubernetes]\nkubeconfig = 'kube.yaml'\ncontext = 'prod'\nsecrets = 'environment'\n\
        create_deadline_seconds = 0\nimage_pull_deadline_seconds = 7\nstart_deadline_seconds = 1.5\n\
        cleanup = 'ttl'\ncleanup_ttl_seconds = 60\nhold_slots = 'until_submitted'\ninit_image = 'git'\n";
    let surroundings = Surroundings::new().file("etc/worker/worker.toml", file);
    let kubernetes = surroundings.load().settings.worker.kubernetes;
    assert_eq!(kubernetes.kubeconfig, Some(surroundings.path("etc/worker/kube.yaml")));
    assert_eq!((kubernetes.context.as_deref(), kubernetes.init_image.as_deref()), (Some("prod"), Some("git")));
    assert_eq!(kubernetes.secrets, KubernetesSecrets::Environment);
    assert_eq!((kubernetes.create_deadline, kubernetes.image_pull_deadline), (Duration::ZERO, Duration::from_secs(7)));
    assert_eq!(kubernetes.start_deadline, Some(Duration::from_millis(1500)));
    assert_eq!((kubernetes.cleanup, kubernetes.cleanup_ttl), (KubernetesCleanup::Ttl, Duration::from_mins(1)));
    assert_eq!(kubernetes.hold_slots, HoldSlots::UntilSubmitted);

    let surroundings =
        surroundings.env("WORKER_KUBERNETES_CLEANUP", "remove").env("WORKER_KUBERNETES_SECRETS", "secret");
    let kubernetes = surroundings.load().settings.worker.kubernetes;
    assert_eq!((kubernetes.cleanup, kubernetes.secrets), (KubernetesCleanup::Remove, KubernetesSecrets::Secret));
}

#[test]
fn without_settings_runs_are_kept_and_hold_their_slots() {
    let loaded = Surroundings::new().load();
    let kubernetes = &loaded.settings.worker.kubernetes;
    assert_eq!((kubernetes.kubeconfig.as_ref(), kubernetes.start_deadline), (None, None));
    assert_eq!((kubernetes.cleanup, kubernetes.hold_slots), (KubernetesCleanup::Keep, HoldSlots::UntilEnd));
    assert_eq!(shown(&loaded, "kubernetes.hold_slots").as_deref(), Some("until_end"));

    let prefect = &loaded.settings.prefect.kubernetes;
    assert!(prefect.observer_enabled && prefect.replicate_pod_events && prefect.forward_crashed_run_logs);
    assert!(prefect.tcp_keepalive && !prefect.create_secret_for_api_key && !prefect.store_env_as_secret);
    assert!(prefect.namespaces.is_empty() && prefect.label_filters.is_empty() && prefect.cluster_uid.is_none());
    assert_eq!((prefect.startup_event_concurrency, prefect.forward_crashed_run_logs_tail_lines), (5, 500));
    assert!(prefect.api_key_secret.is_none() && prefect.api_auth_string_secret.is_none());
    let retries = "integrations.kubernetes.worker.create_job_retry.max_retries";
    assert_eq!(shown(&loaded, retries).as_deref(), Some("3"));
}

#[test]
fn settings_of_the_integration_come_from_where_other_prefect_settings_do() {
    let profiles = "active = 'a'\n[profiles.a]\nPREFECT_INTEGRATIONS_KUBERNETES_CLUSTER_UID = 'from-profile'\n\
        PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_ENABLED = 'false'\n";
    let prefect_toml = "[integrations.kubernetes.observer]\nnamespaces = ['flows', 'etl']\nenabled = true\n\
        additional_label_filters = { team = 'data' }\n\
        [integrations.kubernetes.worker]\nadd_tcp_keepalive = false\n\
        [integrations.aws]\nanything = { goes = 1 }\n";
    let loaded = Surroundings::new()
        .file("home/.prefect/profiles.toml", profiles)
        .file("cwd/prefect.toml", prefect_toml)
        .file("cwd/.env", "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_STORE_ENV_AS_SECRET=1\n")
        .env("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_FORWARD_CRASHED_RUN_LOGS_TAIL_LINES", "20")
        .load();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let kubernetes = &loaded.settings.prefect.kubernetes;
    assert!(kubernetes.observer_enabled && kubernetes.store_env_as_secret && !kubernetes.tcp_keepalive);
    assert_eq!(kubernetes.namespaces, ["flows", "etl"]);
    assert_eq!(kubernetes.label_filters.get("team").map(String::as_str), Some("data"));
    assert_eq!(kubernetes.cluster_uid.as_deref(), Some("from-profile"));
    assert_eq!(kubernetes.forward_crashed_run_logs_tail_lines, 20);
    let enabled = origin(&loaded, "integrations.kubernetes.observer.enabled").to_string();
    assert!(enabled.ends_with("cwd/prefect.toml:3"), "{enabled}");
    // Not even the profile, of which all else is handed on.
    assert!(loaded.settings.base_environment().keys().all(|name| !name.contains("KUBERNETES")));
}

#[test]
fn lists_and_labels_are_written_as_for_prefect() {
    let namespaces = |text: &str| {
        let surroundings = Surroundings::new().env(&format!("{PREFIX}OBSERVER_NAMESPACES"), text);
        surroundings.load().settings.prefect.kubernetes.namespaces
    };
    assert_eq!(namespaces("b, a,b,"), ["b", "a"]);
    assert_eq!(namespaces(r#"["a", "b"]"#), ["a", "b"]);
    assert!(namespaces("").is_empty());

    let labels = |text: &str| {
        let surroundings = Surroundings::new().env(&format!("{PREFIX}OBSERVER_ADDITIONAL_LABEL_FILTERS"), text);
        surroundings.load().settings.prefect.kubernetes.label_filters.into_iter().collect::<Vec<_>>()
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(labels("b = 2, a=1"), [pair("a", "1"), pair("b", "2")]);
    assert_eq!(labels(r#"{"a": "1"}"#), [pair("a", "1")]);
    assert!(labels("").is_empty());
}

#[test]
fn older_names_of_the_integration_still_count() {
    let kubernetes = Surroundings::new()
        .env("PREFECT_KUBERNETES_WORKER_STORE_PREFECT_API_IN_SECRET", "true")
        .env("PREFECT_KUBERNETES_WORKER_ADD_TCP_KEEPALIVE", "false")
        .env("PREFECT_KUBERNETES_CLUSTER_UID", "old")
        .load()
        .settings
        .prefect
        .kubernetes;
    assert!(kubernetes.create_secret_for_api_key && !kubernetes.tcp_keepalive);
    assert_eq!(kubernetes.cluster_uid.as_deref(), Some("old"));
}

#[test]
fn half_of_a_reference_to_a_secret_has_no_effect_and_is_said() {
    let whole = Surroundings::new()
        .env("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_KEY_SECRET_NAME", "prefect")
        .env("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_KEY_SECRET_KEY", "key")
        .load();
    let expected = SecretKeyRef { name: "prefect".to_owned(), key: "key".to_owned() };
    assert_eq!(whole.settings.prefect.kubernetes.api_key_secret, Some(expected));
    assert!(whole.warnings.is_empty());

    let half = Surroundings::new().env(&format!("{PREFIX}WORKER_API_AUTH_STRING_SECRET_NAME"), "prefect").load();
    assert_eq!(half.settings.prefect.kubernetes.api_auth_string_secret, None);
    assert!(half.warnings[0].contains("has no effect without `PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH"));
}

#[test]
fn values_that_cannot_be_used_are_refused_by_the_name_of_their_variable() {
    let cases = [
        ("WORKER_KUBERNETES_HOLD_SLOTS", "always", "must be one of until_end, until_submitted, not `always`"),
        ("WORKER_KUBERNETES_SECRETS", "file", "must be one of secret, environment, not `file`"),
        ("WORKER_KUBERNETES_CLEANUP", "never", "must be one of ttl, keep, remove, not `never`"),
        ("WORKER_KUBERNETES_CLEANUP_TTL_SECONDS", "-1", "must be at least 0, not `-1`"),
        ("WORKER_KUBERNETES_CREATE_DEADLINE_SECONDS", "soon", "must be a number, not `soon`"),
        ("WORKER_KUBERNETES_START_DEADLINE_SECONDS", "0", "must be more than 0 seconds, not `0`"),
        ("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_ENABLED", "maybe", "must be true or false, not `maybe`"),
        ("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES", "a,b*", "no patterns), not `b*`"),
        ("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES", "a b", "names of namespaces"),
        ("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_ADDITIONAL_LABEL_FILTERS", "team", "not `team`"),
        ("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_ADDITIONAL_LABEL_FILTERS", "=x", "such as `team=data"),
        ("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_STARTUP_EVENT_CONCURRENCY", "0", "must be at least 1, not `0`"),
        ("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_CREATE_JOB_RETRY_MAX_RETRIES", "0", "must be at least 1, not `0`"),
    ];
    for (variable, value, reason) in cases {
        let problem = Surroundings::new().env(variable, value).problem();
        assert!(problem.starts_with(&format!("environment {variable}: `")), "{problem}");
        assert!(problem.contains(reason), "{problem}");
    }
}

#[test]
fn misspelt_names_of_the_integration_are_warned_of() {
    let loaded = Surroundings::new()
        .env("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACE", "a")
        .env("PREFECT_INTEGRATIONS_AWS_OBSERVER_ENABLED", "true")
        .file("cwd/prefect.toml", "[integrations.kubernetes.observer]\nnamespace = ['a']\n")
        .load();
    assert_eq!(loaded.warnings.len(), 2, "{:?}", loaded.warnings);
    assert!(loaded.warnings.iter().all(|warning| warning.contains("did you mean")), "{:?}", loaded.warnings);
}
