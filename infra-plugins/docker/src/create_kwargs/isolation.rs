//! What the container shares with the machine, and what it may do there.

use super::{
    KwargError,
    given::Given,
    place::{Asked, Keys, Place},
};

pub(super) const KEYS: Keys = &[
    ("cap_add", Place::TextOrTexts(|to| &mut to.host().cap_add)),
    ("cap_drop", Place::TextOrTexts(|to| &mut to.host().cap_drop)),
    ("cgroup_parent", Place::Text(|to| &mut to.host().cgroup_parent)),
    ("cgroupns", Place::Own(cgroupns)),
    ("ipc_mode", Place::Text(|to| &mut to.host().ipc_mode)),
    ("isolation", Place::Own(isolation)),
    ("lxc_conf", Place::Unsupported("the engine no longer runs containers with LXC")),
    ("pid_mode", Place::Text(|to| &mut to.host().pid_mode)),
    ("runtime", Place::Text(|to| &mut to.host().runtime)),
    ("security_opt", Place::Texts(|to| &mut to.host().security_opt)),
    ("sysctls", Place::TextMap(|to| &mut to.host().sysctls)),
    ("userns_mode", Place::Text(|to| &mut to.host().userns_mode)),
    ("uts_mode", Place::Text(|to| &mut to.host().uts_mode)),
];

fn cgroupns(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().cgroupns_mode = Some(given.choice("private or host")?);
    Ok(())
}

fn isolation(given: &Given<'_>, asked: &mut Asked<'_>) -> Result<(), KwargError> {
    asked.host().isolation = Some(given.choice("default, process or hyperv")?);
    Ok(())
}
