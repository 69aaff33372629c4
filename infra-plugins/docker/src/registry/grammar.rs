//! The parts of an image's name, as Docker's reference grammar has them.

/// Why a name of an image is not valid. There may be a password in what is no reference at all, so that is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReferenceError {
    #[error("it is empty")]
    Empty,
    #[error("it is a URL, and names of images have no scheme")]
    Url,
    #[error("64 hexadecimal digits are the id of an image and not its name")]
    Id,
    #[error("its registry is not a host, or a host and a port")]
    Registry,
    #[error("repository `{0}` is not in lower case")]
    NotLowerCase(String),
    #[error(
        "repository `{0}` has more in it than letters, digits and `/`, with `.`, `_`, `__` or `-` between two of a part"
    )]
    Repository(String),
    #[error("tag `{0}` is not 1 to 128 letters, digits, `_`, `.` or `-`, the first of them a letter, digit or `_`")]
    Tag(String),
    #[error("its digest is not `sha256:` and 64 hexadecimal digits in lower case")]
    Digest,
    #[error("it is longer than 255 characters")]
    TooLong,
}

/// Docker's limit for registry and repository together.
const LONGEST: usize = 255;

pub(super) fn check_registry(registry: &str) -> Result<(), ReferenceError> {
    let end_of_ip = registry.rfind(']').unwrap_or(0);
    let (host, port) = match registry.rsplit_once(':') {
        Some((host, port)) if host.len() > end_of_ip => (host, Some(port)),
        _ => (registry, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.chars().all(|digit| digit.is_ascii_digit());
    if is_host(host) && port.is_none_or(is_port) { Ok(()) } else { Err(ReferenceError::Registry) }
}

fn is_host(host: &str) -> bool {
    if let Some(ip) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return !ip.is_empty() && ip.chars().all(|digit| digit.is_ascii_hexdigit() || digit == ':');
    }
    let is_inside = |character: char| character.is_ascii_alphanumeric() || character == '-';
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(is_inside)
    };
    host.split('.').all(is_label)
}

pub(super) fn check_repository(registry: &str, path: &str) -> Result<(), ReferenceError> {
    if path.chars().any(char::is_uppercase) {
        Err(ReferenceError::NotLowerCase(path.to_owned()))
    } else if !path.split('/').all(is_component) {
        Err(ReferenceError::Repository(path.to_owned()))
    } else if registry.len() + 1 + path.len() > LONGEST {
        Err(ReferenceError::TooLong)
    } else {
        Ok(())
    }
}

fn is_component(component: &str) -> bool {
    let is_alphanumeric = |character: char| character.is_ascii_lowercase() || character.is_ascii_digit();
    let is_separator = |text: &str| matches!(text, "" | "." | "_" | "__") || text.chars().all(|dash| dash == '-');
    component.starts_with(is_alphanumeric)
        && component.ends_with(is_alphanumeric)
        && component.split(is_alphanumeric).all(is_separator)
}

pub(super) fn check_tag(tag: &str) -> Result<(), ReferenceError> {
    let is_word = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let is_tag = tag.len() <= 128
        && tag.starts_with(is_word)
        && tag.chars().all(|character| is_word(character) || ".-".contains(character));
    if is_tag { Ok(()) } else { Err(ReferenceError::Tag(tag.to_owned())) }
}

pub(super) fn check_digest(digest: &str) -> Result<(), ReferenceError> {
    let (algorithm, digits) = digest.split_once(':').ok_or(ReferenceError::Digest)?;
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return Err(ReferenceError::Digest),
    };
    if digits.len() == length && is_hexadecimal(digits) { Ok(()) } else { Err(ReferenceError::Digest) }
}

/// Whether an engine would take it for the id of an image.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 64 && is_hexadecimal(text)
}

fn is_hexadecimal(text: &str) -> bool {
    text.chars().all(|digit| digit.is_ascii_digit() || matches!(digit, 'a'..='f'))
}
