//! Where a launch says how it goes.

/// Takes what a person should know while a launch goes on: that an image is pulled, or why it has to wait. It belongs into
/// the run's log.
pub trait LaunchLog: Send + Sync {
    /// Something that takes its time.
    fn info(&self, text: String);

    /// Something that may make the run fail.
    fn warn(&self, text: String);
}

/// Where nobody listens.
#[derive(Clone, Copy, Debug)]
pub struct Unheard;

impl LaunchLog for Unheard {
    fn info(&self, _text: String) {}

    fn warn(&self, _text: String) {}
}
