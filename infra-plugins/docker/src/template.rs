//! The base job template that a new work pool of this kind gets.

use infra_contract::JobTemplate;

/// The template as Prefect's Docker worker gives it, with descriptions of our own.
pub(crate) fn base_job_template() -> JobTemplate {
    JobTemplate::parse(include_str!("template.json")).unwrap_or_else(|_| JobTemplate::new(serde_json::Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_a_variable_of_the_same_name() {
        let template = base_job_template();
        let template = template.as_json();
        let fields = template["job_configuration"].as_object().unwrap();
        let variables = template["variables"]["properties"].as_object().unwrap();
        assert_eq!(fields.len(), 16);
        for (field, placeholder) in fields {
            assert_eq!(placeholder, &format!("{{{{ {field} }}}}"));
            assert!(variables[field]["description"].is_string(), "{field}");
        }
    }
}
