//! What takes a pod out of its confinement.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{is_set, items, shown, text};

/// The annotation by which clusters before 1.30 are told the `AppArmor` profile of a container.
const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const UNCONFINED: &str = "unconfined";

pub(super) fn of_pod(pod: &Value, privileges: &mut BTreeSet<String>) {
    for (key, name) in [("hostNetwork", "host_network"), ("hostPID", "host_pid"), ("hostIPC", "host_ipc")] {
        if is_set(pod, key) {
            privileges.insert(name.to_owned());
        }
    }
    for (key, name) in [("runtimeClassName", "runtime"), ("nodeName", "node"), ("priorityClassName", "priority_class")]
    {
        privileges.extend(text(pod, key).map(|value| format!("{name}:{value}")));
    }
    let Some(context) = pod.get("securityContext") else { return };
    let sysctls = items(context, "sysctls").filter_map(|sysctl| text(sysctl, "name"));
    privileges.extend(sysctls.map(|name| format!("sysctl:{name}")));
    privileges.extend(items(context, "supplementalGroups").map(|group| format!("group:{}", shown(group))));
    of_context(context, privileges);
}

pub(super) fn of_container(container: &Value, privileges: &mut BTreeSet<String>) {
    let ports = items(container, "ports").filter_map(|port| port.get("hostPort").filter(|port| !port.is_null()));
    privileges.extend(ports.map(|port| format!("host_port:{}", shown(port))));
    let Some(context) = container.get("securityContext") else { return };
    for (key, name) in [("privileged", "privileged"), ("allowPrivilegeEscalation", "privilege_escalation")] {
        if is_set(context, key) {
            privileges.insert(name.to_owned());
        }
    }
    if let Some(capabilities) = context.get("capabilities") {
        privileges.extend(items(capabilities, "add").map(|name| {
            let name = shown(name).to_ascii_uppercase();
            format!("capability:{}", name.strip_prefix("CAP_").unwrap_or(&name))
        }));
    }
    if text(context, "procMount").is_some_and(|mount| mount != "Default") {
        privileges.insert("unmasked_proc".to_owned());
    }
    of_context(context, privileges);
}

/// What the security contexts of pods and containers have in common.
fn of_context(context: &Value, privileges: &mut BTreeSet<String>) {
    for (key, name) in [("runAsUser", "user"), ("runAsGroup", "group")] {
        if let Some(id) = context.get(key).filter(|id| !id.is_null()) {
            privileges.insert(format!("{name}:{}", shown(id)));
        }
    }
    for (key, name) in [("seccompProfile", "seccomp"), ("appArmorProfile", "apparmor")] {
        let profile = context.get(key).and_then(|profile| text(profile, "type"));
        if profile.is_some_and(|profile| profile.eq_ignore_ascii_case(UNCONFINED)) {
            privileges.insert(format!("security:{name}={UNCONFINED}"));
        }
    }
    if is_set(context, "seLinuxOptions") {
        privileges.insert("security:selinux".to_owned());
    }
    if context.get("windowsOptions").is_some_and(|options| is_set(options, "hostProcess")) {
        privileges.insert("privileged".to_owned());
    }
}

pub(super) fn of_annotations(annotations: Option<&Value>, privileges: &mut BTreeSet<String>) {
    let entries = annotations.and_then(Value::as_object).into_iter().flatten();
    let mut unconfined = entries.filter(|(key, value)| key.starts_with(APPARMOR) && value.as_str() == Some(UNCONFINED));
    if unconfined.next().is_some() {
        privileges.insert(format!("security:apparmor={UNCONFINED}"));
    }
}
