//! What figures depend on: the machine, what else it does, and the programs.

use std::fs;
use std::path::Path;
use std::process::Command;

use jiff::Timestamp;

use crate::subject::Programs;

/// The lines above the figures. `before` is the load average at the beginning.
pub(crate) fn text(programs: &Programs, before: &str) -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = format!("scripts/bench {}", arguments.join(" "));
    let built = if cfg!(debug_assertions) { "**a debug build: its figures say nothing**" } else { "a release build" };
    let mut lines = vec![
        format!("`{}`, {}, {built}", command.trim_end(), Timestamp::now().strftime("%Y-%m-%d")),
        machine(),
        format!("load average {before} before, {} after, the suite's own included", load()),
        version(programs.worker()),
    ];
    lines.extend(programs.prefect().map(|prefect| format!("Prefect {}", version(prefect))));
    format!("- {}\n", lines.join("\n- "))
}

/// Averages over 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

fn machine() -> String {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let models = processors.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = models.map_or("unknown", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default().trim();
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores ({model}), {memory} of memory, Linux {}", kernel.trim())
}

fn version(program: &Path) -> String {
    let answer = Command::new(program).arg("--version").output();
    let answer = answer.map(|answer| String::from_utf8_lossy(&answer.stdout).trim().to_owned());
    answer.unwrap_or_else(|error| format!("{}: {error}", program.display()))
}
