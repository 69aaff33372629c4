//! Whether the machine can bear one more run. Pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Share of the time in which all tasks waited for memory, in per cent, above which it is short.
const MOST_MEMORY_STALLS: f64 = 10.0;
/// Share of the time in which some task waited for a processor, in per cent, above which they are short.
const MOST_PROCESSOR_STALLS: f64 = 80.0;

/// What was seen of the machine. What it does not tell is absent, and holds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Load {
    /// Share of the memory in use, in per cent: of the machine or of our own share of it, whichever is scarcer.
    pub(super) memory_used: Option<u64>,
    /// Share of the last ten seconds in which everything waited for memory, in per cent.
    pub(super) memory_stalls: Option<f64>,
    /// Share of the last second in which something waited for a processor, in per cent.
    pub(super) processor_stalls: Option<f64>,
    /// Tasks that want to run.
    pub(super) runnable: Option<u64>,
}

/// What is too much.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of the memory in use, in per cent.
    pub(super) memory_percent: u64,
    /// Of tasks that want to run, on all processors of the machine.
    pub(super) runnable: u64,
    /// Of runs on their way of which the machine shows nothing yet.
    pub(super) starting: u64,
    /// Of runs that were admitted and not launched yet.
    pub(super) unlaunched: u64,
}

/// Runs on their way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OnTheWay {
    /// Those of which the machine shows nothing yet.
    pub(super) unseen: u64,
    /// Those among them that are not launched.
    pub(super) unlaunched: u64,
}

/// Why a run is not started now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// Memory is short.
    Memory,
    /// Processors are short.
    Processors,
    /// Many runs are on their way, and what they do to the machine is not seen yet.
    Starting,
    /// As many as the settings allow were started within a second.
    Rate,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "this machine is short of memory",
            Self::Processors => "this machine's processors are busy",
            Self::Starting => "many runs are being started at this moment",
            Self::Rate => "as many runs as the settings allow are started within a second",
        })
    }
}

/// Decides. Where none of our runs is live, holding one back would make nothing freer: a machine that others keep busy, or
/// whose memory others use up, must still execute something.
pub(super) fn decide(load: &Load, on_the_way: OnTheWay, nothing_runs: bool, limits: Limits) -> Option<Hold> {
    let OnTheWay { unseen: starting, unlaunched } = on_the_way;
    if nothing_runs {
        return None;
    }
    let memory_is_short = load.memory_used.is_some_and(|used| used > limits.memory_percent)
        || load.memory_stalls.is_some_and(|stalls| stalls > MOST_MEMORY_STALLS);
    if memory_is_short {
        return Some(Hold::Memory);
    }
    let is_pressed = load.processor_stalls.is_none_or(|stalls| stalls > MOST_PROCESSOR_STALLS);
    let is_crowded = load.runnable.is_some_and(|runnable| runnable.saturating_add(starting) > limits.runnable);
    if is_pressed && is_crowded {
        return Some(Hold::Processors);
    }
    // An idle machine bears anything for a moment: five hundred interpreters are all there before the first of them shows.
    let is_unseen = load.runnable.is_some() && starting >= limits.starting;
    // Also where the machine is not looked at: the memory of a launch is many times that of a run that executes, and what a
    // burst of launches has grown is given back late or never.
    (is_unseen || unlaunched >= limits.unlaunched).then_some(Hold::Starting)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { memory_percent: 90, runnable: 8, starting: 16, unlaunched: 64 };
    const IDLE: Load =
        Load { memory_used: Some(20), memory_stalls: Some(0.0), processor_stalls: Some(1.0), runnable: Some(1) };

    fn decided(load: Load, starting: u64) -> Option<Hold> {
        decide(&load, OnTheWay { unseen: starting, unlaunched: 0 }, false, LIMITS)
    }

    #[test]
    fn an_idle_machine_takes_runs_as_fast_as_it_can_show_what_they_do() {
        assert_eq!(decided(IDLE, 0), None);
        assert_eq!(decided(IDLE, 15), None);
        assert_eq!(decided(IDLE, 16), Some(Hold::Starting));
    }

    #[test]
    fn memory_that_is_nearly_used_up_or_waited_for_holds_runs() {
        for short in [Load { memory_used: Some(91), ..IDLE }, Load { memory_stalls: Some(10.5), ..IDLE }] {
            assert_eq!(decided(short, 0), Some(Hold::Memory));
        }
        assert_eq!(decided(Load { memory_used: Some(90), memory_stalls: Some(10.0), ..IDLE }, 0), None);
    }

    #[test]
    fn processors_are_short_when_tasks_wait_for_them_and_there_are_many() {
        let busy = Load { processor_stalls: Some(95.0), runnable: Some(9), ..IDLE };
        assert_eq!(decided(busy, 0), Some(Hold::Processors));
        assert_eq!(decided(Load { runnable: Some(5), ..busy }, 3), None);
        assert_eq!(decided(Load { runnable: Some(5), ..busy }, 4), Some(Hold::Processors), "what starts counts too");
        assert_eq!(decided(Load { processor_stalls: Some(50.0), ..busy }, 0), None);
        assert_eq!(decided(Load { processor_stalls: None, ..busy }, 0), Some(Hold::Processors), "the number alone");
    }

    #[test]
    fn a_machine_that_others_fill_still_executes_something() {
        let busy = Load { processor_stalls: Some(99.0), runnable: Some(500), ..IDLE };
        let short = Load { memory_used: Some(99), memory_stalls: Some(50.0), ..IDLE };
        for load in [busy, short] {
            assert_eq!(decide(&load, OnTheWay::default(), true, LIMITS), None);
        }
    }

    #[test]
    fn what_the_machine_does_not_tell_holds_nothing() {
        assert_eq!(decided(Load::default(), 10_000), None);
    }

    #[test]
    fn so_many_are_launched_at_a_time_whatever_the_machine_tells() {
        for (unlaunched, hold) in [(63, None), (64, Some(Hold::Starting)), (10_000, Some(Hold::Starting))] {
            let on_the_way = OnTheWay { unseen: 0, unlaunched };
            assert_eq!(decide(&Load::default(), on_the_way, false, LIMITS), hold, "{unlaunched}");
        }
    }
}
