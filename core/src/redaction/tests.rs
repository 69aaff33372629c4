use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use proptest::prelude::*;

use super::*;

const TOKEN: &str = "ghp_S3cr3t/+\"tök en";

fn redacted(secret: &str, text: &str) -> String {
    Redactor::new([secret], 8).redact(text).into_owned()
}

#[test]
fn a_secret_is_found_in_every_form_in_which_programs_print_it() {
    for form in [
        TOKEN.to_owned(),
        "ghp_S3cr3t%2F%2B%22t%C3%B6k%20en".to_owned(),
        "ghp_S3cr3t%2f%2b%22t%c3%b6k%20en".to_owned(),
        "ghp_S3cr3t/%2B%22t%C3%B6k%20en".to_owned(),
        "ghp_S3cr3t%2F%2B%22t%C3%B6k+en".to_owned(),
        "ghp_S3cr3t%2F+%22t%C3%B6k%20en".to_owned(),
        "ghp_S3cr3t/+\\\"tök en".to_owned(),
        "ghp_S3cr3t/+\\\"t\\u00f6k en".to_owned(),
        STANDARD.encode(TOKEN),
        URL_SAFE.encode(TOKEN),
    ] {
        let text = redacted(TOKEN, &format!("before {form} behind"));
        let rest = text.trim_start_matches("before ***").trim_end_matches(" behind");
        assert!(rest.trim_matches('=').is_empty(), "{form}: {text}");
    }
}

#[test]
fn a_secret_is_found_in_base64_wherever_it_stands_in_what_was_encoded() {
    for (before, behind) in [("", ""), ("u:", ""), ("me:", "!"), ("user:", "\n")] {
        let encoded = STANDARD.encode(format!("{before}abcdef123-456{behind}"));
        let text = redacted("abcdef123-456", &format!("Basic {encoded}"));
        assert!(text.contains(MASK) && text.len() < 24, "{text}");
    }
}

#[test]
fn short_secrets_are_left_where_they_are_because_they_occur_by_chance() {
    for short in ["", "a", "main", "prefect"] {
        let text = "prefect runs the main branch of a flow: bWFpbg== cHJlZmVjdA==";
        assert_eq!(redacted(short, text), text, "{short:?}");
    }
}

#[test]
fn what_overlaps_is_replaced_as_a_whole() {
    let redactor = Redactor::new(["abcdefgh", "efghijkl", "defg-longer"], 8);
    assert_eq!(redactor.redact("x abcdefghijkl y"), "x *** y");
    assert_eq!(redactor.redact("abcdefghabcdefgh"), "******");
}

#[test]
fn the_lines_of_a_key_are_secrets_and_its_first_line_is_not() {
    let key = "-----BEGIN-----\nMIIEvQIBADANBgkqhkiG\n-----END-----\n";
    assert_eq!(redacted(key, "at MIIEvQIBADANBgkqhkiG: -----BEGIN-----"), "at ***: -----BEGIN-----");
}

#[test]
fn a_long_secret_is_found_from_its_beginning_to_its_end() {
    let numbers: Vec<String> = (0..1000).map(|number| format!("{number:05}")).collect();
    let long = numbers.concat();
    let redactor = Redactor::new([long.as_str()], 8);
    assert_eq!(redactor.redact(&format!("a {long} b")).replace(MASK, ""), "a  b");
    assert!(redactor.longest < 2_000, "what is held back is bounded");
}

#[test]
fn nothing_is_found_without_secrets_and_nothing_is_shown_of_them() {
    assert_eq!(Redactor::default().redact("text"), "text");
    assert!(!format!("{:?}", Redactor::new([TOKEN], 8)).contains("S3cr3t"));
}

/// Few letters, so that secrets overlap themselves and each other, and borders fall within them.
fn words() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec("[abé%]{1,5}", 0..4)
}

proptest! {
    #[test]
    fn a_text_in_pieces_is_redacted_as_the_whole(
        secrets in words(),
        text in "[abé% ]{0,60}",
        cuts in prop::collection::vec(0_usize..70, 0..8),
    ) {
        let redactor = Redactor::new(secrets.iter().map(String::as_str), 2);
        let mut stream = redactor.stream();
        let (mut given, mut rest) = (Vec::new(), text.as_bytes());
        for cut in cuts {
            let (piece, behind) = rest.split_at(cut.min(rest.len()));
            given.extend(stream.push(piece));
            prop_assert!(stream.held() < redactor.longest.max(1), "more is held back than the longest form");
            rest = behind;
        }
        given.extend(stream.push(rest));
        given.extend(stream.finish());
        prop_assert_eq!(String::from_utf8(given).unwrap(), redactor.redact(&text));
    }

    #[test]
    fn no_secret_is_left(secrets in words(), text in "[abé% ]{0,60}") {
        let redactor = Redactor::new(secrets.iter().map(String::as_str), 2);
        let left = redactor.redact(&text).into_owned();
        for secret in secrets.iter().filter(|secret| secret.len() >= 2) {
            prop_assert!(!left.contains(secret.as_str()), "{secret:?} in {left:?}");
        }
    }

    #[test]
    fn a_text_without_secrets_stays_as_it_is(text in "[^abx]{0,80}") {
        let redactor = Redactor::new(["abababab", "xxxxxxxx"], 8);
        let redacted = redactor.redact(&text);
        prop_assert_eq!(redacted.as_ref(), text.as_str());
    }
}
