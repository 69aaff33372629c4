//! What exit codes of infrastructure mean, in words for the flow's author.
//!
//! The texts become state messages at the API. Their first sentences are those of Prefect's own workers, because users
//! match automations on them; the hints are only logged.

/// How loudly an exit is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitLogLevel {
    /// Somebody most likely meant it: a stop, a cancellation.
    Info,
    /// Something is wrong.
    Error,
}

/// What an exit code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitExplanation {
    /// One sentence, the same as Prefect's.
    pub first_sentence: &'static str,
    /// A second sentence where the first does not say enough; may be empty.
    pub rest: &'static str,
    /// What to do about it, one line for the run's log.
    pub hint: &'static str,
    /// How loudly to log it.
    pub level: ExitLogLevel,
}

/// The exit code of a Windows process that was ended by Ctrl+C or Ctrl+Break.
const WINDOWS_CONTROL_C: i64 = 0xC000_013A;

/// The meaning of an exit code. Signals are negative for processes (`-9`) and 128 + signal for containers (`137`).
pub const fn explain(code: i64) -> ExitExplanation {
    match code {
        0 => info("Process exited cleanly.", "", "Nothing to do."),
        -9 => info(
            "Process exited due to a SIGKILL signal.",
            "Either somebody cancelled it by force, or the system killed it for using too much memory.",
            "Unless it was cancelled, compare the memory the flow needs with the memory it may use, and raise the limit.",
        ),
        -15 => info(
            "Process exited due to a SIGTERM signal.",
            "It was asked to stop, by a cancellation or because its host is going down.",
            "Unless it was cancelled, look for a restart, a rollout or a scale-down at that time.",
        ),
        1 => error(
            "Process exited with a general error.",
            "Look for an unhandled exception in the logs of the flow run.",
        ),
        125 => error(
            "Container failed to run (Docker/OCI exit code 125).",
            "Check that the image exists, that its entrypoint is right and that the container runtime is healthy.",
        ),
        126 => error(
            "Command found but not executable (permission denied).",
            "Make the command's file executable for the user the flow runs as.",
        ),
        127 => error(
            "Command not found.",
            "Check that the command is installed where the flow runs and that PATH leads to it.",
        ),
        137 => error(
            "Process was killed, likely due to an out-of-memory (OOM) condition.",
            "Raise the memory limit of the job, or let the flow use less.",
        ),
        143 => info(
            "Process received SIGTERM via the container runtime.",
            "It was asked to stop: for a container this code means what -15 means for a process.",
            "Unless it was cancelled, look for an eviction, a drained node or a scale-down at that time.",
        ),
        247 => error(
            "Process was terminated due to high memory usage.",
            "Raise the memory limit of the job, or find out what in the flow holds the memory.",
        ),
        WINDOWS_CONTROL_C => info(
            "Process was terminated due to a Ctrl+C or Ctrl+Break signal.",
            "Somebody most likely stopped it by hand.",
            "Nothing to do if that was intended.",
        ),
        _ => error(
            "Process exited with an unexpected status code.",
            "Look at the logs of the flow run and of the infrastructure it ran on.",
        ),
    }
}

/// The message of the Crashed state that a worker proposes for infrastructure that ended with a non-zero code.
pub fn infrastructure_message(code: i64) -> String {
    format!("Flow run infrastructure exited with non-zero status code {code}. {}", explain(code).text())
}

/// The message of the Crashed state that is proposed for a process that ended with a non-zero code.
pub fn process_message(code: i64) -> String {
    format!("Process exited with status code: {code}. {}", explain(code).text())
}

impl ExitExplanation {
    /// The explanation as one text.
    pub fn text(&self) -> String {
        if self.rest.is_empty() {
            self.first_sentence.to_owned()
        } else {
            format!("{} {}", self.first_sentence, self.rest)
        }
    }
}

const fn info(first_sentence: &'static str, rest: &'static str, hint: &'static str) -> ExitExplanation {
    ExitExplanation { first_sentence, rest, hint, level: ExitLogLevel::Info }
}

const fn error(first_sentence: &'static str, hint: &'static str) -> ExitExplanation {
    ExitExplanation { first_sentence, rest: "", hint, level: ExitLogLevel::Error }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn every_known_code_is_explained() {
        let mut table = String::new();
        for code in [0, -9, -15, 1, 125, 126, 127, 137, 143, 247, 0xC000_013A, 3] {
            let explanation = explain(code);
            writeln!(table, "{code} {:?}: {}\n  {}", explanation.level, explanation.text(), explanation.hint).unwrap();
        }
        insta::assert_snapshot!(table, @r"
        0 Info: Process exited cleanly.
          Nothing to do.
        -9 Info: Process exited due to a SIGKILL signal. Either somebody cancelled it by force, or the system killed it for using too much memory.
          Unless it was cancelled, compare the memory the flow needs with the memory it may use, and raise the limit.
        -15 Info: Process exited due to a SIGTERM signal. It was asked to stop, by a cancellation or because its host is going down.
          Unless it was cancelled, look for a restart, a rollout or a scale-down at that time.
        1 Error: Process exited with a general error.
          Look for an unhandled exception in the logs of the flow run.
        125 Error: Container failed to run (Docker/OCI exit code 125).
          Check that the image exists, that its entrypoint is right and that the container runtime is healthy.
        126 Error: Command found but not executable (permission denied).
          Make the command's file executable for the user the flow runs as.
        127 Error: Command not found.
          Check that the command is installed where the flow runs and that PATH leads to it.
        137 Error: Process was killed, likely due to an out-of-memory (OOM) condition.
          Raise the memory limit of the job, or let the flow use less.
        143 Info: Process received SIGTERM via the container runtime. It was asked to stop: for a container this code means what -15 means for a process.
          Unless it was cancelled, look for an eviction, a drained node or a scale-down at that time.
        247 Error: Process was terminated due to high memory usage.
          Raise the memory limit of the job, or find out what in the flow holds the memory.
        3221225786 Info: Process was terminated due to a Ctrl+C or Ctrl+Break signal. Somebody most likely stopped it by hand.
          Nothing to do if that was intended.
        3 Error: Process exited with an unexpected status code.
          Look at the logs of the flow run and of the infrastructure it ran on.
        ");
    }

    #[test]
    fn messages_start_with_the_words_of_prefect() {
        assert_eq!(
            process_message(3),
            "Process exited with status code: 3. Process exited with an unexpected status code."
        );
        assert_eq!(
            infrastructure_message(137),
            "Flow run infrastructure exited with non-zero status code 137. \
             Process was killed, likely due to an out-of-memory (OOM) condition."
        );
        assert!(infrastructure_message(-9).starts_with(
            "Flow run infrastructure exited with non-zero status code -9. \
                 Process exited due to a SIGKILL signal. "
        ));
    }
}
