//! `prefect.toml` and the `[tool.prefect]` tables of `pyproject.toml`: nested tables follow the path of a setting.

use toml::de::{DeTable, DeValue};

use super::known::{self, Kind};
use crate::{
    ConfigError, Origin,
    error::{closest, did_you_mean},
    layer::{Layer, Origins},
    raw::Raw,
    toml_document::{self, Document},
};

/// Gathers the settings of one file.
pub(crate) struct TomlSettings<'a> {
    pub(crate) document: Document<'a>,
    pub(crate) origins: &'a mut Origins,
    pub(crate) warnings: &'a mut Vec<String>,
    pub(crate) problems: &'a mut Vec<ConfigError>,
}

impl TomlSettings<'_> {
    /// The layer that the settings below a table make.
    pub(crate) fn layer(&mut self, root: &DeTable<'_>) -> Layer {
        let mut layer = Layer::default();
        self.walk(root, "", &mut layer);
        layer
    }

    fn walk(&mut self, table: &DeTable<'_>, section: &str, layer: &mut Layer) {
        for (name, value) in table {
            let key =
                if section.is_empty() { name.get_ref().to_string() } else { format!("{section}.{}", name.get_ref()) };
            let origin = Origin::File { path: self.document.path(), line: self.document.line(name.span().start) };
            if let Some(setting) = known::by_key(&key) {
                match leaf(setting.kind, value.get_ref()) {
                    Ok(raw) => layer.set(self.origins, setting.variable, raw, origin),
                    Err(reason) => self.problems.push(ConfigError::Invalid { key, origin, reason }),
                }
                continue;
            }
            match (known::is_section(&key), value.get_ref()) {
                (true, DeValue::Table(inner)) => self.walk(inner, &key, layer),
                (true, other) => self.problems.push(ConfigError::Invalid {
                    key,
                    origin,
                    reason: format!("must be a table of settings, not {}", toml_document::type_name(other)),
                }),
                (false, _) => self.warn_of_unknown(&key, &origin),
            }
        }
    }

    /// The SDK ignores unknown keys, so the file of a newer or older SDK must not stop the daemon.
    fn warn_of_unknown(&mut self, key: &str, origin: &Origin) {
        // Settings of other integrations are read by the flow run itself.
        if key.starts_with("integrations.") && !key.starts_with("integrations.kubernetes.") {
            return;
        }
        let suggestion = closest(key, known::all().map(|setting| setting.key));
        self.warnings.push(format!("{origin}: unknown Prefect setting `{key}` is ignored{}", did_you_mean(suggestion)));
    }
}

fn leaf(kind: Kind, value: &DeValue<'_>) -> Result<Raw, String> {
    match (kind, value) {
        (Kind::Headers | Kind::Json, _) => Ok(toml_document::raw(value)),
        (_, DeValue::Table(_)) => Err("must be a single value, not a table".to_owned()),
        _ => Ok(toml_document::raw(value)),
    }
}
