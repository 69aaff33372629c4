//! Layers of values and their merge, with the origin of each value kept.
//!
//! A layer is a source of the `config` crate; its builder lets later layers win key by key. A value carries its origin
//! through the merge as an index into [`Origins`], because that crate keeps one text per value.

use std::{collections::BTreeMap, fmt};

use config::{Config, ConfigBuilder, Map, Source, Value, ValueKind, builder::DefaultState};

use crate::{Origin, raw::Raw};

/// Every origin seen while loading.
#[derive(Debug, Default)]
pub(crate) struct Origins(Vec<Origin>);

impl Origins {
    fn remember(&mut self, origin: Origin) -> String {
        self.0.push(origin);
        (self.0.len() - 1).to_string()
    }

    fn recall(&self, value: &Value) -> Origin {
        value
            .origin()
            .and_then(|index| index.parse::<usize>().ok())
            .and_then(|index| self.0.get(index))
            .cloned()
            .unwrap_or(Origin::Default)
    }
}

/// The values one source sets, by the variable each setting is known by.
#[derive(Clone, Default)]
pub(crate) struct Layer(Map<String, Value>);

impl Layer {
    pub(crate) fn set(&mut self, origins: &mut Origins, variable: &str, value: Raw, origin: Origin) {
        let index = origins.remember(origin);
        self.0.insert(variable.to_owned(), Value::new(Some(&index), value));
    }

    /// Adds the values of a layer that sets other settings.
    pub(crate) fn add(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The part of it whose variables are wanted.
    pub(crate) fn only(mut self, wanted: impl Fn(&str) -> bool) -> Self {
        self.0.retain(|variable, _| wanted(variable));
        self
    }

    /// Whether it sets a setting.
    pub(crate) fn has(&self, variable: &str) -> bool {
        self.0.contains_key(variable)
    }

    /// The text a setting is set to.
    pub(crate) fn text(&self, variable: &str) -> Option<&str> {
        if let ValueKind::String(text) = &self.0.get(variable)?.kind { Some(text) } else { None }
    }
}

/// Names only: a layer holds secrets.
impl fmt::Debug for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// A value that won, and where it was set.
pub(crate) struct Found {
    pub(crate) value: Raw,
    pub(crate) origin: Origin,
}

/// The outcome of the merge, by variable.
pub(crate) struct Merged(BTreeMap<String, Found>);

impl Merged {
    /// Merges layers given lowest first.
    pub(crate) fn new(layers: Vec<Layer>, origins: &Origins) -> Result<Self, config::ConfigError> {
        let merged = layers.into_iter().fold(Config::builder(), ConfigBuilder::<DefaultState>::add_source).build()?;
        let ValueKind::Table(values) = merged.cache.kind else {
            return Ok(Self(BTreeMap::new()));
        };
        let found = values.into_iter().map(|(variable, value)| {
            let origin = origins.recall(&value);
            let value = Raw::from(value.kind);
            (variable, Found { value, origin })
        });
        Ok(Self(found.collect()))
    }

    pub(crate) fn get(&self, variable: &str) -> Option<&Found> {
        self.0.get(variable)
    }
}
