//! A field of an update: kept, or set; set to null as well.

use serde::{Deserialize, Deserializer};

/// What an update does to a field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Change<T> {
    /// The update does not name it.
    #[default]
    Keep,
    /// The update names it.
    To(T),
}

impl<T> Change<T> {
    pub(crate) const fn is_change(&self) -> bool {
        matches!(self, Self::To(_))
    }

    pub(crate) fn apply(self, field: &mut T) {
        if let Self::To(value) = self {
            *field = value;
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Change<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::To)
    }
}
