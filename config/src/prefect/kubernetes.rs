//! Reading of the settings of Prefect's Kubernetes integration.

use std::collections::BTreeMap;

use super::{
    forms,
    read::{PrefectReading, joined, label},
    types::{PrefectKubernetesSettings, SecretKeyRef},
};
use crate::value;

impl PrefectReading<'_, '_> {
    pub(super) fn kubernetes(&mut self) -> PrefectKubernetesSettings {
        let settings = PrefectKubernetesSettings {
            observer_enabled: self.boolean("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_ENABLED", true),
            replicate_pod_events: self.boolean("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_REPLICATE_POD_EVENTS", true),
            namespaces: self.reading.or(
                label("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES"),
                Vec::new(),
                forms::namespaces,
                |namespaces| joined(namespaces),
            ),
            label_filters: self.reading.or(
                label("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_ADDITIONAL_LABEL_FILTERS"),
                BTreeMap::new(),
                forms::label_filters,
                |filters| joined(filters.iter().map(|(key, value)| format!("{key}={value}"))),
            ),
            startup_event_concurrency: self.integer(
                "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_STARTUP_EVENT_CONCURRENCY",
                5,
                1,
            ),
            forward_crashed_run_logs: self
                .boolean("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_FORWARD_CRASHED_RUN_LOGS", true),
            forward_crashed_run_logs_tail_lines: self.integer(
                "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_FORWARD_CRASHED_RUN_LOGS_TAIL_LINES",
                500,
                1,
            ),
            api_key_secret: self.secret_key_ref(
                "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_KEY_SECRET_NAME",
                "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_KEY_SECRET_KEY",
            ),
            api_auth_string_secret: self.secret_key_ref(
                "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_NAME",
                "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_KEY",
            ),
            create_secret_for_api_key: self
                .boolean("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_CREATE_SECRET_FOR_API_KEY", false),
            store_env_as_secret: self.boolean("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_STORE_ENV_AS_SECRET", false),
            tcp_keepalive: self.boolean("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_ADD_TCP_KEEPALIVE", true),
            cluster_uid: self.text_or_none("PREFECT_INTEGRATIONS_KUBERNETES_CLUSTER_UID"),
        };
        self.create_job_retry();
        settings
    }

    /// Checked as Prefect checks them, and listed, so that nobody has to take them out of an environment that has them.
    fn create_job_retry(&mut self) {
        for (variable, default, least) in [
            ("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_CREATE_JOB_RETRY_MAX_RETRIES", 3, 1),
            ("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_CREATE_JOB_RETRY_DELAY_SECONDS", 1, 0),
            ("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_CREATE_JOB_RETRY_JITTER_MIN_SECONDS", 0, 0),
            ("PREFECT_INTEGRATIONS_KUBERNETES_WORKER_CREATE_JOB_RETRY_JITTER_MAX_SECONDS", 3, 0),
        ] {
            self.integer::<i64>(variable, default, least);
        }
    }

    /// One without the other has no effect at Prefect either, where nobody is told.
    fn secret_key_ref(&mut self, name_variable: &'static str, key_variable: &'static str) -> Option<SecretKeyRef> {
        let name = self.text_or_none(name_variable);
        let key = self.text_or_none(key_variable);
        let (given, missing) = match (name, key) {
            (Some(name), Some(key)) => return Some(SecretKeyRef { name, key }),
            (None, None) => return None,
            (Some(_), None) => (name_variable, key_variable),
            (None, Some(_)) => (key_variable, name_variable),
        };
        if let Some(origin) = self.reading.origin(given) {
            self.warnings.push(format!("{origin}: `{given}` has no effect without `{missing}`"));
        }
        None
    }

    fn text_or_none(&mut self, variable: &'static str) -> Option<String> {
        let parse = |raw: &_| value::text(raw).map(|text| Some(text).filter(|text| !text.is_empty()));
        self.reading.optional(label(variable), parse, String::clone)
    }
}
