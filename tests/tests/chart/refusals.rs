//! Values that are wrong: the person who installs the chart is told what and where.

use serde_json::{Value, json};

use super::{chart, values};

async fn refusal(changes: Value) -> String {
    let rendered = chart().render(&values(&changes)).await;
    rendered.err().unwrap_or_else(|| unreachable!("{changes} was taken"))
}

#[tokio::test]
async fn a_misspelt_key_is_named() {
    for (changes, key) in [
        (json!({"worker": {"replicaCounts": 2}}), "replicaCounts"),
        (json!({"worker": {"config": {"workpool": "a"}}}), "workpool"),
        (json!({"worker": {"pools": [{"name": "a", "queues": []}]}}), "queues"),
        (json!({"worker": {"readinessProbe": {"enable": false}}}), "enable"),
        (json!({"role": {"namspaces": ["a"]}}), "namspaces"),
    ] {
        let refusal = refusal(changes).await;
        assert!(refusal.contains(key), "{refusal}");
    }
}

#[tokio::test]
async fn a_value_of_the_wrong_form_is_named_with_the_right_ones() {
    for (changes, parts) in [
        (json!({"worker": {"apiConfig": "server"}}), ["apiConfig", "selfHostedServer"]),
        (json!({"worker": {"kind": "DaemonSet"}}), ["kind", "StatefulSet"]),
        (json!({"worker": {"replicaCount": "two"}}), ["replicaCount", "integer"]),
        (json!({"worker": {"health": {"port": 70000}}}), ["port", "maximum"]),
        (json!({"worker": {"pools": [{"limit": 3}]}}), ["pools", "name"]),
    ] {
        let refusal = refusal(changes).await;
        assert!(parts.iter().all(|part| refusal.contains(part)), "{refusal}");
    }
}

#[tokio::test]
async fn what_is_missing_is_asked_for() {
    for (changes, part) in [
        (json!({"worker": {"config": {"workPool": ""}}}), "worker.config.workPool is needed"),
        (
            json!({"worker": {"selfHostedServerApiConfig": {"apiUrl": ""}}}),
            "worker.selfHostedServerApiConfig.apiUrl is needed",
        ),
        (json!({"worker": {"apiConfig": "cloud"}}), "worker.cloudApiConfig.accountId is needed"),
        (json!({"worker": {"keda": {"enabled": true}}}), "worker.keda.triggers is needed"),
    ] {
        let refusal = refusal(changes).await;
        assert!(refusal.contains(part), "{refusal}");
    }
}

#[tokio::test]
async fn values_that_do_not_go_together_are_refused() {
    let template = json!({"worker": {"config": {"baseJobTemplate": {"configuration": "{nothing"}}}});
    for (changes, part) in [
        (json!({"worker": {"pools": [{"name": "jobs"}]}}), "pool \"jobs\" is there twice"),
        (json!({"worker": {"terminationGracePeriodSeconds": 30}}), "needs 45 seconds"),
        (json!({"worker": {"settings": {"shutdown": {"grace_seconds": 3}}}}), "worker.shutdown"),
        (
            json!({"worker": {"autoscaling": {"enabled": true}, "keda": {"enabled": true}}}),
            "worker.autoscaling and worker.keda both scale",
        ),
        (json!({"worker": {"kind": "StatefulSet", "state": {"existingClaim": "a"}}}), "worker.state.existingClaim"),
        (json!({"worker": {"replicaCount": 2, "state": {"existingClaim": "a"}}}), "is for one replica"),
        (json!({"worker": {"customCa": {"existingConfigMap": "a", "existingSecret": "b"}}}), "worker.customCa"),
        (json!({"worker": {"metrics": {"enabled": true, "port": 8080}}}), "are both 8080"),
        (template, "worker.config.baseJobTemplate.configuration is not a JSON object"),
        (
            json!({"worker": {"config": {"baseJobTemplate": {"configuration": {"variables": {}}}}}}),
            "has no \"job_configuration\"",
        ),
    ] {
        let refusal = refusal(changes).await;
        assert!(refusal.contains(part), "{refusal}");
    }
}
