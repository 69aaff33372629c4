//! How a secret may show up in a text.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

/// Shorter lines of a secret of several lines are not looked for by themselves: every private key has the same first one.
const SHORTEST_LINE: usize = 16;
/// A longer secret is looked for in pieces of this length.
const PIECE: usize = 512;
/// So many of them, which is more than any key has.
const MOST_PIECES: usize = 32;

/// All but what no encoder encodes.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// As Python's `quote` does by itself.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');
/// As in the user and password of a URL.
const USERINFO: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'=')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'|');

/// Every form of every secret that is long enough.
pub(super) fn of_all<'s>(secrets: impl IntoIterator<Item = &'s str>, shortest: usize) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    for secret in secrets {
        let lines = secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_LINE && *line != secret);
        for part in lines.chain([secret]).flat_map(pieces) {
            if part.len() >= shortest.max(1) {
                forms.extend(of(part));
            }
        }
    }
    // A few bytes of base64 are in half of all texts.
    forms.retain(|form| form.len() >= shortest.max(1));
    forms
}

/// A text in pieces, cut between characters.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    let next = move || {
        let end = (0..=PIECE.min(rest.len())).rev().find(|end| rest.is_char_boundary(*end))?;
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    };
    std::iter::from_fn(next).take(MOST_PIECES)
}

fn of(secret: &str) -> Vec<String> {
    let encoded = |set: &'static AsciiSet| utf8_percent_encode(secret, set).to_string();
    let escaped = escaped_in_json(secret);
    let mut forms = vec![
        secret.to_owned(),
        encoded(UNRESERVED),
        with_small_digits(&encoded(UNRESERVED)),
        encoded(PATH),
        encoded(USERINFO),
        encoded(UNRESERVED).replace("%20", "+"),
        ascii_only(&escaped),
        escaped,
    ];
    forms.extend(base64_forms(secret));
    forms
}

/// Percent-encoding with small digits, as some programs have it.
fn with_small_digits(encoded: &str) -> String {
    let mut digits = 0_u8;
    let small = |character: char| {
        let is_digit = digits > 0;
        digits = if character == '%' { 2 } else { digits.saturating_sub(1) };
        if is_digit { character.to_ascii_lowercase() } else { character }
    };
    encoded.chars().map(small).collect()
}

/// As it stands within the quotes of a JSON text.
fn escaped_in_json(secret: &str) -> String {
    let quoted = serde_json::Value::from(secret).to_string();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

/// As JSON without any character beyond ASCII, which is what Python writes.
fn ascii_only(escaped: &str) -> String {
    let mut ascii = String::with_capacity(escaped.len());
    let mut units = [0; 2];
    for character in escaped.chars() {
        if character.is_ascii() {
            ascii.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                ascii.extend([format!("\\u{unit:04x}")]);
            }
        }
    }
    ascii
}

/// Of a shorter secret so few characters are certain that they are in half of all texts.
const SHORTEST_WITHIN: usize = 6;

/// What is certain to be in the base64 form of any text that holds the secret: it depends on the secret's place in it.
fn base64_forms(secret: &str) -> Vec<String> {
    let alphabets = [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD];
    let placed = |alphabet: &GeneralPurpose, before: usize| {
        let encoded = alphabet.encode([&vec![0; before], secret.as_bytes()].concat());
        // Characters that also depend on what is before or behind.
        let first = (before * 8).div_ceil(6);
        let last = (before + secret.len()) * 8 / 6;
        encoded.get(first..last).map(str::to_owned)
    };
    let is_long = secret.len() >= SHORTEST_WITHIN;
    let anywhere = alphabets
        .into_iter()
        .filter(move |_| is_long)
        .flat_map(|alphabet| (0..3).filter_map(move |before| placed(alphabet, before)));
    // By itself it is encoded with its last character and the padding.
    anywhere.chain(alphabets.map(|alphabet| alphabet.encode(secret))).collect()
}
