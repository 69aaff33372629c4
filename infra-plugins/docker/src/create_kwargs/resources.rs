//! What the container may use of the machine.

use bollard::models::{ResourcesBlkioWeightDevice, ResourcesUlimits, ThrottleDevice};

use super::{
    KwargError,
    fields::Fields,
    given::Given,
    place::{Asked, Keys, Place},
};

pub(super) const KEYS: Keys = &[
    ("blkio_weight", Place::Own(blkio_weight)),
    ("blkio_weight_device", Place::Own(blkio_weight_device)),
    ("cpu_count", Place::Whole(|to| &mut to.host().cpu_count)),
    ("cpu_percent", Place::Whole(|to| &mut to.host().cpu_percent)),
    ("cpu_period", Place::Whole(|to| &mut to.host().cpu_period)),
    ("cpu_quota", Place::Whole(|to| &mut to.host().cpu_quota)),
    ("cpu_rt_period", Place::Whole(|to| &mut to.host().cpu_realtime_period)),
    ("cpu_rt_runtime", Place::Whole(|to| &mut to.host().cpu_realtime_runtime)),
    ("cpu_shares", Place::Whole(|to| &mut to.host().cpu_shares)),
    ("cpuset_cpus", Place::TextOrNumber(|to| &mut to.host().cpuset_cpus)),
    ("cpuset_mems", Place::TextOrNumber(|to| &mut to.host().cpuset_mems)),
    ("device_read_bps", Place::Own(device_read_bps)),
    ("device_read_iops", Place::Own(device_read_iops)),
    ("device_write_bps", Place::Own(device_write_bps)),
    ("device_write_iops", Place::Own(device_write_iops)),
    ("kernel_memory", Place::Unsupported("the engine's API has none since version 1.42")),
    ("mem_reservation", Place::Bytes(|to| &mut to.host().memory_reservation)),
    ("mem_swappiness", Place::Whole(|to| &mut to.host().memory_swappiness)),
    ("nano_cpus", Place::Whole(|to| &mut to.host().nano_cpus)),
    ("oom_kill_disable", Place::Flag(|to| &mut to.host().oom_kill_disable)),
    ("oom_score_adj", Place::Whole(|to| &mut to.host().oom_score_adj)),
    ("pids_limit", Place::Whole(|to| &mut to.host().pids_limit)),
    ("shm_size", Place::Bytes(|to| &mut to.host().shm_size)),
    ("ulimits", Place::Own(ulimits)),
];

fn blkio_weight(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().blkio_weight = Some(given.whole()?);
    Ok(())
}

fn blkio_weight_device(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().blkio_weight_device = Some(given.each(weight)?);
    Ok(())
}

fn weight(given: &Given<'_>) -> Result<ResourcesBlkioWeightDevice, KwargError> {
    let fields = Fields::of(given, &["Path", "Weight"])?;
    Ok(ResourcesBlkioWeightDevice {
        path: Some(fields.required("Path", Given::text)?),
        weight: Some(fields.required("Weight", Given::whole)?),
    })
}

fn device_read_bps(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().blkio_device_read_bps = Some(given.each(bytes_per_second)?);
    Ok(())
}

fn device_write_bps(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().blkio_device_write_bps = Some(given.each(bytes_per_second)?);
    Ok(())
}

fn device_read_iops(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().blkio_device_read_iops = Some(given.each(operations_per_second)?);
    Ok(())
}

fn device_write_iops(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().blkio_device_write_iops = Some(given.each(operations_per_second)?);
    Ok(())
}

fn bytes_per_second(given: &Given<'_>) -> Result<ThrottleDevice, KwargError> {
    throttle(given, Given::bytes)
}

fn operations_per_second(given: &Given<'_>) -> Result<ThrottleDevice, KwargError> {
    throttle(given, Given::whole)
}

fn throttle<'v>(
    given: &Given<'v>,
    rate: impl FnOnce(&Given<'v>) -> Result<i64, KwargError>,
) -> Result<ThrottleDevice, KwargError> {
    let fields = Fields::of(given, &["Path", "Rate"])?;
    Ok(ThrottleDevice { path: Some(fields.required("Path", Given::text)?), rate: Some(fields.required("Rate", rate)?) })
}

fn ulimits(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().ulimits = Some(given.each(ulimit)?);
    Ok(())
}

fn ulimit(given: &Given<'_>) -> Result<ResourcesUlimits, KwargError> {
    let fields = Fields::of(given, &["Name", "Soft", "Hard"])?;
    Ok(ResourcesUlimits {
        name: Some(fields.required("Name", Given::text)?),
        soft: fields.read("Soft", Given::whole)?,
        hard: fields.read("Hard", Given::whole)?,
    })
}
