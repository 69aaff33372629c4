//! What a worker costs that has nothing to do.

use super::{SOON, float, gave_up};
use crate::extent::Extent;
use crate::figures::Report;
use crate::stage::{POOL, Stage};
use crate::subject::Programs;

pub(super) async fn measure(programs: &Programs, extent: &Extent, report: &mut Report) {
    for who in programs.workers() {
        let stage = Stage::new().await;
        let mut worker = programs.start(who, stage.url(), POOL);
        if !stage.until(&mut worker, SOON, |stage| stage.first_poll().is_some()).await {
            gave_up(report, who, "poll", &worker);
            continue;
        }
        tokio::time::sleep(extent.settled).await;
        let (before, asked) = (worker.usage(), stage.traffic());
        tokio::time::sleep(extent.watched).await;
        let (after, asked_then) = (worker.usage(), stage.traffic());
        let minutes = extent.watched.as_secs_f64() / 60.0;
        let share = after.own.saturating_sub(before.own).as_secs_f64() / extent.watched.as_secs_f64();
        report.add("idle: resident memory, MiB", who, after.resident);
        report.add("idle: proportional memory, MiB", who, after.proportional);
        report.add("idle: threads", who, after.threads);
        report.add("idle: processor, % of a core", who, share * 100.0);
        report.add("idle: requests a minute", who, float(asked_then.requests - asked.requests) / minutes);
        let opened = u32::try_from(asked_then.connections - asked.connections).unwrap_or(u32::MAX);
        report.add("idle: TCP connections opened a minute", who, f64::from(opened) / minutes);
    }
}
