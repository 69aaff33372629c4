//! The patterns of lists.

use std::fmt;

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
        let pattern: Vec<char> = self.0.chars().collect();
        let text: Vec<char> = text.chars().collect();
        // The last star seen, and where in the text what it stands for ends so far.
        let mut star: Option<(usize, usize)> = None;
        let (mut at, mut read) = (0, 0);
        while let Some(found) = text.get(read) {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, read));
                    at += 1;
                }
                Some(wanted) if *wanted == '?' || wanted == found => {
                    at += 1;
                    read += 1;
                }
                Some(_) | None => {
                    let Some((of_star, stands_to)) = star else { return false };
                    star = Some((of_star, stands_to + 1));
                    at = of_star + 1;
                    read = stands_to + 1;
                }
            }
        }
        pattern.get(at..).is_some_and(|rest| rest.iter().all(|left| *left == '*'))
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
        ] {
            assert_eq!(Pattern::new(pattern).matches(text), expected, "{pattern} {text}");
        }
    }
}
