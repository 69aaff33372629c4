//! The base job template that a new work pool of this kind gets.

use infra_contract::JobTemplate;

/// The template as Prefect's Kubernetes worker gives it, with descriptions of our own.
pub(crate) fn base_job_template() -> JobTemplate {
    JobTemplate::parse(include_str!("template.json")).unwrap_or_else(|_| JobTemplate::new(serde_json::Value::Null))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_variable_is_described_and_used_and_every_placeholder_is_a_variable() {
        let template = base_job_template();
        let template = template.as_json();
        let variables = template["variables"]["properties"].as_object().unwrap();
        assert_eq!(variables.len(), 19);
        let configuration = template["job_configuration"].to_string();
        for (name, variable) in variables {
            assert!(variable["description"].is_string(), "{name}");
            assert!(configuration.contains(&format!("{{{{ {name} }}}}")), "{name}");
        }
        let used: BTreeSet<&str> =
            configuration.split("{{ ").skip(1).filter_map(|text| text.split(" }}").next()).collect();
        assert!(used.iter().all(|name| variables.contains_key(*name)), "{used:?}");
    }
}
