//! What runs in the container, and as whom.

use serde_json::Value;

use super::{
    KwargError,
    given::Given,
    health::healthcheck,
    place::{Asked, Keys, Place},
};

pub(super) const KEYS: Keys = &[
    ("domainname", Place::Text(|to| &mut to.body.domainname)),
    ("entrypoint", Place::Own(entrypoint)),
    ("group_add", Place::Own(group_add)),
    ("healthcheck", Place::Own(healthcheck)),
    ("hostname", Place::Text(|to| &mut to.body.hostname)),
    ("init", Place::Flag(|to| &mut to.host().init)),
    ("init_path", Place::Unsupported("the engine's API has none since version 1.29")),
    ("stdin_open", Place::Own(stdin_open)),
    ("tty", Place::Flag(|to| &mut to.body.tty)),
    ("user", Place::TextOrNumber(|to| &mut to.body.user)),
    ("working_dir", Place::Text(|to| &mut to.body.working_dir)),
];

fn entrypoint(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    let words = match given.value {
        Value::String(line) => {
            shell_words::split(line).map_err(|_| given.malformed("a command line whose quotes are closed"))?
        }
        Value::Array(_) => given.texts()?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(given.wrong("a command line or a list of words"));
        }
    };
    asked.body.entrypoint = Some(words);
    Ok(())
}

fn group_add(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().group_add = Some(given.each(Given::text_or_number)?);
    Ok(())
}

/// docker-py attaches to the input that it opens, and the first to leave closes it.
fn stdin_open(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    let open = given.flag()?;
    asked.body.open_stdin = Some(open);
    asked.body.attach_stdin = Some(open);
    asked.body.stdin_once = Some(open);
    Ok(())
}
