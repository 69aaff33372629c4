//! Cases about watching and output.

use std::time::Duration;

use tokio::time::Instant;
use worker_core::exit::Exit;

use super::{Behaviour, Fixture, Launched, MUCH_OUTPUT_BYTES};

/// Longer than any drain, shorter than what the leak of [`Behaviour::LeaksStdout`] lives.
const SOON: Duration = Duration::from_secs(20);

/// A watcher that comes late, after a restart or a lost watch, must not wait for ever.
pub async fn watching_again_yields_the_past_end(fixture: &dyn Fixture) {
    let launched = Launched::new(fixture, Behaviour::ExitsSeven).await;
    let first = launched.follow().await.1;
    let second = launched.follow().await.1;
    assert_eq!(first.exit, Exit::Code(7));
    assert_eq!(first, second);
    launched.discard().await;
}

/// A full pipe blocks whoever writes to it: the run would hang, or its output be cut off.
pub async fn output_beyond_a_pipe_arrives_whole(fixture: &dyn Fixture) {
    let launched = Launched::new(fixture, Behaviour::MuchOutput).await;
    let (output, report) = launched.follow().await;
    assert_eq!(report.exit, Exit::Code(0));
    assert_eq!(output.len(), MUCH_OUTPUT_BYTES);
    launched.discard().await;
}

/// The same, with nobody reading: output may then be lost, the run must not.
pub async fn output_that_nobody_reads_does_not_hold_the_run(fixture: &dyn Fixture) {
    let launched = Launched::new(fixture, Behaviour::MuchOutput).await;
    assert_eq!(launched.ended_unwatched().await.exit, Exit::Code(0));
    launched.discard().await;
}

/// Whatever a run leaves in the background may hold its output open for ever.
pub async fn a_leaked_stdout_does_not_delay_the_end(fixture: &dyn Fixture) {
    let launched = Launched::new(fixture, Behaviour::LeaksStdout).await;
    let launched_at = Instant::now();
    assert_eq!(launched.exit().await, Exit::Code(0));
    assert!(launched_at.elapsed() < SOON, "the end was told only after {:?}", launched_at.elapsed());
    launched.discard().await;
}
