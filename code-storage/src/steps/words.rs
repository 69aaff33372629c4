//! A command's words, as Python's `shlex.split` finds them.
//!
//! Not those of a POSIX shell, which is why none of the crates for it serves: `#` starts no comment, and within double
//! quotes a backslash is kept unless a double quote or another one follows it.

/// Why a command has no words; completes "the input `script` …".
pub(super) fn split(command: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut characters = command.chars().peekable();
    loop {
        while characters.next_if(|character| is_blank(*character)).is_some() {}
        if characters.peek().is_none() {
            return Ok(words);
        }
        let mut word = String::new();
        while let Some(character) = characters.next_if(|character| !is_blank(*character)) {
            match character {
                '\'' => single_quoted(&mut characters, &mut word)?,
                '"' => double_quoted(&mut characters, &mut word)?,
                '\\' => word.push(characters.next().ok_or(NOTHING_ESCAPED)?),
                _ => word.push(character),
            }
        }
        words.push(word);
    }
}

const NOT_CLOSED: &str = "has a quotation that is not closed";
const NOTHING_ESCAPED: &str = "has a backslash at the end of a line";

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

fn single_quoted(characters: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), &'static str> {
    loop {
        match characters.next().ok_or(NOT_CLOSED)? {
            '\'' => return Ok(()),
            character => word.push(character),
        }
    }
}

fn double_quoted(characters: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), &'static str> {
    loop {
        match characters.next().ok_or(NOT_CLOSED)? {
            '"' => return Ok(()),
            '\\' => match characters.next().ok_or(NOTHING_ESCAPED)? {
                escaped @ ('"' | '\\') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            character => word.push(character),
        }
    }
}
