//! What an event about a pod relates to.

use std::collections::BTreeMap;

use worker_core::slug::slugify;

use super::digest::PodLabels;

/// Kinds of what is related, and the labels that name it, in Prefect's order.
const RELATED: [(&str, &str, &str); 4] = [
    ("flow-run", "prefect.io/flow-run-id", "prefect.io/flow-run-name"),
    ("deployment", "prefect.io/deployment-id", "prefect.io/deployment-name"),
    ("flow", "prefect.io/flow-id", "prefect.io/flow-name"),
    ("work-pool", "prefect.io/work-pool-id", "prefect.io/work-pool-name"),
];

/// What a pod's labels say it belongs to. `version` is that of the Prefect client this worker passes for.
pub(crate) fn related(labels: &PodLabels, version: &str) -> Vec<BTreeMap<String, String>> {
    let resource = |id: String, role: &str, name: Option<&str>| {
        let mut resource = BTreeMap::from([
            ("prefect.resource.id".to_owned(), id),
            ("prefect.resource.role".to_owned(), role.to_owned()),
        ]);
        resource.extend(name.map(|name| ("prefect.resource.name".to_owned(), name.to_owned())));
        resource
    };
    let mut related: Vec<_> = RELATED
        .iter()
        .filter_map(|(role, id, name)| {
            let id = labels.by_key(id)?;
            Some(resource(format!("prefect.{role}.{id}"), role, labels.by_key(name)))
        })
        .collect();
    if let Some(name) = labels.by_key("prefect.io/worker-name") {
        let mut worker = resource(format!("prefect.worker.kubernetes.{}", slugify(name)), "worker", Some(name));
        worker.insert("prefect.worker-type".to_owned(), "kubernetes".to_owned());
        worker.insert("prefect.version".to_owned(), version.to_owned());
        related.push(worker);
    }
    related
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::pod;
    use super::*;

    #[test]
    fn c112_what_an_event_relates_to_follows_from_the_labels() {
        let found = related(&pod("modern/pod-running.json").labels, "3.8.8");
        let ids: Vec<&str> = found.iter().map(|related| related["prefect.resource.id"].as_str()).collect();
        assert_eq!(
            ids,
            [
                "prefect.flow-run.0f9e7f0c-3f5c-4a53-9b0e-2f1f6a1f9d11",
                "prefect.deployment.7c0d3bb4-8f7d-4a35-8b41-0d1a6f4f2c22",
                "prefect.flow.5a1c9f9e-1c1f-4f57-a1f1-9d0f3b6f3d33",
                "prefect.work-pool.b4a8e4b2-22c7-4f0c-8d5c-7f0b1a9d4e44",
                "prefect.worker.kubernetes.w1",
            ]
        );
        assert_eq!(found[1]["prefect.resource.role"], "deployment");
        assert_eq!(found[1]["prefect.resource.name"], "etl");
        assert_eq!(found[4]["prefect.worker-type"], "kubernetes");
        assert_eq!(found[4]["prefect.version"], "3.8.8");
        assert_eq!(related(&pod("1.20/pod-running.json").labels, "3.8.8").len(), 1);
    }
}
