//! Several scenarios in one test, because they share something that is costly to start.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use futures::FutureExt;

/// Runs scenarios one after the other, each to its end whatever the others do, and names those that failed.
#[derive(Debug, Default)]
pub struct Lane {
    ran: usize,
    failed: Vec<String>,
}

impl Lane {
    /// Runs one scenario.
    #[expect(clippy::print_stderr, reason = "what ran is part of what the test runner shows")]
    pub async fn run(&mut self, name: &str, scenario: impl Future<Output = ()>) {
        let begun = Instant::now();
        let outcome = AssertUnwindSafe(scenario).catch_unwind().await;
        let seconds = begun.elapsed().as_secs_f32();
        self.ran += 1;
        match outcome {
            Ok(()) => eprintln!("  passed {seconds:6.1} s  {name}"),
            Err(panic) => {
                eprintln!("  FAILED {seconds:6.1} s  {name}");
                self.failed.push(format!("{name}: {}", text_of(&*panic)));
            }
        }
    }

    /// Fails if a scenario failed.
    pub fn finish(self) {
        let Self { ran, failed } = self;
        assert!(failed.is_empty(), "{} of {ran} scenarios failed:\n{}", failed.len(), failed.join("\n"));
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked without a text")
}

/// Runs scenarios, named after their functions, with one argument in common.
#[macro_export]
macro_rules! lane {
    ($lab:expr, [$($($scenario:ident)::+),+ $(,)?]) => {{
        let mut lane = $crate::harness::Lane::default();
        $(lane.run(stringify!($($scenario)::+), Box::pin($($scenario)::+($lab))).await;)+
        lane.finish();
    }};
}
