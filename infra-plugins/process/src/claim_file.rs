//! The file `claim` of a run: who executes it, and below that what its supervisor says of it, a line of JSON each.
//!
//! One file instead of three: where runs are short, making and removing files is most of what they cost. The first line is there as
//! a whole or not at all, since the file gets its name when it is written. The others are added by whoever made the claim and by
//! nobody else. A last line without an end is being written, or was cut off: it says nothing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use serde::{Deserialize, Serialize};
use worker_core::exit::ExitReport;

use crate::claim::Claim;
use crate::procfs::Identity;

/// What a supervisor says of its run, each once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// Which process the command is.
    Process(Identity),
    /// How the run ended.
    Exit(ExitReport),
}

/// A claim of this process's, to which it can add.
#[derive(Debug)]
pub(crate) struct ClaimFile {
    file: File,
    end: u64,
}

impl ClaimFile {
    /// Writes the claim to an empty file.
    pub(crate) fn begin(file: File, claim: &Claim) -> io::Result<Self> {
        let mut begun = Self { file, end: 0 };
        begun.add_line(claim)?;
        Ok(begun)
    }

    /// The same file under another name.
    pub(crate) fn reopened(self, file: File) -> Self {
        Self { file, ..self }
    }

    /// Adds a word. One that could not be written as a whole, on a full disk, says nothing and can be added again.
    pub(crate) fn add(&mut self, word: &Word) -> io::Result<()> {
        self.add_line(word)
    }

    fn add_line(&mut self, content: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(content)?;
        line.push(b'\n');
        // At a place of its own and not at the end, where a part of an earlier attempt may lie.
        self.file.write_all_at(&line, self.end)?;
        self.end += u64::try_from(line.len()).unwrap_or_default();
        Ok(())
    }
}

/// What was found in such a file.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) claim: Claim,
    pub(crate) words: Words,
}

/// What is said below a claim.
#[derive(Debug)]
pub(crate) struct Words(Vec<u8>);

impl Written {
    /// Reads the content of a file. A claim that is not even text of its form is torn; one of another form is an error: a worker of
    /// another release may well know whose it is.
    pub(crate) fn parse(content: &[u8]) -> io::Result<Self> {
        let end = content.iter().position(|byte| *byte == b'\n').unwrap_or(content.len());
        let (first, rest) = content.split_at(end);
        let claim = match serde_json::from_slice(first) {
            Ok(claim) => claim,
            Err(error) if error.is_eof() || error.is_syntax() => Claim::Torn,
            Err(error) => return Err(error.into()),
        };
        Ok(Self { claim, words: Words(rest.to_vec()) })
    }
}

impl Words {
    /// Which process the command is, if that is said.
    pub(crate) fn process(&self) -> io::Result<Option<Identity>> {
        self.find(|word| if let Word::Process(process) = word { Some(process) } else { None })
    }

    /// How the run ended, if that is said.
    pub(crate) fn exit(&self) -> io::Result<Option<ExitReport>> {
        self.find(|word| if let Word::Exit(report) = word { Some(report) } else { None })
    }

    fn find<T>(&self, mut wanted: impl FnMut(Word) -> Option<T>) -> io::Result<Option<T>> {
        let Self(text) = self;
        let whole = text.iter().rposition(|byte| *byte == b'\n').unwrap_or_default();
        let lines = text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
        for line in lines.filter(|line| !line.is_empty()) {
            if let Some(found) = wanted(serde_json::from_slice(line)?) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use worker_core::exit::Exit;

    use super::*;
    use crate::claim::Fence;

    const PROCESS: Identity = Identity { pid: 7, started: Some(9) };

    fn claim() -> Claim {
        Claim::Nobody(Fence { put_up_at: 1 })
    }

    fn exit() -> ExitReport {
        ExitReport::bare(Exit::Code(3))
    }

    /// A file with two words below its claim.
    fn written() -> (ClaimFile, File) {
        let file = tempfile::tempfile().unwrap();
        let mut claim_file = ClaimFile::begin(file.try_clone().unwrap(), &claim()).unwrap();
        claim_file.add(&Word::Process(PROCESS)).unwrap();
        claim_file.add(&Word::Exit(exit())).unwrap();
        (claim_file, file)
    }

    fn content(file: &File) -> Vec<u8> {
        let mut content = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
        file.read_exact_at(&mut content, 0).unwrap();
        content
    }

    #[test]
    fn a_claim_is_read_with_what_was_said_below_it() {
        let found = Written::parse(&content(&written().1)).unwrap();
        assert_eq!(found.claim, claim());
        assert_eq!((found.words.process().unwrap(), found.words.exit().unwrap()), (Some(PROCESS), Some(exit())));
    }

    #[test]
    fn a_word_counts_only_as_a_whole() {
        let content = content(&written().1);
        let lines: Vec<usize> =
            content.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
        let [claimed, named, ended] = lines.as_slice() else { panic!("{lines:?}") };
        for length in claimed + 1..content.len() {
            let found = Written::parse(&content[..length]).unwrap();
            assert_eq!(found.claim, claim(), "{length}");
            assert_eq!(found.words.process().unwrap().is_some(), length > *named, "{length}");
            assert_eq!(found.words.exit().unwrap().is_some(), length > *ended, "{length}");
        }
    }

    #[test]
    fn a_word_is_added_again_where_an_attempt_was_cut_off() {
        let (mut claim_file, file) = written();
        file.write_all_at(br#"{"exit":{"exit":{"code":1},"de"#, claim_file.end).unwrap();
        claim_file.add(&Word::Exit(exit())).unwrap();
        let found = Written::parse(&content(&file)).unwrap();
        assert_eq!(found.words.exit().unwrap(), Some(exit()));
    }

    #[test]
    fn a_word_of_another_form_is_not_guessed_at() {
        let mut content = content(&written().1);
        content.extend(b"{\"a_later_release\":1}\n");
        let found = Written::parse(&content).unwrap();
        assert_eq!(found.words.exit().unwrap(), Some(exit()), "what is said before it stands");
        let found = Written::parse(b"{\"claimed_by\":\"nobody\",\"put_up_at\":1}\n{\"a_later_release\":1}\n").unwrap();
        found.words.exit().unwrap_err();
    }

    #[test]
    fn a_claim_that_a_failure_of_the_machine_has_torn_is_somebodys_and_one_of_another_form_is_not_guessed_at() {
        for torn in ["", "\0\0\0", r#"{"claimed_by":"nob"#] {
            assert_eq!(Written::parse(torn.as_bytes()).unwrap().claim, Claim::Torn, "{torn:?}");
        }
        Written::parse(br#"{"claimed_by":"a_later_release"}"#).unwrap_err();
    }
}
