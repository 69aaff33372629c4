//! Where a launch says how it goes.

use async_trait::async_trait;

/// Takes what a person should know while a launch goes on: that an image is pulled, or why it has to wait. It belongs into
/// the run's log.
#[async_trait]
pub trait LaunchLog: Send + Sync {
    /// Something that takes its time.
    fn info(&self, text: String);

    /// Something that may make the run fail.
    fn warn(&self, text: String);

    /// The backend does not take the infrastructure yet: the words for the run's log and for its own state.
    async fn waiting(&self, why: &str);
}

/// Where nobody listens.
#[derive(Clone, Copy, Debug)]
pub struct Unheard;

#[async_trait]
impl LaunchLog for Unheard {
    fn info(&self, _text: String) {}

    fn warn(&self, _text: String) {}

    async fn waiting(&self, _why: &str) {}
}
