//! The suite works: so that it is not found broken on the day on which figures are wanted.

use std::process::Command;

#[test]
fn fifty_short_commands_and_twenty_live_runs_are_measured() {
    let bench = env!("CARGO_BIN_EXE_bench");
    let ended =
        Command::new(bench).args(["--quick", "--alone", "start-up", "throughput", "concurrency"]).output().unwrap();
    let (shown, errors) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(ended.status.success(), "{shown}\n{errors}");
    for figure in ["| exec to first poll, ms |", "| 50 short commands: runs/s |", "| 20 live runs: threads |"] {
        let row =
            shown.lines().find(|line| line.starts_with(figure)).unwrap_or_else(|| panic!("no {figure} in {shown}"));
        assert!(row.split('|').nth(2).is_some_and(|cell| !cell.trim().is_empty()), "{row}");
    }
    assert!(shown.contains("| `worker` | 70 | 0 | 0 | 0 |"), "{shown}");
}

#[test]
fn what_was_not_done_is_a_failure() {
    let bench = env!("CARGO_BIN_EXE_bench");
    let ended =
        Command::new(bench).args(["--quick", "--alone", "--worker", "/bin/false", "start-up"]).output().unwrap();
    let shown = String::from_utf8_lossy(&ended.stdout);
    assert!(!ended.status.success() && shown.contains("**FAULT** `worker` did not poll"), "{shown}");
}
