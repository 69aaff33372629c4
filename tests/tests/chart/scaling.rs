//! Objects of operators, whose definitions no server of the tests has: their form is written down here.

use serde_json::json;

use super::{of_file, with};

#[tokio::test]
async fn a_scaled_object_scales_the_workload_which_has_no_number_of_its_own() {
    let rendered = of_file("keda").await;
    let scaled = rendered.of_kind("ScaledObject")[0];
    assert_eq!(scaled["apiVersion"], "keda.sh/v1alpha1");
    let url = "http://prefect-server.prefect:4200/api/work_queues/33333333-3333-3333-3333-333333333333/status";
    let trigger = json!({
        "type": "metrics-api",
        "metadata": {"url": url, "valueLocation": "late_runs_count", "targetValue": "5"},
    });
    let spec = json!({
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "prefect-worker"},
        "minReplicaCount": 0, "maxReplicaCount": 10, "pollingInterval": 30, "cooldownPeriod": 300,
        "triggers": [trigger],
    });
    assert_eq!(scaled["spec"], spec);
    assert_eq!(rendered.workload()["spec"].get("replicas"), None);
}

#[tokio::test]
async fn an_autoscaler_scales_the_workload_which_has_no_number_of_its_own() {
    for kind in ["Deployment", "StatefulSet"] {
        let rendered =
            with(json!({"worker": {"kind": kind, "autoscaling": {"enabled": true, "maxReplicas": 3}}})).await;
        let scaler = rendered.of_kind("HorizontalPodAutoscaler")[0];
        assert_eq!(scaler["apiVersion"], "autoscaling/v2");
        let target = json!({"apiVersion": "apps/v1", "kind": kind, "name": "prefect-worker"});
        assert_eq!(scaler["spec"]["scaleTargetRef"], target);
        let resources: Vec<_> =
            scaler["spec"]["metrics"].as_array().unwrap().iter().map(|it| &it["resource"]["name"]).collect();
        assert_eq!(resources, ["cpu", "memory"]);
        assert_eq!(rendered.workload()["spec"].get("replicas"), None);
    }
}

#[tokio::test]
async fn monitors_find_the_port_of_the_metrics() {
    let rendered = of_file("metrics").await;
    let pod_labels = &rendered.workload()["spec"]["template"]["metadata"]["labels"];
    let service = rendered.of_kind("Service")[0];
    assert_eq!(service["spec"]["ports"], json!([{"name": "metrics", "port": 9091, "targetPort": "metrics"}]));
    for (selector, labels) in [
        (&service["spec"]["selector"], pod_labels),
        (&rendered.of_kind("PodMonitor")[0]["spec"]["selector"]["matchLabels"], pod_labels),
        (&rendered.of_kind("ServiceMonitor")[0]["spec"]["selector"]["matchLabels"], &service["metadata"]["labels"]),
        (&rendered.of_kind("NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"], pod_labels),
    ] {
        for (key, value) in selector.as_object().unwrap() {
            assert_eq!(labels.get(key), Some(value), "{selector}");
        }
    }
    for (kind, endpoints) in [("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")] {
        let monitor = rendered.of_kind(kind)[0];
        assert_eq!(monitor["apiVersion"], "monitoring.coreos.com/v1");
        let endpoint = &monitor["spec"][endpoints][0];
        assert_eq!((endpoint["port"].as_str(), endpoint["path"].as_str()), (Some("metrics"), Some("/metrics")));
    }
    assert_eq!(rendered.of_kind("ServiceMonitor")[0]["metadata"]["labels"]["release"], "prometheus");
}

#[tokio::test]
async fn a_network_policy_lets_the_worker_reach_the_api() {
    let rendered = of_file("private-server").await;
    let policy = &rendered.of_kind("NetworkPolicy")[0]["spec"];
    assert_eq!((&policy["policyTypes"], &policy["ingress"]), (&json!(["Ingress", "Egress"]), &json!([])));
    let ports: Vec<_> = policy["egress"][1]["ports"].as_array().unwrap().iter().map(|port| &port["port"]).collect();
    assert_eq!(ports, [443, 6443, 8443]);
    assert_eq!(policy["egress"][2]["to"][0]["ipBlock"]["cidr"], "10.0.0.0/8");
}
