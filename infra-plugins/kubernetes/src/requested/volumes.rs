//! What containers see besides their images.

use serde_json::Value;
use worker_core::policy::Requested;

use super::{items, text};

/// What of a pod's own volumes is not from outside of the pod.
const OWN: [&str; 2] = ["emptyDir", "downwardAPI"];

pub(super) fn read(volume: &Value, requested: &mut Requested) {
    let Some(volume) = volume.as_object() else { return };
    for (kind, source) in volume.iter().filter(|(key, source)| *key != "name" && !source.is_null()) {
        match kind.as_str() {
            own if OWN.contains(&own) => {}
            "hostPath" => match text(source, "path") {
                Some(path) => requested.sees_host(path),
                None => drop(requested.mounts.insert("host:?".to_owned())),
            },
            "projected" => items(source, "sources").for_each(|source| projected(source, requested)),
            "image" => {
                requested.images.extend(text(source, "reference").map(str::to_owned));
            }
            "secret" => add("secret", text(source, "secretName"), requested),
            "configMap" => add("configmap", text(source, "name"), requested),
            "persistentVolumeClaim" => add("pvc", text(source, "claimName"), requested),
            "csi" => add("csi", text(source, "driver"), requested),
            "nfs" => {
                let (server, path) = (text(source, "server").unwrap_or("?"), text(source, "path").unwrap_or("?"));
                add("nfs", Some(&format!("{server}:{path}")), requested);
            }
            other => add(other, None, requested),
        }
    }
}

fn projected(source: &Value, requested: &mut Requested) {
    let Some(source) = source.as_object() else { return };
    for (kind, source) in source.iter().filter(|(_, source)| !source.is_null()) {
        match kind.as_str() {
            "downwardAPI" => {}
            "secret" => add("secret", text(source, "name"), requested),
            "configMap" => add("configmap", text(source, "name"), requested),
            "serviceAccountToken" => add("token", Some(text(source, "audience").unwrap_or("api")), requested),
            other => add(other, None, requested),
        }
    }
}

/// Where the value of a variable comes from.
pub(super) fn of_variable(from: &Value, requested: &mut Requested) {
    let name = |reference: &str| from.get(reference).map(|reference| text(reference, "name"));
    if let Some(secret) = name("secretKeyRef") {
        add("secret", secret, requested);
    }
    if let Some(map) = name("configMapKeyRef") {
        add("configmap", map, requested);
    }
}

/// All of a Secret or `ConfigMap` as variables, whose names only the cluster knows.
pub(super) fn of_environment(source: &Value, requested: &mut Requested) {
    for (kind, reference) in [("secret", "secretRef"), ("configmap", "configMapRef")] {
        let Some(reference) = source.get(reference).filter(|reference| !reference.is_null()) else { continue };
        let name = text(reference, "name");
        add(kind, name, requested);
        requested.environment.insert(format!("{kind}:{}", name.unwrap_or("?")));
    }
}

fn add(kind: &str, name: Option<&str>, requested: &mut Requested) {
    requested.mounts.insert(format!("{kind}:{}", name.unwrap_or("?")));
}
