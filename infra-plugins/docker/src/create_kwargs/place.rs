//! Where the value of a keyword argument goes.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig};

use super::{Applied, KwargError, given::Given};

/// What the engine is asked for, and what goes elsewhere.
pub(super) struct Asked<'b> {
    pub(super) body: &'b mut ContainerCreateBody,
    pub(super) applied: Applied,
}

impl Asked<'_> {
    pub(super) fn host(&mut self) -> &mut HostConfig {
        self.body.host_config.get_or_insert_default()
    }
}

/// The field of what the engine is asked for that takes a value as it was read.
type Slot<T> = for<'a> fn(&'a mut Asked<'_>) -> &'a mut Option<T>;

/// The keyword arguments of an area.
pub(super) type Keys = &'static [(&'static str, Place)];

/// How the value of a keyword argument is read, and where it goes.
pub(super) enum Place {
    Flag(Slot<bool>),
    Whole(Slot<i64>),
    Bytes(Slot<i64>),
    Text(Slot<String>),
    TextOrNumber(Slot<String>),
    Texts(Slot<Vec<String>>),
    TextOrTexts(Slot<Vec<String>>),
    TextMap(Slot<HashMap<String, String>>),
    /// Read and put by a function of its own.
    Own(fn(&Given<'_>, &mut Asked<'_>) -> Result<(), KwargError>),
    Dropped,
    Unsupported(&'static str),
}

impl Place {
    pub(super) fn put(&self, given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
        match self {
            Self::Flag(slot) => *slot(asked) = Some(given.flag()?),
            Self::Whole(slot) => *slot(asked) = Some(given.whole()?),
            Self::Bytes(slot) => *slot(asked) = Some(given.bytes()?),
            Self::Text(slot) => *slot(asked) = Some(given.text()?),
            Self::TextOrNumber(slot) => *slot(asked) = Some(given.text_or_number()?),
            Self::Texts(slot) => *slot(asked) = Some(given.texts()?),
            Self::TextOrTexts(slot) => *slot(asked) = Some(given.text_or_texts()?),
            Self::TextMap(slot) => *slot(asked) = Some(given.text_map()?),
            Self::Own(put) => put(given, asked)?,
            Self::Dropped => asked.applied.ignored.push(given.key.clone()),
            Self::Unsupported(why) => return Err(KwargError::Unsupported { key: given.key.clone(), why }),
        }
        Ok(())
    }
}
