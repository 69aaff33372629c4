//! The patterns of lists.

use std::fmt;
use std::str::Chars;

/// A text in which `*` stands for any characters, `/` among them, and `?` for any single one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern as it is written.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a whole text is of this form.
    pub fn matches(&self, text: &str) -> bool {
        is_of_form(&self.0, text)
    }
}

/// Whether a whole text is of the form that a pattern writes down. Allocates nothing: each run asks it some thousand times,
/// for each variable of the worker's environment and each pattern.
pub fn is_of_form(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // What follows the last star seen, and the text from where what it stands for ends so far.
    let mut star: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        let (mut rest_of_pattern, mut rest_of_text) = (pattern.clone(), text.clone());
        match (rest_of_pattern.next(), rest_of_text.next()) {
            (Some('*'), _) => {
                star = Some((rest_of_pattern.clone(), text.clone()));
                pattern = rest_of_pattern;
            }
            (None, None) => return true,
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                pattern = rest_of_pattern;
                text = rest_of_text;
            }
            (Some(_), None) => return false,
            (Some(_) | None, Some(_)) => {
                let Some((after_star, stands_until)) = &mut star else { return false };
                stands_until.next();
                pattern = after_star.clone();
                text = stands_until.clone();
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything_and_the_whole_text_has_to_fit() {
        for (pattern, text, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("", "", true),
            ("*", "", true),
            ("*", "a/b", true),
            ("a*", "a", true),
            ("a*c", "abcbc", true),
            ("a*c", "abcb", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*.example.com/*", "r.example.com/x", true),
            ("r.example.com/*", "r.example.com.evil.test/x", false),
            ("*a*a*a*b", &"a".repeat(40), false),
            ("a*", "", false),
            ("a**", "a", true),
            ("*ab", "aab", true),
            ("?", "ä", true),
            ("ä*ö", "äöxö", true),
            ("*", "*", true),
            ("?*?", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }
}
