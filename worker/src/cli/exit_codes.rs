//! What the commands exit with. The reference of the command line lists them.

/// A mistake on the command line, as shells and other programs have it.
pub(super) const USAGE: u8 = 2;
/// A daemon waited for its runs, and had to stop some.
pub(super) const DRAIN_TIMED_OUT: u8 = 3;
/// A second signal ended a daemon.
pub(super) const STOPPED_AT_ONCE: u8 = 4;

/// A run that the policy refuses.
pub(super) const REFUSED: u8 = 1;
/// Nothing could be judged.
pub(super) const NOT_JUDGED: u8 = 2;

/// What they mean wherever nothing else is said.
pub(super) const OF_ALL: [(u8, &str); 3] = [
    (0, "it is done"),
    (
        1,
        "it is not done: something is wrong with the settings, the surroundings, the API or a run; standard error says what",
    ),
    (USAGE, "the command line is wrong: standard error names the option"),
];

/// What they mean for one command.
pub(super) const OF_COMMANDS: [(&str, u8, &str); 11] = [
    ("start", 0, "the daemon stopped in order"),
    ("start", DRAIN_TIMED_OUT, "the daemon waited for its runs, and had to stop some"),
    ("start", STOPPED_AT_ONCE, "a second signal ended the daemon"),
    ("doctor", 1, "an error was found; warnings alone exit with 0"),
    ("config check", 1, "something is wrong with the settings"),
    ("render --diff", 1, "something differs, or there is nothing to compare with"),
    ("shadow", 0, "every run that was seen would be launched, and nothing that was compared differs"),
    ("shadow", 1, "a run would be set to Crashed, something differs, or something could not be looked at"),
    ("policy test", 0, "the run would be allowed"),
    ("policy test", REFUSED, "the run would be refused"),
    ("policy test", NOT_JUDGED, "it cannot be told whether the run would be allowed; standard error says why"),
];
