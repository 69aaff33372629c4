//! Slugs for the resource ids of events: `prefect.worker.<type>.<slug of the worker's name>`.

use std::sync::LazyLock;

use deunicode::deunicode_char;
use regex::Regex;

/// Marks that Prefect's transliteration drops, where `deunicode` would write a word (`😀` as `grinning`).
static SYMBOL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\p{So}").expect("the pattern is a constant"));

/// A name in lower-case ASCII letters and digits with single dashes between, as Prefect (python-slugify) makes it:
/// `My Worker` becomes `my-worker`. Commas between digits vanish; what has no ASCII form does too.
///
/// HTML entities in a name, which python-slugify decodes, are taken as they stand.
pub fn slugify(name: &str) -> String {
    let ascii = in_ascii(name);
    let words = ascii.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_ascii_lowercase()
}

/// A text in ASCII, as Prefect (python-slugify) writes it before it makes words of it.
pub fn in_ascii(text: &str) -> String {
    without_digit_commas(&transliterated(text))
}

fn transliterated(name: &str) -> String {
    let mut ascii = String::with_capacity(name.len());
    for character in name.chars() {
        if character == '\'' {
            // One that was typed separates words; one that transliteration made is dropped.
            ascii.push('-');
        } else if character.is_ascii() {
            ascii.push(character);
        } else if !SYMBOL.is_match(character.encode_utf8(&mut [0; 4])) {
            ascii.extend(deunicode_char(character).unwrap_or_default().chars().filter(|ascii| *ascii != '\''));
        }
    }
    ascii
}

/// `1,000` is one number, not two words.
fn without_digit_commas(text: &str) -> String {
    let is_digit = |character: Option<char>| character.is_some_and(|character| character.is_ascii_digit());
    let mut result = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let within_number = character == ',' && is_digit(result.chars().next_back()) && is_digit(rest.peek().copied());
        if !within_number {
            result.push(character);
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values made by python-slugify itself.
    #[test]
    fn names_become_the_slugs_that_prefect_makes() {
        for (name, slug) in [
            ("My Worker", "my-worker"),
            ("ProcessWorker 1-2", "processworker-1-2"),
            ("--a__b--", "a-b"),
            ("a.b", "a-b"),
            ("1,000 x", "1000-x"),
            ("don't", "don-t"),
            ("Zürich's Ärger", "zurich-s-arger"),
            ("ß Ø æ", "ss-o-ae"),
            ("u\u{308}", "u"),
            ("Ⅷ ﬁ", "viii-fi"),
            ("x²", "x2"),
            ("“quoted” – dash", "quoted-dash"),
            ("İstanbul", "istanbul"),
            ("Привет мир", "privet-mir"),
            ("北京", "bei-jing"),
            ("한국어", "hangugeo"),
            ("smile 😀 x", "smile-x"),
            ("☃", ""),
            ("", ""),
        ] {
            assert_eq!(slugify(name), slug, "{name}");
        }
    }
}
