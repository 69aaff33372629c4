//! What is measured.

mod concurrency;
mod idle;
mod pick_up;
mod real_flows;
mod start_up;
mod throughput;

use std::time::Duration;

pub(crate) use pick_up::{STAMP, stamp};

use clap::ValueEnum;

use crate::extent::Extent;
use crate::figures::{Column, Report};
use crate::subject::{Programs, Running};

/// So long may anything take that takes a moment.
const SOON: Duration = Duration::from_mins(2);

/// A piece of work, of which figures are taken.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Scenario {
    /// From exec to the first poll
    StartUp,
    /// What a worker costs that has nothing to do
    Idle,
    /// Short commands that are due at once
    Throughput,
    /// From the creation of a run to its process
    PickUp,
    /// Runs that execute at the same time, and their cancellation
    Concurrency,
    /// Flows of the Prefect SDK on a real server
    RealFlows,
}

impl Scenario {
    /// All of them, the cheap ones first.
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    /// Measures it with every program, in turn, as often as wanted.
    pub(crate) async fn measure(self, programs: &Programs, extent: &Extent, report: &mut Report) {
        for turn in 0..extent.repeat {
            eprintln!("bench: {self:?}, turn {} of {}", turn + 1, extent.repeat);
            match self {
                Self::StartUp => start_up::measure(programs, report).await,
                Self::Idle => idle::measure(programs, extent, report).await,
                Self::Throughput => throughput::measure(programs, extent, report).await,
                Self::PickUp => pick_up::measure(programs, extent, report).await,
                Self::Concurrency => concurrency::measure(programs, extent, report).await,
                Self::RealFlows => real_flows::measure(programs, extent, report).await,
            }
        }
    }
}

/// Notes that a program did not do its work, with the end of its log.
fn gave_up(report: &mut Report, who: Column, what: &str, program: &Running) {
    report.wrong(who, &format!("did not {what}; the end of its log:\n{}", program.log()));
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A count as a number to calculate with.
fn float(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
