//! What a failed `git` meant, from what it said.

/// The causes that are told apart, because they differ in what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    DiskFull,
    HostKey,
    SshRefused,
    Certificate,
    RevisionMissing,
    NotFound,
    Refused,
    Unreachable,
    Unknown,
}

/// `git` ended with an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(super) cause: Cause,
    /// Its last lines, with the users and passwords of URLs masked.
    pub(super) detail: String,
}

/// In order of precedence: the first text found decides. `git` is run with English messages.
const SIGNS: &[(Cause, &[&str])] = &[
    (Cause::DiskFull, &["no space left on device", "disk quota exceeded"]),
    (Cause::HostKey, &["host key verification failed"]),
    (Cause::SshRefused, &["permission denied (", "too many authentication failures"]),
    (
        Cause::Certificate,
        &[
            "certificate problem",
            "certificate verification failed",
            "certificate subject name",
            "certificate has expired",
        ],
    ),
    (
        Cause::RevisionMissing,
        &[
            "not found in upstream",
            "couldn't find remote ref",
            "not our ref",
            "unadvertised object",
            "needed a single revision",
            "is not a tree",
        ],
    ),
    (
        Cause::NotFound,
        &[
            "repository not found",
            "repository not exported",
            "does not appear to be a git repository",
            "' does not exist",
            "' not found",
            "returned error: 404",
        ],
    ),
    (
        Cause::Refused,
        &[
            "authentication failed",
            "could not read username",
            "could not read password",
            "terminal prompts disabled",
            "returned error: 401",
            "returned error: 403",
            "detected dubious ownership",
        ],
    ),
    (
        Cause::Unreachable,
        &[
            "could not resolve",
            "name resolution",
            "failed to connect",
            "couldn't connect",
            "unable to connect",
            "timed out",
            "connection refused",
            "connection reset",
            "network is unreachable",
            "no route to host",
            "empty reply from server",
            "unexpected disconnect",
            "hung up unexpectedly",
            "early eof",
            "rpc failed",
            "returned error: 408",
            "returned error: 429",
            "returned error: 5",
        ],
    ),
];

/// The most lines, and characters of each, that a message takes over.
const LINES: usize = 3;
const LINE_LENGTH: usize = 300;

impl Failure {
    pub(super) fn read(stderr: &str, ended: &str) -> Self {
        let said = stderr.to_lowercase();
        let cause = SIGNS
            .iter()
            .find(|(_, signs)| signs.iter().any(|sign| said.contains(sign)))
            .map_or(Cause::Unknown, |(cause, _)| *cause);
        let detail = last_lines(stderr);
        Self { cause, detail: if detail.is_empty() { format!("git ended with {ended}") } else { detail } }
    }
}

fn last_lines(stderr: &str) -> String {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| says_something(line)).collect();
    let last: Vec<String> = lines
        .iter()
        .skip(lines.len().saturating_sub(LINES))
        .map(|line| without_userinfo(line).chars().take(LINE_LENGTH).collect())
        .collect();
    last.join("; ")
}

fn says_something(line: &str) -> bool {
    let idle = [
        "hint:",
        "warning:",
        "Cloning into",
        "Please make sure you have the correct access",
        "and the repository exists",
    ];
    !line.is_empty() && !idle.iter().any(|start| line.starts_with(start))
}

/// Masks the user and password of every URL in a text: a rule in git's configuration may have put them there.
pub(super) fn without_userinfo(text: &str) -> String {
    let mut parts = text.split("://");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str("://");
        let authority = part.split(['/', ' ', '\'', '"']).next().unwrap_or_default();
        match authority.rfind('@').and_then(|at| part.get(at..)) {
            Some(rest) => {
                masked.push_str("***");
                masked.push_str(rest);
            }
            None => masked.push_str(part),
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::{Cause, Failure, without_userinfo};

    #[test]
    fn users_and_passwords_of_urls_are_masked_and_nothing_else_is() {
        for (said, masked) in [
            (
                "unable to access 'https://me:s3cret@h.test/r.git/': x",
                "unable to access 'https://***@h.test/r.git/': x",
            ),
            ("https://token@h.test and http://a:b%40c@i.test/x@y", "https://***@h.test and http://***@i.test/x@y"),
            ("https://a:p@ss@h.test/", "https://***@h.test/"),
            ("https://h.test/~me@home", "https://h.test/~me@home"),
            ("mail me@h.test", "mail me@h.test"),
        ] {
            assert_eq!(without_userinfo(said), masked);
        }
    }

    #[test]
    fn the_cause_is_read_from_what_git_says() {
        for (said, cause) in [
            ("fatal: Remote branch nope not found in upstream origin", Cause::RevisionMissing),
            ("fatal: remote error: upload-pack: not our ref 1234", Cause::RevisionMissing),
            ("remote: Repository not found.\nfatal: repository 'https://h.test/r/' not found", Cause::NotFound),
            (
                "fatal: '/x' does not appear to be a git repository\nfatal: Could not read from remote repository.",
                Cause::NotFound,
            ),
            ("fatal: could not read Username for 'https://h.test': terminal prompts disabled", Cause::Refused),
            ("fatal: unable to access 'https://h.test/': The requested URL returned error: 503", Cause::Unreachable),
            ("fatal: unable to access 'https://h.test/': Could not resolve host: h.test", Cause::Unreachable),
            ("error: RPC failed; curl 56 Recv failure\nfatal: early EOF", Cause::Unreachable),
            ("fatal: cannot store pack file: No space left on device\nfatal: fetch-pack: early EOF", Cause::DiskFull),
            ("Host key verification failed.\nfatal: Could not read from remote repository.", Cause::HostKey),
            (
                "git@h.test: Permission denied (publickey).\nfatal: Could not read from remote repository.",
                Cause::SshRefused,
            ),
            (
                "fatal: unable to access 'https://h.test/': SSL certificate problem: certificate has expired",
                Cause::Certificate,
            ),
            (
                "fatal: unable to access 'https://h.test/': server certificate verification failed. CAfile: none",
                Cause::Certificate,
            ),
            ("fatal: something new", Cause::Unknown),
        ] {
            assert_eq!(Failure::read(said, "exit status: 128").cause, cause, "{said}");
        }
    }

    #[test]
    fn the_detail_is_the_last_lines_that_say_something() {
        let said = "Cloning into 'x'...\nwarning: w\nfatal: one\nfatal: two\n\nPlease make sure you have the correct access rights\nand the repository exists.\n";
        assert_eq!(Failure::read(said, "exit status: 128").detail, "fatal: one; fatal: two");
        assert_eq!(Failure::read("", "signal: 9 (SIGKILL)").detail, "git ended with signal: 9 (SIGKILL)");
    }
}
