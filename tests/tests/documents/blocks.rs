//! The blocks of code in a document, the commands in those of a shell, and what is remarked about them.
//!
//! Remarks stand in comments above a block, where readers do not see them: `<!-- not run: REASON: PROGRAM, PROGRAM -->`,
//! `<!-- file: NAME -->` for text that commands further down read, and `<!-- on: another machine -->`.

use std::path::Path;

use worker_tests::harness::workspace_root;

/// A block of code.
#[derive(Debug)]
pub(crate) struct Block {
    /// The line that opens it.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
    pub(crate) remarks: Vec<String>,
}

/// What a person would type at once, and what the document says is printed then.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) line: usize,
    pub(crate) text: String,
    pub(crate) shown: Vec<String>,
}

/// The blocks of a document.
pub(crate) fn of_document(path: &Path) -> Vec<Block> {
    blocks(&fs_err::read_to_string(workspace_root().join(path)).unwrap())
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut remarks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim();
        if let Some(remark) = line.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->")) {
            remarks.push(remark.to_owned());
        } else if let Some(language) = line.strip_prefix("```") {
            let inside: Vec<&str> =
                lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```").collect();
            let (language, remarks) = (language.to_owned(), std::mem::take(&mut remarks));
            found.push(Block { line: number + 1, language, text: inside.join("\n") + "\n", remarks });
        } else if !line.is_empty() {
            remarks.clear();
        }
    }
    found
}

impl Block {
    /// What the remarks of a kind say.
    pub(crate) fn remarks(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.remarks.iter().filter_map(move |remark| remark.strip_prefix(kind)?.strip_prefix(": "))
    }

    /// The commands; in a block of the language `console` those after `$ `, with what they print.
    pub(crate) fn commands(&self) -> Vec<Command> {
        match self.language.as_str() {
            "sh" => self.script(),
            "console" => self.conversation(),
            _ => Vec::new(),
        }
    }

    fn script(&self) -> Vec<Command> {
        let mut found = Vec::new();
        let mut lines = self.text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let mut text = line.to_owned();
            while text.ends_with('\\') {
                let (_, next) = lines.next().expect("a line that goes on is not the last");
                text = text + "\n" + next;
            }
            if let Some(end) = here_document(&text) {
                let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != end);
                text = inside.fold(text, |text, line| text + "\n" + line) + "\n" + &end;
            }
            if !text.trim().is_empty() {
                found.push(Command { line: self.line + 1 + number, text, shown: Vec::new() });
            }
        }
        found
    }

    fn conversation(&self) -> Vec<Command> {
        let mut found: Vec<Command> = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            if let Some(text) = line.strip_prefix("$ ") {
                found.push(Command { line: self.line + 1 + number, text: text.to_owned(), shown: Vec::new() });
            } else {
                let command = found.last_mut().expect("a conversation begins with a command");
                command.shown.push(line.to_owned());
            }
        }
        found
    }
}

/// The word that ends the text that is handed to a command, if it is handed one.
fn here_document(command: &str) -> Option<String> {
    let (_, rest) = command.split_once("<<")?;
    let word = rest.strip_prefix(['\'', '-']).unwrap_or(rest);
    let end: String = word.chars().take_while(char::is_ascii_alphabetic).collect();
    (!end.is_empty()).then_some(end)
}

impl Command {
    /// The programs that it calls: the first words of its parts.
    pub(crate) fn programs(&self) -> Vec<&str> {
        let code = self.text.lines().next().unwrap_or_default();
        let code = code.split_once(" #").map_or(code, |(code, _)| code);
        code.split(['|', ';'])
            .flat_map(|part| part.split("&&"))
            .filter_map(|part| {
                part.split_whitespace().find(|word| !word.contains('=') && !["sudo", "export"].contains(word))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = "Say:\n\n<!-- not run: network: pip -->\n```sh\npip install x\n\na \\\n  b\nsudo tee f <<'END'\nx y\nEND\n\
                            sudo one | two --x=1 && three    # c | d\n```\n\n<!-- file: f -->\nBut:\n\n```console\n$ what\nthis\n\
                            $ and\n```\n";

    #[test]
    fn commands_are_found_with_all_that_belongs_to_them() {
        let found = blocks(DOCUMENT);
        assert_eq!(found[0].remarks("not run").collect::<Vec<_>>(), ["network: pip"]);
        assert_eq!(found[0].line, 4);
        let commands = found[0].commands();
        let texts: Vec<&str> = commands.iter().map(|command| command.text.as_str()).collect();
        let piped = "sudo one | two --x=1 && three    # c | d";
        assert_eq!(texts, ["pip install x", "a \\\n  b", "sudo tee f <<'END'\nx y\nEND", piped]);
        assert_eq!(commands[3].line, 12);
        assert_eq!(commands[3].programs(), ["one", "two", "three"]);
    }

    #[test]
    fn conversations_have_what_is_printed_and_remarks_belong_to_the_next_block_alone() {
        let found = blocks(DOCUMENT);
        assert!(found[1].remarks.is_empty());
        let commands = found[1].commands();
        let shown: Vec<_> = commands.iter().map(|command| (command.text.as_str(), command.shown.len())).collect();
        assert_eq!(shown, [("what", 1), ("and", 0)]);
    }
}
