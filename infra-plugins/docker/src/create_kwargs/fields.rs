//! Objects within a keyword argument, whose names may be the engine's (`StartPeriod`) or docker-py's (`start_period`).

use super::{KwargError, error::closest, given::Given};

/// The fields of an object that were given. Null is not given.
pub(super) struct Fields<'v> {
    key: String,
    given: Vec<(&'static str, Given<'v>)>,
}

impl<'v> Fields<'v> {
    /// A field that is none of the known ones is an error: it would be lost without a word.
    pub(super) fn of(object: &Given<'v>, known: &'static [&'static str]) -> Result<Self, KwargError> {
        let mut given = Vec::new();
        for (name, value) in object.entries()? {
            let Some(known) = known.iter().find(|known| plain(known) == plain(name)) else {
                return Err(KwargError::Unknown { key: value.key, suggestion: closest(name, known.iter().copied()) });
            };
            if !value.value.is_null() {
                given.push((*known, value));
            }
        }
        Ok(Self { key: object.key.clone(), given })
    }

    pub(super) fn read<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Given<'v>) -> Result<T, KwargError>,
    ) -> Result<Option<T>, KwargError> {
        self.given.iter().find(|(known, _)| *known == name).map(|(_, value)| read(value)).transpose()
    }

    pub(super) fn required<T>(
        &self,
        name: &str,
        read: impl FnOnce(&Given<'v>) -> Result<T, KwargError>,
    ) -> Result<T, KwargError> {
        self.read(name, read)?.ok_or_else(|| KwargError::Missing { key: format!("{}.{name}", self.key) })
    }
}

/// What the two ways of writing a name have in common.
fn plain(name: &str) -> String {
    name.replace('_', "").to_ascii_lowercase()
}
