//! Containers of a run, whoever made them, as a plan is shown.

use bollard::models::{ContainerConfig, ContainerInspectResponse, ImageInspect};
use serde_json::{Map, Value, json};
use worker_core::ids::RunId;

use crate::engine::Engine;
use crate::error::DockerError;
use crate::marks;
use crate::plan::masked_entry;

/// The containers of a run.
pub(crate) async fn of_run(engine: &Engine, run: RunId) -> Result<Vec<Value>, DockerError> {
    let mut seen = Vec::new();
    for container in engine.labelled(marks::FLOW_RUN_ID, Some(&run.to_string())).await? {
        let Some(found) = engine.inspect(&container.id.unwrap_or_default()).await? else { continue };
        let image = match &found.image {
            Some(image) => engine.image(image).await?,
            None => None,
        };
        seen.push(shown(found, image.as_ref())?);
    }
    Ok(seen)
}

/// What the engine adds from the image is not of the run: it is taken away again.
fn shown(found: ContainerInspectResponse, image: Option<&ImageInspect>) -> Result<Value, DockerError> {
    let of_image = image.and_then(|image| image.config.clone()).unwrap_or_default();
    let mut config = found.config.unwrap_or_default();
    without_image(&mut config, of_image.env.as_deref().unwrap_or_default());
    if let (Some(labels), Some(of_image)) = (&mut config.labels, &of_image.labels) {
        labels.retain(|name, value| of_image.get(name) != Some(value));
    }
    let as_value = |error| DockerError::Unreadable(error);
    let mut container = match serde_json::to_value(config).map_err(as_value)? {
        Value::Object(config) => config,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    };
    container.insert("HostConfig".to_owned(), serde_json::to_value(found.host_config).map_err(as_value)?);
    let name = found.name.unwrap_or_default();
    Ok(json!({"name": name.trim_start_matches('/'), "container": container}))
}

fn without_image(config: &mut ContainerConfig, of_image: &[String]) {
    if let Some(env) = &mut config.env {
        env.retain(|entry| !of_image.contains(entry));
        for entry in env {
            *entry = masked_entry(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_shown_without_what_its_image_says_and_without_secrets() {
        let found: ContainerInspectResponse = serde_json::from_value(json!({
            "Name": "/run", "Config": {
                "Image": "x:1", "Env": ["PATH=/bin", "A=1", "API_TOKEN=hush"], "Labels": {"maintainer": "m", "l": "v"},
            },
            "HostConfig": {"Memory": 5},
        }))
        .unwrap();
        let image: ImageInspect =
            serde_json::from_value(json!({"Config": {"Env": ["PATH=/bin"], "Labels": {"maintainer": "m"}}})).unwrap();
        let shown = shown(found, Some(&image)).unwrap();
        assert_eq!(shown["name"], "run");
        assert_eq!(shown["container"]["Env"], json!(["A=1", "API_TOKEN=***"]));
        assert_eq!(shown["container"]["Labels"], json!({"l": "v"}));
        assert_eq!(shown["container"]["HostConfig"]["Memory"], 5);
    }
}
