//! `$NAME` and `${NAME}` in a command, as Python's `string.Template.safe_substitute` replaces them.

use std::collections::BTreeMap;

/// Replaces the variables that there are, and `$$` by `$`; all else stays as it is.
pub(super) fn expand(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut parts = text.split('$');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    while let Some(part) = parts.next() {
        if part.is_empty()
            && let Some(after) = parts.next()
        {
            // `$$`: what follows the second one is no name.
            expanded.push('$');
            expanded.push_str(after);
            continue;
        }
        if let Some((value, rest)) = named(part).and_then(|(name, rest)| Some((variables.get(name)?, rest))) {
            expanded.push_str(value);
            expanded.push_str(rest);
        } else {
            expanded.push('$');
            expanded.push_str(part);
        }
    }
    expanded
}

/// The name at the beginning of what follows a `$`, and the rest.
fn named(text: &str) -> Option<(&str, &str)> {
    let braced = text.strip_prefix('{');
    let (name, rest) = braced.unwrap_or(text).split_at(name_length(braced.unwrap_or(text)));
    let rest = if braced.is_some() { rest.strip_prefix('}')? } else { rest };
    (!name.is_empty()).then_some((name, rest))
}

fn name_length(text: &str) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if text.bytes().next().is_some_and(|first| first.is_ascii_digit()) {
        return 0;
    }
    text.bytes().take_while(is_part).count()
}
