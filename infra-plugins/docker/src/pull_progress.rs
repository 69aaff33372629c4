//! How far a pull is.

use std::collections::BTreeMap;
use std::fmt;

use bollard::models::CreateImageInfo;

/// The layers of an image that is pulled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Layers(BTreeMap<String, Layer>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Layer {
    is_there: bool,
    downloaded: i64,
    size: i64,
}

impl Layers {
    /// Takes in a word of the engine.
    pub(crate) fn note(&mut self, piece: &CreateImageInfo) {
        let (Some(id), Some(status)) = (&piece.id, piece.status.as_deref()) else { return };
        let layer = match status {
            "Pulling fs layer" | "Waiting" | "Downloading" | "Verifying Checksum" | "Download complete"
            | "Extracting" | "Pull complete" | "Already exists" => self.0.entry(id.clone()).or_default(),
            // The tag itself.
            _ => return,
        };
        layer.is_there = matches!(status, "Pull complete" | "Already exists");
        if status == "Downloading"
            && let Some(progress) = &piece.progress_detail
        {
            layer.downloaded = progress.current.unwrap_or(layer.downloaded);
            layer.size = progress.total.unwrap_or(layer.size);
        }
        if matches!(status, "Download complete" | "Pull complete") {
            layer.downloaded = layer.size;
        }
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MEGABYTE: i64 = 1_000_000;
        if self.0.is_empty() {
            return f.write_str("waiting for the registry");
        }
        let there = self.0.values().filter(|layer| layer.is_there).count();
        let downloaded: i64 = self.0.values().map(|layer| layer.downloaded).sum();
        let size: i64 = self.0.values().map(|layer| layer.size).sum();
        write!(f, "{there} of {} layers, {} of {} MB", self.0.len(), downloaded / MEGABYTE, size / MEGABYTE)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn layers_are_counted_as_they_come() {
        let mut layers = Layers::default();
        assert_eq!(layers.to_string(), "waiting for the registry");
        for piece in [
            json!({"status": "Pulling from team/flows", "id": "1.2"}),
            json!({"status": "Pulling fs layer", "id": "a"}),
            json!({"status": "Already exists", "id": "b"}),
            json!({"status": "Downloading", "id": "a", "progressDetail": {"current": 3_000_000, "total": 10_000_000}}),
        ] {
            layers.note(&serde_json::from_value(piece).unwrap());
        }
        assert_eq!(layers.to_string(), "1 of 2 layers, 3 of 10 MB");
        layers.note(&serde_json::from_value(json!({"status": "Pull complete", "id": "a"})).unwrap());
        assert_eq!(layers.to_string(), "2 of 2 layers, 10 of 10 MB");
        layers.note(&serde_json::from_value(json!({"status": "Digest: sha256:1"})).unwrap());
    }
}
