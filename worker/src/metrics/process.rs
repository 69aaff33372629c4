//! What the system says of this process.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;
use rustix::process::{Resource, getrlimit};

use super::catalogue::{CPU, MAX_FDS, Metric, OPEN_FDS, RESIDENT, START_TIME, THREADS, VIRTUAL};
use super::series::write;

/// Writes what can be read. Where there is no `/proc` that is nothing.
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "samples are floating-point numbers")]
pub(super) fn write_process(encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut sample = |metric: &Metric, value: Option<f64>| match value {
        Some(value) => write(encoder, metric, [(Vec::new(), value)]),
        None => Ok(()),
    };
    let stat = Stat::read();
    let of = |number: fn(&Stat) -> f64| stat.as_ref().map(number);
    sample(&CPU, of(|stat| (stat.user + stat.system) as f64 / ticks()))?;
    sample(&RESIDENT, of(|stat| (stat.resident_pages * page()) as f64))?;
    sample(&VIRTUAL, of(|stat| stat.virtual_bytes as f64))?;
    sample(&THREADS, of(|stat| stat.threads as f64))?;
    let open = fs_err::read_dir("/proc/self/fd").ok().map(|open| open.count().saturating_sub(1) as f64);
    sample(&OPEN_FDS, open)?;
    sample(&MAX_FDS, getrlimit(Resource::Nofile).current.map(|most| most as f64))?;
    let started = stat.as_ref().zip(booted()).map(|(stat, booted)| booted as f64 + stat.started as f64 / ticks());
    sample(&START_TIME, started)
}

/// The fields of `/proc/self/stat` behind the program's name, which may hold anything.
struct Stat {
    user: u64,
    system: u64,
    threads: u64,
    started: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = fs_err::read_to_string("/proc/self/stat").ok()?;
        let fields: Vec<u64> =
            text.rsplit_once(')')?.1.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect();
        // Numbered from 3, as in proc(5).
        let field = |number: usize| fields.get(number - 3).copied();
        Some(Self {
            user: field(14)?,
            system: field(15)?,
            threads: field(20)?,
            started: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

fn booted() -> Option<u64> {
    let stat = fs_err::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "it is 100")]
fn ticks() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}

fn page() -> u64 {
    u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}
