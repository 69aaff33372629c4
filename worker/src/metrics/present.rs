//! What is looked up at the moment of a scrape. Nothing here is counted up and down, so nothing can be counted wrong.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use camino::Utf8PathBuf;
use infra_contract::InfraPlugin;
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use tokio::sync::watch;

use super::catalogue::{self, Metric};
use super::events::Metrics;
use super::process::write_process;
use super::series::{Labels, labels, write};
use crate::admission::{Admission, Hold};
use crate::live_runs::{LiveRuns, PoolIndex, Stage};
use crate::liveness::Liveness;
use crate::operator::{Course, DaemonState, Health, PlannedPool, PoolStatus, Pools, Standing};

/// What a daemon shows of itself. All parts are shared with those who keep them.
#[derive(Debug)]
pub struct Present {
    /// The pools.
    pub pools: Pools,
    /// All live runs.
    pub live: LiveRuns,
    /// All loops.
    pub liveness: Liveness,
    /// How far the daemon is.
    pub course: watch::Receiver<Course>,
    /// Whether the operator lets nothing new be taken.
    pub cordoned: watch::Receiver<bool>,
    /// Whether this machine can bear more runs.
    pub admission: Admission,
    /// The files of the journals, one for each API.
    pub journals: Vec<Utf8PathBuf>,
    /// What is counted.
    pub metrics: Metrics,
}

/// A pool that is served.
struct Served {
    label: String,
    index: PoolIndex,
    status: PoolStatus,
    late: f64,
    plugin: Arc<dyn InfraPlugin>,
}

impl Collector for Present {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let pools = self.pools.all();
        let served: Vec<Served> = pools.iter().filter_map(|pool| self.served(pool)).collect();
        write(encoder, &catalogue::RUNS, self.runs(&served))?;
        let of_pools = |metric: &'static Metric, value: fn(&Served) -> Option<f64>| {
            let sample = move |pool: &Served| Some((labels(metric, [&pool.label]), value(pool)?));
            served.iter().filter_map(sample).collect::<Vec<_>>()
        };
        let slots_used = of_pools(&catalogue::SLOTS_USED, |pool| Some(number(pool.status.slots)));
        write(encoder, &catalogue::SLOTS_USED, slots_used)?;
        let limits = of_pools(&catalogue::SLOTS_LIMIT, |pool| pool.status.limit.map(number));
        write(encoder, &catalogue::SLOTS_LIMIT, limits)?;
        write(encoder, &catalogue::LATE_AGE, of_pools(&catalogue::LATE_AGE, |pool| Some(pool.late)))?;
        write(encoder, &catalogue::POLL_AGE, of_pools(&catalogue::POLL_AGE, |pool| pool.status.last_poll_seconds))?;
        let up = pools.iter().filter(|pool| !pool.is_left()).map(|pool| {
            let is_up = matches!(pool.status(&self.live).health, Health::Ok | Health::Paused);
            (labels(&catalogue::POOL_UP, [&pool.plan.place()]), flag(is_up))
        });
        write(encoder, &catalogue::POOL_UP, up)?;
        write(encoder, &catalogue::WATCH_RESTARTS, self.watch_restarts(&served))?;
        let state = DaemonState::of(*self.course.borrow(), *self.cordoned.borrow());
        let states = [
            ("serving", DaemonState::Serving),
            ("cordoned", DaemonState::Cordoned),
            ("draining", DaemonState::Draining),
        ];
        write(encoder, &catalogue::STATE, one_of(&catalogue::STATE, &states, Some(&state)))?;
        let loops: BTreeMap<String, bool> = self.liveness.all().into_iter().collect();
        let loops = loops.iter().map(|(name, hangs)| (labels(&catalogue::LOOP_STALLED, [name]), flag(*hangs)));
        write(encoder, &catalogue::LOOP_STALLED, loops)?;
        let holds = [
            ("memory", Hold::Memory),
            ("processors", Hold::Processors),
            ("starting", Hold::Starting),
            ("rate", Hold::Rate),
        ];
        let held = one_of(&catalogue::ADMISSION_HELD, &holds, self.admission.hold().as_ref());
        write(encoder, &catalogue::ADMISSION_HELD, held)?;
        let journals = self.journals.iter().filter_map(|file| fs_err::metadata(file).ok());
        let bytes = journals.map(|journal| journal.len()).sum();
        write(encoder, &catalogue::JOURNAL_BYTES, [(Vec::new(), float(bytes))])?;
        let version = labels(&catalogue::BUILD_INFO, [env!("CARGO_PKG_VERSION")]);
        write(encoder, &catalogue::BUILD_INFO, [(version, 1.0)])?;
        write_process(encoder)
    }
}

impl Present {
    fn served(&self, pool: &PlannedPool) -> Option<Served> {
        let Standing::Served { plugin, .. } = &*pool.standing.borrow() else { return None };
        let late = pool.last_poll.waiting_since().map_or(0.0, |due| Timestamp::now().duration_since(due).as_secs_f64());
        Some(Served {
            label: pool.plan.place(),
            index: pool.index,
            status: pool.status(&self.live),
            late: late.max(0.0),
            plugin: Arc::clone(plugin),
        })
    }

    /// Every stage of every pool that is served is there, with nothing in it if so.
    fn runs(&self, served: &[Served]) -> Vec<(Labels, f64)> {
        let mut runs = BTreeMap::new();
        for pool in served {
            let kind = pool.plugin.kind();
            for stage in Stage::ALL {
                runs.insert((pool.label.clone(), kind.to_string(), stage.as_str()), 0_usize);
            }
        }
        for sighting in self.live.sightings() {
            let seen = sighting.seen;
            let served = served.iter().find(|pool| pool.index == sighting.pool);
            let label = served.map_or(seen.pool, |pool| pool.label.clone());
            *runs.entry((label, seen.kind.to_string(), seen.stage.as_str())).or_default() += 1;
        }
        let sample = |((pool, kind, stage), count): ((String, String, &str), usize)| {
            (labels(&catalogue::RUNS, [&pool, &kind, stage]), number(count))
        };
        runs.into_iter().map(sample).collect()
    }

    fn watch_restarts(&self, served: &[Served]) -> Vec<(Labels, f64)> {
        let kinds: BTreeMap<String, &Arc<dyn InfraPlugin>> =
            served.iter().map(|pool| (pool.plugin.kind().to_string(), &pool.plugin)).collect();
        let restarts = |(kind, plugin): (String, &Arc<dyn InfraPlugin>)| {
            let count = plugin.watch_restarts() + self.metrics.watch_restarts(&plugin.kind());
            (labels(&catalogue::WATCH_RESTARTS, [&kind]), float(count))
        };
        kinds.into_iter().map(restarts).collect()
    }
}

/// 1 for the one that it is, 0 for the others.
fn one_of<T: PartialEq>(metric: &Metric, words: &[(&str, T)], is: Option<&T>) -> Vec<(Labels, f64)> {
    words.iter().map(|(word, of)| (labels(metric, [word]), flag(is == Some(of)))).collect()
}

const fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}

fn number(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "samples are floating-point numbers")]
const fn float(number: u64) -> f64 {
    number as f64
}
