//! From exec to the first poll.

use jiff::Timestamp;

use super::{SOON, gave_up};
use crate::figures::Report;
use crate::stage::{POOL, Stage};
use crate::subject::Programs;

pub(super) async fn measure(programs: &Programs, report: &mut Report) {
    for who in programs.workers() {
        let stage = Stage::new().await;
        let begun = Timestamp::now();
        let mut worker = programs.start(who, stage.url(), POOL);
        if !stage.until(&mut worker, SOON, |stage| stage.first_poll().is_some()).await {
            gave_up(report, who, "poll", &worker);
            continue;
        }
        if let Some(first) = stage.first_poll() {
            report.add("exec to first poll, ms", who, first.duration_since(begun).as_secs_f64() * 1000.0);
        }
    }
}
