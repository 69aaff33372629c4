//! The suite that every plugin must pass, against the real thing.
//!
//! A plugin implements [`Fixture`] in its tests and runs the cases one test each with
//! [`conformance_tests!`](crate::conformance_tests), or all in turn with [`all`] where starting the backend is costly.
//! Every case ends within [`CASE_LIMIT`] and removes what it started.
#![expect(clippy::missing_panics_doc, reason = "a case fails by panicking, like every test")]

mod ending;
mod following;
mod launching;
mod stopping;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use worker_core::exit::{Exit, ExitReport};
use worker_core::handle::Handle;
use worker_core::machine::KillIntent;
use worker_core::spec::RunSpec;

use crate::{EventStream, Found, InfraEvent, InfraPlugin, LogStream, Unheard};

pub use ending::*;
pub use following::*;
pub use launching::*;
pub use stopping::*;

/// The time a case may take.
pub const CASE_LIMIT: Duration = Duration::from_mins(2);

/// How much [`Behaviour::MuchOutput`] writes: more than any pipe holds.
pub const MUCH_OUTPUT_BYTES: usize = 1024 * 1024;

/// The line that [`Behaviour::UntilStopped`] and [`Behaviour::IgnoresStop`] write once they can be stopped.
pub const READY: &str = "ready";

/// A grace that no well-behaved run needs in full.
const LONG_GRACE: Duration = Duration::from_secs(30);

/// A grace that is waited for in full.
const SHORT_GRACE: Duration = Duration::from_millis(300);

/// What a plugin brings to the suite.
pub trait Fixture: Send + Sync {
    /// The plugin under test. The cases of one fixture may share one.
    fn plugin(&self) -> Arc<dyn InfraPlugin>;

    /// A run that behaves so, under a launch key of its own on every call.
    fn spec(&self, behaviour: Behaviour) -> RunSpec;
}

/// What a run of the suite does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Ends at once with exit code 0.
    ExitsZero,
    /// Ends at once with exit code 7.
    ExitsSeven,
    /// Writes [`READY`] and runs until it is asked to stop, which ends it.
    UntilStopped,
    /// Writes [`READY`] and runs on when asked to stop.
    IgnoresStop,
    /// Writes [`MUCH_OUTPUT_BYTES`] bytes of ASCII to standard output and ends with exit code 0.
    MuchOutput,
    /// Starts something in the background that keeps standard output open, and ends with exit code 0. Where nothing
    /// can be left behind, it is the same as [`Behaviour::ExitsZero`].
    LeaksStdout,
}

/// Calls a macro with the names of all cases, after the arguments it was given itself.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_cases {
    ($then:ident! $($args:tt)*) => {
        $then! { [$($args)*]
            the_kind_is_the_handles_kind_and_the_template_has_both_parts
            preparing_starts_nothing
            exit_zero_is_reported
            exit_seven_is_reported
            launching_twice_with_one_key_is_one_infrastructure
            what_was_launched_is_found_by_its_key
            a_run_that_stops_when_asked_is_killed_gracefully
            a_run_that_ignores_the_stop_is_killed_by_force
            force_does_not_wait_for_the_grace
            killing_twice_at_once_ends_it_once
            killing_after_the_exit_finds_it_gone
            reattaching_to_a_running_run_says_running
            reattaching_after_the_exit_says_how_it_ended
            watching_again_yields_the_past_end
            output_beyond_a_pipe_arrives_whole
            output_that_nobody_reads_does_not_hold_the_run
            a_leaked_stdout_does_not_delay_the_end
            the_exit_stays_readable_after_a_kill
            cleaning_up_twice_is_fine_and_forgets_the_run
        }
    };
}

/// One test for each case of the suite: `conformance_tests!(#[tokio::test] => fixture())`, where the expression makes
/// something that implements [`Fixture`](crate::conformance::Fixture).
#[macro_export]
macro_rules! conformance_tests {
    (#[$attribute:meta] => $fixture:expr) => {
        use $crate::__conformance_each;
        $crate::__conformance_cases! { __conformance_each! #[$attribute] => $fixture }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_each {
    ([#[$attribute:meta] => $fixture:expr] $($case:ident)*) => {$(
        #[$attribute]
        async fn $case() {
            let fixture = $fixture;
            $crate::conformance::within_limit($crate::conformance::$case(&fixture)).await;
        }
    )*};
}

macro_rules! run_each {
    ([$fixture:ident $failed:ident] $($case:ident)*) => {$(
        let case = std::panic::AssertUnwindSafe(within_limit($case($fixture)));
        if futures::FutureExt::catch_unwind(case).await.is_err() {
            $failed.push(stringify!($case));
        }
    )*};
}

/// Runs every case in turn, to the end, and then fails with the names of those that failed.
pub async fn all(fixture: &dyn Fixture) {
    let mut failed = Vec::new();
    crate::__conformance_cases! { run_each! fixture failed }
    assert!(failed.is_empty(), "failed conformance cases: {}", failed.join(", "));
}

/// Fails a case that does not come to its end.
pub async fn within_limit(case: impl Future<Output = ()>) {
    let ended = tokio::time::timeout(CASE_LIMIT, case).await;
    assert!(ended.is_ok(), "did not end within {CASE_LIMIT:?}");
}

/// A launched run, and what the cases do with it.
struct Launched {
    plugin: Arc<dyn InfraPlugin>,
    handle: Handle,
}

impl Launched {
    async fn new(fixture: &dyn Fixture, behaviour: Behaviour) -> Self {
        let plugin = fixture.plugin();
        let plan = plugin.prepare(&fixture.spec(behaviour)).await.expect("prepares");
        let handle = plugin.launch(&plan, &Unheard).await.expect("launches");
        Self { plugin, handle }
    }

    /// Launches a run that goes on until stopped, and returns once it can be.
    async fn ready(fixture: &dyn Fixture, behaviour: Behaviour) -> Self {
        let launched = Self::new(fixture, behaviour).await;
        let mut events = launched.watch().await;
        let mut seen = String::new();
        while !seen.contains(READY) {
            match events.next().await.expect("goes on").expect("is watched") {
                InfraEvent::Output { stream: LogStream::Stdout, text } => seen.push_str(&text),
                InfraEvent::Exited(report) => unreachable_end(&report),
                InfraEvent::Started
                | InfraEvent::Output { .. }
                | InfraEvent::LogLine { .. }
                | InfraEvent::Occurred(_)
                | InfraEvent::Waiting(_)
                | InfraEvent::Diagnosis { .. } => {}
            }
        }
        launched
    }

    async fn watch(&self) -> EventStream {
        self.plugin.watch(&self.handle).await.expect("is watched")
    }

    /// Watches to the end; the standard output seen, and the end.
    async fn follow(&self) -> (String, ExitReport) {
        let mut events = self.watch().await;
        let mut output = String::new();
        while let Some(event) = events.next().await {
            match event.expect("is watched") {
                InfraEvent::Output { stream: LogStream::Stdout, text } => output.push_str(&text),
                InfraEvent::Started
                | InfraEvent::Output { .. }
                | InfraEvent::LogLine { .. }
                | InfraEvent::Occurred(_)
                | InfraEvent::Waiting(_)
                | InfraEvent::Diagnosis { .. } => {}
                InfraEvent::Exited(report) => {
                    assert!(events.next().await.is_none(), "the stream went on after the end");
                    return (output, report);
                }
            }
        }
        unreachable_stop()
    }

    async fn exit(&self) -> Exit {
        self.follow().await.1.exit
    }

    /// Asks again until the source itself says that it ended, without watching.
    async fn ended_unwatched(&self) -> ExitReport {
        loop {
            match self.plugin.reattach(&self.handle).await.expect("answers") {
                Found::Running => tokio::time::sleep(Duration::from_millis(20)).await,
                Found::Exited(report) => return report,
                Found::Gone => unreachable_stop(),
            }
        }
    }

    /// Ends what may still run, and removes it.
    async fn discard(self) {
        self.plugin.kill(&self.handle, KillIntent::Force, Duration::ZERO).await.expect("is stopped");
        self.plugin.cleanup(&self.handle).await.expect("is cleaned up");
    }
}

#[expect(clippy::panic, reason = "fails the case")]
fn unreachable_end(report: &ExitReport) -> ! {
    panic!("ended instead of running until stopped: {report:?}")
}

#[expect(clippy::panic, reason = "fails the case")]
fn unreachable_stop() -> ! {
    panic!("it was lost: no end was told")
}
