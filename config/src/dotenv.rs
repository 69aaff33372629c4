//! The grammar of `.env` as the Python SDK reads it.
//!
//! Readers of `.env` differ where it matters here: the SDK keeps `$` and `\` of an unquoted value, allows blanks and quotes
//! inside it (`{"X-A": "b"}`), skips a line it does not understand, and replaces `${NAME}` and `${NAME:-default}` only.
//! A reader with shell rules would refuse such a file, or change a password with a `$` in it without a word.

use std::{collections::BTreeMap, str::Chars};

/// A variable set by the file.
#[derive(PartialEq)]
pub(crate) struct Binding {
    pub(crate) name: String,
    pub(crate) value: String,
    /// From 1.
    pub(crate) line: usize,
}

/// What a file holds.
#[derive(Default)]
pub(crate) struct DotEnv {
    /// In file order; a later one of the same name wins.
    pub(crate) bindings: Vec<Binding>,
    /// Lines that were not understood and are skipped.
    pub(crate) bad_lines: Vec<usize>,
}

/// Reads a file, replacing `${NAME}` by what the file said before, else by what `environment` says.
pub(crate) fn parse(text: &str, environment: &BTreeMap<String, String>) -> DotEnv {
    let mut cursor = Cursor { rest: text.strip_prefix('\u{feff}').unwrap_or(text).chars(), line: 1 };
    let mut file = DotEnv::default();
    let mut earlier = BTreeMap::new();
    loop {
        cursor.take_while(char::is_whitespace);
        if cursor.peek().is_none() {
            return file;
        }
        let line = cursor.line;
        match cursor.binding() {
            Ok(Some((name, Some(raw)))) => {
                let value = interpolate(&raw, &earlier, environment);
                earlier.insert(name.clone(), value.clone());
                file.bindings.push(Binding { name, value, line });
            }
            // A comment, or a name without `=`, sets nothing.
            Ok(_) => {}
            Err(NotUnderstood) => {
                file.bad_lines.push(cursor.line);
                cursor.take_while(|c| !is_end_of_line(c));
            }
        }
    }
}

struct NotUnderstood;

#[derive(Clone)]
struct Cursor<'t> {
    rest: Chars<'t>,
    line: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.line += 1;
        }
        next
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(character) = self.peek().filter(|c| wanted(*c)) {
            taken.push(character);
            self.next();
        }
        taken
    }

    /// `[export] name [= value] [# comment]`
    fn binding(&mut self) -> Result<Option<(String, Option<String>)>, NotUnderstood> {
        if let Some(after) = self.rest.as_str().strip_prefix("export")
            && after.starts_with(is_blank)
        {
            self.rest = after.chars();
            self.take_while(is_blank);
        }
        if self.peek() == Some('#') {
            self.take_while(|c| !is_end_of_line(c));
            return Ok(None);
        }
        let name = self.name()?;
        self.take_while(is_blank);
        let value = if self.peek() == Some('=') {
            self.next();
            let blanks = self.take_while(is_blank);
            Some(self.value(!blanks.is_empty())?)
        } else {
            None
        };
        self.end_of_binding()?;
        Ok(Some((name, value)))
    }

    fn name(&mut self) -> Result<String, NotUnderstood> {
        if self.peek() == Some('\'') {
            return self.quoted('\'', |_| None);
        }
        let name = self.take_while(|c| c != '=' && c != '#' && !c.is_whitespace());
        if name.is_empty() { Err(NotUnderstood) } else { Ok(name) }
    }

    fn value(&mut self, after_blank: bool) -> Result<String, NotUnderstood> {
        match self.peek() {
            Some('#') if after_blank => Ok(String::new()),
            Some('\'') => self.quoted('\'', |c| matches!(c, '\\' | '\'').then_some(c)),
            Some('"') => self.quoted('"', double_quote_escape),
            _ => {
                let rest = self.take_while(|c| !is_end_of_line(c));
                Ok(without_comment(&rest).trim_end().to_owned())
            }
        }
    }

    /// Text up to the closing quote; may span lines. Leaves the cursor where it was when there is none.
    fn quoted(&mut self, quote: char, escape: impl Fn(char) -> Option<char>) -> Result<String, NotUnderstood> {
        let start = self.clone();
        let mut text = String::new();
        self.next();
        while let Some(character) = self.next() {
            if character == quote {
                return Ok(text);
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            let Some(escaped) = self.next() else { break };
            if let Some(meant) = escape(escaped) {
                text.push(meant);
            } else {
                text.extend([character, escaped]);
            }
        }
        *self = start;
        Err(NotUnderstood)
    }

    fn end_of_binding(&mut self) -> Result<(), NotUnderstood> {
        self.take_while(is_blank);
        if self.peek() == Some('#') {
            self.take_while(|c| !is_end_of_line(c));
        }
        match self.peek() {
            Some(character) if !is_end_of_line(character) => Err(NotUnderstood),
            _ => Ok(()),
        }
    }
}

fn is_end_of_line(character: char) -> bool {
    matches!(character, '\n' | '\r')
}

fn is_blank(character: char) -> bool {
    character.is_whitespace() && !is_end_of_line(character)
}

fn double_quote_escape(character: char) -> Option<char> {
    match character {
        '\\' | '\'' | '"' => Some(character),
        'a' => Some('\u{7}'),
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\u{b}'),
        _ => None,
    }
}

/// An unquoted value ends at a `#` that follows a blank.
fn without_comment(value: &str) -> &str {
    value
        .char_indices()
        .zip(value.chars().skip(1))
        .find(|((_, character), next)| character.is_whitespace() && *next == '#')
        .and_then(|((index, _), _)| value.get(..index))
        .unwrap_or(value)
}

fn interpolate(value: &str, earlier: &BTreeMap<String, String>, environment: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let parsed = after.split_once('}').and_then(|(inside, tail)| {
            let (name, default) = match inside.split_once(':') {
                Some((name, default)) => (name, default.strip_prefix('-')?),
                None => (inside, ""),
            };
            Some((name, default, tail))
        });
        let Some((name, default, tail)) = parsed else {
            out.push_str("${");
            rest = after;
            continue;
        };
        let known = earlier.get(name).or_else(|| environment.get(name));
        out.push_str(known.map_or(default, String::as_str));
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let environment = BTreeMap::from([("HOST".to_owned(), "h1".to_owned())]);
        let file = parse(text, &environment);
        file.bindings.into_iter().map(|b| (b.name, b.value)).collect()
    }

    #[test]
    fn values_are_read_as_the_sdk_reads_them() {
        let cases = [
            ("A=b", "b"),
            ("  export A = b ", "b"),
            ("A=", ""),
            ("A= # nothing", ""),
            ("A=#hash", "#hash"),
            ("A=pa$$w\\ord", "pa$$w\\ord"),
            ("A=two words # comment", "two words"),
            ("A={\"X-A\": \"b\"}", "{\"X-A\": \"b\"}"),
            ("A='single \\' $x ${HOST}'", "single ' $x h1"),
            ("A=\"line\\nnext \\d\" # c", "line\nnext \\d"),
            ("A=\"over\nlines\"", "over\nlines"),
            ("'A'=quoted name", "quoted name"),
            ("A=http://${HOST}:${PORT:-4200}/api", "http://h1:4200/api"),
            ("A=${HOST:x}${open", "${HOST:x}${open"),
            ("\u{feff}A=bom", "bom"),
            ("A=crlf\r\n", "crlf"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text), [("A".to_owned(), expected.to_owned())], "{text:?}");
        }
    }

    #[test]
    fn earlier_lines_are_interpolated_before_the_environment() {
        let expected = [("HOST", "mine"), ("A", "mine")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(read("HOST=mine\nA=${HOST}"), expected);
    }

    #[test]
    fn a_line_not_understood_is_skipped_and_named() {
        let file = parse("# c\nA='open\n=x\nNAME\nB=\"x\" y\nC=ok\n", &BTreeMap::new());
        let names: Vec<_> = file.bindings.iter().map(|b| (b.name.as_str(), b.line)).collect();
        assert_eq!(names, [("C", 6)]);
        assert_eq!(file.bad_lines, [2, 3, 5]);
    }
}
