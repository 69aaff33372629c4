//! Quoting what a run wrote last.

/// How many of the last lines are quoted.
pub const QUOTED_LINES: usize = 50;

/// The longest quotation, in bytes.
const LONGEST_QUOTE: usize = 4 * 1024;

/// What standard error ends with, for people; `None` if it says nothing. The text must hold no secret any more.
pub fn of_stderr(text: &str) -> Option<String> {
    let quote = last_lines(text)?;
    let separator = if quote.contains('\n') { '\n' } else { ' ' };
    Some(format!("its standard error ends with:{separator}{quote}"))
}

/// What the output of something ends with whose two streams nobody can tell apart, for people; `None` if it says nothing. The text
/// must hold no secret any more.
pub fn of_output(text: &str) -> Option<String> {
    let quote = last_lines(text)?;
    let separator = if quote.contains('\n') { '\n' } else { ' ' };
    Some(format!("its output ends with:{separator}{quote}"))
}

/// The last lines that say something, cut at the beginning if they are too long.
fn last_lines(text: &str) -> Option<String> {
    let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
    let quoted = lines.get(lines.len().saturating_sub(QUOTED_LINES)..)?.join("\n");
    let excess = quoted.len().saturating_sub(LONGEST_QUOTE);
    let start = (excess..=quoted.len()).find(|start| quoted.is_char_boundary(*start))?;
    quoted.get(start..).map(str::trim_start).filter(|quote| !quote.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_fifty_lines_are_quoted_within_bounds() {
        let lines: Vec<String> = (0..60).map(|line| format!("line {line}")).collect();
        let quote = format!("its standard error ends with:\n{}", lines[10..].join("\n"));
        assert_eq!(of_stderr(&lines.join("\n")).unwrap(), quote);
        let long = "\u{20ac}".repeat(LONGEST_QUOTE);
        let length = of_stderr(&long).unwrap().len();
        assert!((LONGEST_QUOTE..LONGEST_QUOTE + 40).contains(&length), "{length}");
    }
}
