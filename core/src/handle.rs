//! The value by which a piece of infrastructure is found again.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::ids::{InfraId, LaunchKey};
use crate::spec::ReportState;

/// The kind of infrastructure a plugin drives, as the API spells it in a work pool's `type`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PluginKind(String);

impl PluginKind {
    /// Names a kind, such as `process`.
    pub fn new(kind: impl Into<String>) -> Self {
        Self(kind.into())
    }

    /// The API's spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A plain value with which a process that has never seen the infrastructure can watch, kill and clean it up.
///
/// The daemon stores it and never looks into `detail`; the version lets a newer plugin read an older handle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    /// The plugin that made it.
    pub kind: PluginKind,
    /// Version of the shape of `detail`.
    pub version: u32,
    /// The execution it belongs to.
    pub key: LaunchKey,
    /// The backend's own name for it, reported to the API.
    pub infra_id: InfraId,
    /// Who reports the run's states: told by the infrastructure itself where nobody remembers having launched it.
    #[serde(default)]
    pub report_state: ReportState,
    /// Whether something inside it ends the run when it is cancelled, as Prefect's `flow-run execute` does.
    #[serde(default)]
    pub cancels_itself: bool,
    /// The plugin's own data. No secrets.
    pub detail: Detail,
}

/// A plugin's own data about its infrastructure.
///
/// Kept as text: as a tree of values it would take five times the memory, for each of thousands of live runs, and it is read a
/// few times in the life of a run. Clones share it, because every step of a run has a copy of its handle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail(Arc<str>);

impl Detail {
    /// Puts data down.
    ///
    /// # Errors
    /// It has no form as JSON.
    pub fn of(data: &impl Serialize) -> serde_json::Result<Self> {
        Ok(Self(serde_json::to_string(data)?.into()))
    }

    /// Takes data up again.
    ///
    /// # Errors
    /// It is of another shape.
    pub fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(&self.0)
    }
}

impl Default for Detail {
    /// No data.
    fn default() -> Self {
        Self("null".into())
    }
}

/// As the values that the text stands for: so it is in the journals that other versions read.
impl Serialize for Detail {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.read::<Value>().map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Detail {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Value::deserialize(deserializer)?.to_string().into()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn detail_is_written_as_what_it_holds_and_read_as_it_was() {
        let data = json!({"process": {"pid": 42, "started": null}, "name": "a \"b\""});
        let detail = Detail::of(&data).unwrap();
        assert_eq!(serde_json::to_value(&detail).unwrap(), data);
        assert_eq!(serde_json::from_value::<Detail>(data.clone()).unwrap(), detail);
        assert_eq!(detail.read::<Value>().unwrap(), data);
        assert_eq!(serde_json::to_value(Detail::default()).unwrap(), Value::Null);
    }
}
