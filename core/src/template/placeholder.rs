//! Finding placeholders in a string.

use std::sync::LazyLock;

use regex::Regex;

/// What a placeholder stands for; its name's prefix decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlaceholderKind {
    /// `{{ a.b[0] }}`: a value by path.
    Standard,
    /// `{{ prefect.blocks.<type slug>.<name>[.path] }}`: data of a block document.
    Block,
    /// `{{ prefect.variables.<name> }}`: the value of a Prefect variable.
    Variable,
    /// `{{ $NAME }}`: an environment variable of the worker.
    Env,
}

const BLOCK_PREFIX: &str = "prefect.blocks.";
const VARIABLE_PREFIX: &str = "prefect.variables.";

/// One placeholder as it stands in a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placeholder<'t> {
    /// The text with its braces, such as `{{ a.b }}`.
    pub(super) text: &'t str,
    /// What it stands for.
    pub(super) kind: PlaceholderKind,
    /// The name without the prefix of its kind: `a.b`, `NAME`, `<type slug>.<name>`.
    pub(super) name: &'t str,
}

impl<'t> Placeholder<'t> {
    fn new(text: &'t str, full_name: &'t str) -> Self {
        let (kind, name) = if let Some(name) = full_name.strip_prefix(BLOCK_PREFIX) {
            (PlaceholderKind::Block, name)
        } else if let Some(name) = full_name.strip_prefix(VARIABLE_PREFIX) {
            (PlaceholderKind::Variable, name)
        } else if full_name.starts_with('$') {
            (PlaceholderKind::Env, full_name.trim_start_matches('$'))
        } else {
            (PlaceholderKind::Standard, full_name)
        };
        Self { text, kind, name }
    }
}

/// `[\p{L}\p{N}_]` is what Python's `\w` matches; Rust's would add combining marks and joiners.
static PLACEHOLDER: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\{\{[\s\x1c-\x1f]*([\p{L}\p{N}_.\-\[\]$]+)[\s\x1c-\x1f]*\}\}").expect("the pattern is a constant")
});

/// The placeholders of a string, from left to right, with their byte offsets.
pub(super) fn placeholders_at(text: &str) -> impl Iterator<Item = (usize, Placeholder<'_>)> {
    PLACEHOLDER.captures_iter(text).filter_map(|captures| {
        let whole = captures.get(0)?;
        let name = captures.get(1)?;
        Some((whole.start(), Placeholder::new(whole.as_str(), name.as_str())))
    })
}

/// The placeholders of a string, from left to right.
pub(super) fn placeholders(text: &str) -> impl Iterator<Item = Placeholder<'_>> {
    placeholders_at(text).map(|(_, placeholder)| placeholder)
}
