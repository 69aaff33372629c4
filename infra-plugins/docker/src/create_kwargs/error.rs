//! Why a keyword argument cannot be put into what the engine is asked for.

/// Names arguments and kinds of values, never the values: those may be secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KwargError {
    #[error("`{key}` is not a known argument{}", did_you_mean(suggestion.as_deref()))]
    Unknown { key: String, suggestion: Option<String> },
    #[error("`{key}` must be {expected}, not {found}")]
    Wrong { key: String, expected: String, found: &'static str },
    #[error("`{key}` is missing")]
    Missing { key: String },
    #[error("`{key}` is not supported: {why}")]
    Unsupported { key: String, why: &'static str },
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |known| format!(", did you mean `{known}`?"))
}

/// The candidate most like `key`, if one is like enough to be what its author meant.
pub(super) fn closest(key: &str, candidates: impl IntoIterator<Item = &'static str>) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(key, candidate), candidate))
        .filter(|(likeness, _)| *likeness >= 0.6)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate.to_owned())
}
