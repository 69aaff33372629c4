//! What the values files become.

use worker_tests::harness::Chart;

use super::{chart, of_file};

/// A current version; what 1.20 says, its API server is asked.
const CURRENT: &str = "1.33";
/// Kinds of operators, whose definitions Kubernetes itself does not have.
const FOREIGN: [&str; 3] = ["ScaledObject", "ServiceMonitor", "PodMonitor"];

#[tokio::test]
async fn each_values_file_becomes_what_its_snapshot_says() {
    let files = chart().render_files().await;
    assert!(files.len() >= 15, "{:?}", files.keys());
    for (name, rendered) in files {
        // A new version of the chart changes no more than its name.
        let manifest = rendered.manifest.replace(env!("CARGO_PKG_VERSION"), "VERSION");
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            insta::assert_snapshot!(name, manifest);
        });
    }
}

#[tokio::test]
async fn each_values_file_is_valid_for_a_current_kubernetes() {
    let mut own = Vec::new();
    for (name, rendered) in chart().render_files().await {
        assert!(rendered.objects.len() > 4, "{name}");
        own.extend(rendered.objects.into_iter().filter(|object| !FOREIGN.contains(&object["kind"].as_str().unwrap())));
    }
    let complaints = Chart::complaints(&own, CURRENT).await;
    assert!(complaints.is_empty(), "{complaints:?}");
}

/// Otherwise the test above could pass because nothing is checked.
#[tokio::test]
async fn what_is_not_valid_is_complained_about() {
    let mut objects = of_file("minimal").await.objects;
    let deployment = objects.iter_mut().find(|object| object["kind"] == "Deployment").unwrap();
    deployment["spec"]["replicas"] = "one".into();
    let complaints = Chart::complaints(&objects, CURRENT).await;
    assert!(complaints.len() == 1 && complaints[0].contains("'one'"), "{complaints:?}");
}

#[tokio::test]
async fn lint_has_nothing_to_say() {
    for (name, found) in chart().lint_files().await {
        let is_more_than_information = |message: &&serde_json::Value| message["severity"].as_u64() != Some(1);
        let worse: Vec<_> = found["messages"].as_array().unwrap().iter().filter(is_more_than_information).collect();
        assert!(worse.is_empty() && found["errors"].as_array().unwrap().is_empty(), "{name}: {found}");
    }
}
