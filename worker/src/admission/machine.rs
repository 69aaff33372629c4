//! Looking at the machine.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::decision::Load;
use super::memory::Memory;

/// The time over which the wait for processors is measured.
const MEASURED: Duration = Duration::from_secs(1);

/// Where the machine tells of itself, and what it told before.
#[derive(Debug)]
pub(super) struct Machine {
    memory: Memory,
    /// When, and how many microseconds tasks had waited for a processor since the machine started. Oldest first.
    waited: VecDeque<(Instant, u64)>,
}

impl Machine {
    pub(super) fn here() -> Self {
        Self { memory: Memory::here(), waited: VecDeque::new() }
    }

    /// The machine as it is now. A few small files, which takes some microseconds.
    pub(super) fn load(&mut self, now: Instant) -> Load {
        Load {
            memory_used: self.memory.used_percent(),
            memory_stalls: text("/proc/pressure/memory").and_then(|text| average(&text, "full")),
            processor_stalls: self.processor_stalls(now),
            // The one that asks is running.
            runnable: text("/proc/loadavg").and_then(|text| runnable(&text)).map(|all| all.saturating_sub(1)),
        }
    }

    fn processor_stalls(&mut self, now: Instant) -> Option<f64> {
        let total = text("/proc/pressure/cpu").and_then(|text| total(&text, "some"))?;
        // One that is older than the measured time is kept: the oldest of them is what the newest is compared with.
        while self.waited.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= MEASURED) {
            self.waited.pop_front();
        }
        self.waited.push_back((now, total));
        let (at, before) = *self.waited.front()?;
        Some(share(total.saturating_sub(before), now.duration_since(at).max(MEASURED)))
    }
}

/// Processors of the whole machine, whose tasks are counted even where we may use only some of them.
pub(super) fn processors() -> u64 {
    text("/sys/devices/system/cpu/online").and_then(|list| listed(&list)).unwrap_or_else(own_processors)
}

/// Processors that we may use.
pub(super) fn own_processors() -> u64 {
    std::thread::available_parallelism().map_or(1, |count| u64::try_from(count.get()).unwrap_or(1))
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    fs_err::read_to_string(path.as_ref()).ok()
}

/// Microseconds of some time, in per cent. A time that has only begun counts in full: what is not known was idle.
fn share(microseconds: u64, of: Duration) -> f64 {
    Duration::from_micros(microseconds).as_secs_f64() / of.as_secs_f64() * 100.0
}

/// `avg10` of a line of a pressure file.
fn average(pressure: &str, line: &str) -> Option<f64> {
    field(pressure, line, "avg10=")?.parse().ok()
}

/// `total` of a line of a pressure file, in microseconds.
fn total(pressure: &str, line: &str) -> Option<u64> {
    field(pressure, line, "total=")?.parse().ok()
}

fn field<'t>(pressure: &'t str, line: &str, name: &str) -> Option<&'t str> {
    let mut fields = pressure.lines().map(str::split_whitespace).find(|fields| fields.clone().next() == Some(line))?;
    fields.find_map(|field| field.strip_prefix(name))
}

/// The fourth field of `/proc/loadavg`: tasks that want to run, and all tasks.
fn runnable(loadavg: &str) -> Option<u64> {
    loadavg.split_whitespace().nth(3)?.split('/').next()?.parse().ok()
}

/// How many numbers a list such as `0-3,6` has.
fn listed(list: &str) -> Option<u64> {
    list.trim()
        .split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
            Some(last.saturating_sub(first) + 1)
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESSURE: &str = "some avg10=18.00 avg60=15.03 avg300=7.10 total=66840286\n\
                            full avg10=2.50 avg60=0.00 avg300=0.00 total=12\n";

    #[test]
    fn what_the_kernel_writes_is_read() {
        assert_eq!(average(PRESSURE, "full"), Some(2.5));
        assert_eq!(total(PRESSURE, "some"), Some(66_840_286));
        assert_eq!(runnable("1.71 1.18 0.76 3/155 6409\n"), Some(3));
        assert_eq!(listed("0-3,6\n"), Some(5));
    }

    #[test]
    fn what_it_does_not_write_is_not_known() {
        assert_eq!(average("", "full"), None);
        assert_eq!(total("some avg10=1", "some"), None);
        assert_eq!(runnable("garbage"), None);
        assert_eq!(listed(""), None);
    }

    #[test]
    fn the_wait_for_processors_is_that_of_the_last_second() {
        let second = Duration::from_secs(1);
        assert!((share(500_000, second) - 50.0).abs() < 0.01);
        assert!((share(500_000, second * 2) - 25.0).abs() < 0.01);
    }

    #[test]
    fn a_look_costs_little() {
        let mut machine = Machine::here();
        machine.load(Instant::now());
        let begun = std::time::Instant::now();
        for _ in 0..100 {
            machine.load(Instant::now());
        }
        let each = begun.elapsed() / 100;
        assert!(each < Duration::from_millis(2), "a look took {each:?}");
    }
}
