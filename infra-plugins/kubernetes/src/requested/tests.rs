use std::collections::BTreeSet;

use serde_json::{Value, json};
use worker_core::policy::Requested;

use crate::plan;
use crate::plan::tests::{default_pool, run_spec, settings, spec_of};

/// What a manifest asks for that a user has put into a pool.
fn of_pod(pod: &Value) -> Requested {
    let mut pool = default_pool();
    let template = pool.pointer_mut("/job_configuration/job_manifest/spec/template/spec").unwrap();
    let template = template.as_object_mut().unwrap();
    for (key, value) in pod.as_object().unwrap() {
        template.insert(key.clone(), value.clone());
    }
    requested(&pool, json!({}))
}

fn requested(pool: &Value, job_variables: Value) -> Requested {
    plan::make(&settings(), "prefecthq/prefect:3", &spec_of(pool, job_variables)).unwrap().requested
}

fn texts(set: &BTreeSet<String>) -> Vec<&str> {
    set.iter().map(String::as_str).collect()
}

#[test]
fn a_run_of_the_default_pool_asks_for_nothing_special() {
    let requested = plan::make(&settings(), "prefecthq/prefect:3", &run_spec()).unwrap().requested;
    assert_eq!(texts(&requested.images), ["prefecthq/prefect:3"]);
    assert_eq!(texts(&requested.namespaces), ["default"]);
    assert_eq!(texts(&requested.service_accounts), ["default"]);
    for nothing in [&requested.commands, &requested.environment, &requested.mounts, &requested.privileges] {
        assert_eq!(texts(nothing), Vec::<&str>::new());
    }
    assert_eq!((requested.cpu_millis, requested.memory_bytes, requested.run_time_seconds), (None, None, None));
}

#[test]
fn job_variables_are_seen() {
    let requested = requested(
        &default_pool(),
        json!({"image": "r.test/a", "namespace": "flows", "service_account_name": "robot", "env": {"A": "1"},
            "command": "sh -c id", "job_watch_timeout_seconds": 60}),
    );
    assert_eq!(texts(&requested.images), ["r.test/a"]);
    assert_eq!(texts(&requested.namespaces), ["flows"]);
    assert_eq!(texts(&requested.service_accounts), ["robot"]);
    assert_eq!(texts(&requested.environment), ["A"]);
    assert_eq!(texts(&requested.commands), ["sh -c id"]);
    assert_eq!(requested.run_time_seconds, Some(60));
}

#[test]
fn every_container_of_a_custom_manifest_is_seen() {
    let requested = of_pod(&json!({
        "containers": [
            {"name": "prefect-job", "command": ["/bin/sh"], "args": ["-c", "id"],
                "lifecycle": {"postStart": {"exec": {"command": ["curl", "x"]}}},
                "env": [{"name": "S", "valueFrom": {"secretKeyRef": {"name": "db", "key": "k"}}}]},
            {"name": "side", "image": "evil.test/side", "args": ["serve"], "ports": [{"hostPort": 80}],
                "envFrom": [{"secretRef": {"name": "all"}}], "env": [{"name": "LD_PRELOAD", "value": "x"}],
                "securityContext": {"privileged": true, "capabilities": {"add": ["sys_admin"]}}},
        ],
        "initContainers": [{"name": "init", "image": "evil.test/init", "securityContext": {"allowPrivilegeEscalation": true}}],
    }));
    assert_eq!(texts(&requested.images), ["evil.test/init", "evil.test/side", "prefecthq/prefect:3"]);
    assert_eq!(texts(&requested.commands), ["/bin/sh -c id", "curl x", "serve"]);
    assert_eq!(texts(&requested.environment), ["LD_PRELOAD", "S", "secret:all"]);
    assert_eq!(texts(&requested.mounts), ["secret:all", "secret:db"]);
    assert_eq!(
        texts(&requested.privileges),
        ["capability:SYS_ADMIN", "host_port:80", "privilege_escalation", "privileged"]
    );
}

#[test]
fn what_a_pod_shares_with_its_node_is_seen() {
    let requested = of_pod(&json!({
        "hostNetwork": true, "hostPID": true, "hostIPC": true, "nodeName": "master", "priorityClassName": "system-node-critical",
        "runtimeClassName": "kata", "serviceAccount": "old",
        "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "Unconfined"}, "sysctls": [{"name": "kernel.x", "value": "1"}]},
        "volumes": [
            {"name": "a", "hostPath": {"path": "/var/../etc"}}, {"name": "b", "secret": {"secretName": "s"}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "data"}}, {"name": "d", "emptyDir": {}},
            {"name": "e", "projected": {"sources": [{"secret": {"name": "p"}}, {"serviceAccountToken": {"path": "t"}}]}},
            {"name": "f", "nfs": {"server": "nfs.test", "path": "/x"}}, {"name": "g", "cephfs": {"monitors": []}},
        ],
    }));
    assert_eq!(
        texts(&requested.privileges),
        [
            "host_ipc",
            "host_network",
            "host_pid",
            "node:master",
            "priority_class:system-node-critical",
            "runtime:kata",
            "security:seccomp=unconfined",
            "sysctl:kernel.x",
            "user:0"
        ]
    );
    assert_eq!(
        texts(&requested.mounts),
        ["cephfs:?", "host:/etc", "nfs:nfs.test:/x", "pvc:data", "secret:p", "secret:s", "token:api"]
    );
    assert_eq!(texts(&requested.service_accounts), ["old"]);
}

#[test]
fn limits_are_those_of_all_containers_and_of_all_pods() {
    let limited = |cpu: &str, memory: &str| json!({"cpu": cpu, "memory": memory});
    let mut pod = json!({
        "containers": [
            {"name": "prefect-job", "resources": {"limits": limited("500m", "1Gi")}},
            {"name": "side", "image": "a", "resources": {"limits": limited("1", "1Gi")}},
        ],
        "initContainers": [{"name": "i", "image": "a", "resources": {"limits": limited("3", "1Gi")}}],
        "activeDeadlineSeconds": 90,
    });
    let requested = of_pod(&pod);
    assert_eq!((requested.cpu_millis, requested.memory_bytes), (Some(3000), Some(2 << 30)));
    assert_eq!(requested.run_time_seconds, Some(90));
    let job = json!({"spec": {"parallelism": 3, "template": {"spec": pod}}});
    assert_eq!(super::of_job(job.as_object().unwrap()).cpu_millis, Some(9000));
    pod.pointer_mut("/containers/1").unwrap()["resources"] = json!({});
    assert_eq!(of_pod(&pod).memory_bytes, None);
}
