//! What a string of a template takes its value from, without filling it in.

use super::placeholder::{PlaceholderKind, placeholders};
use super::text::TemplateText;

/// What a placeholder takes its value from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mention {
    /// A value by its path: `{{ a.b }}`.
    Value(String),
    /// A variable of the worker's environment: `{{ $NAME }}`.
    Environment(String),
}

/// The path that a string is as a whole, if it is one placeholder for a value: it becomes that value, with its type.
pub(crate) fn whole_value(text: &str) -> Option<String> {
    TemplateText::parse(text).whole(PlaceholderKind::Standard).map(|placeholder| placeholder.name.to_owned())
}

/// What the placeholders of the first pass in a string take their values from, in order.
pub(crate) fn mentions(text: &str) -> Vec<Mention> {
    let mention = |kind, name: &str| match kind {
        PlaceholderKind::Standard => Some(Mention::Value(name.to_owned())),
        PlaceholderKind::Env => Some(Mention::Environment(name.to_owned())),
        PlaceholderKind::Block | PlaceholderKind::Variable => None,
    };
    placeholders(text).filter_map(|placeholder| mention(placeholder.kind, placeholder.name)).collect()
}
