//! Secrets as they are sent.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::core::ObjectMeta;

use crate::manifest::secrets::{PlannedSecret, SHARED_KEY, SharedSecret};

/// The Secret of one run.
pub(crate) fn of_run(planned: &PlannedSecret) -> Secret {
    secret(&planned.name, planned.labels.clone(), planned.variables.clone())
}

/// The Secret that the runs of a worker share.
pub(crate) fn of_shared(shared: &SharedSecret) -> Secret {
    let managed = BTreeMap::from([("app.kubernetes.io/managed-by".to_owned(), "prefect".to_owned())]);
    secret(&shared.name, managed, BTreeMap::from([(SHARED_KEY.to_owned(), shared.value.clone())]))
}

fn secret(name: &str, labels: BTreeMap<String, String>, data: BTreeMap<String, String>) -> Secret {
    let metadata = ObjectMeta { name: Some(name.to_owned()), labels: Some(labels), ..ObjectMeta::default() };
    Secret { metadata, string_data: Some(data), type_: Some("Opaque".to_owned()), ..Secret::default() }
}
