//! Texts as Python cuts them: scripts and outputs are the SDK's, and a line more or less is another command.

/// Python's `str.splitlines()`.
pub(super) fn lines(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(is_line_break) {
        let (line, from_break) = rest.split_at(end);
        lines.push(line);
        let broken = from_break.strip_prefix("\r\n");
        rest = broken.unwrap_or_else(|| from_break.strip_prefix(is_line_break).unwrap_or_default());
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

fn is_line_break(character: char) -> bool {
    matches!(character, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Python's `str.strip()`.
pub(super) fn strip(text: &str) -> &str {
    text.trim_matches(|character: char| character.is_whitespace() || matches!(character, '\x1c'..='\x1f'))
}
