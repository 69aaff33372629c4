//! Finding a run again by what is written in its folder.

use std::io;
use std::time::Duration;

use infra_contract::InfraError;
use tokio::time::Instant;
use worker_core::exit::{Exit, ExitReport};
use worker_core::handle::Handle;

use crate::changes::{Change, Changes};
use crate::claim::{Claim, Supervised};
use crate::claim_file::Written;
use crate::error::ProcessError;
use crate::folder::RunFolder;
use crate::handle::HandleDetail;
use crate::procfs::Identity;
use crate::run::Run;
use crate::supervision::Supervision;
use crate::tail::Tail;
use crate::tree;

/// How long a supervisor that has claimed a run may take to say which process it is.
const PROCESS_LIMIT: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// A run that was found, and how its end will be heard of.
pub(crate) struct Adopted {
    pub(crate) run: std::sync::Arc<Run>,
    pub(crate) exit: Option<Change>,
}

/// The handle of a claimed run.
pub(crate) async fn handle_of(folder: &RunFolder, claimed: &Supervised) -> Result<Handle, InfraError> {
    let detail = HandleDetail {
        process: process_of(folder, claimed).await.map_err(|source| unusable(folder, source))?,
        boot_id: claimed.boot_id.clone(),
        supervisor: Some(claimed.supervisor),
        temporary_directory: None,
    };
    detail.into_handle(claimed.key, claimed.report_state)
}

/// Which process the run is. A supervisor that was killed before it wrote that down has left the marker at least; where
/// there is no such process either, nothing runs, and the supervisor's own identity stands for that.
async fn process_of(folder: &RunFolder, claimed: &Supervised) -> io::Result<Identity> {
    let deadline = Instant::now() + PROCESS_LIMIT;
    let is_past = claimed.is_of_an_earlier_boot();
    loop {
        let may_come = !is_past && claimed.supervisor.is_alive() && Instant::now() < deadline;
        let process = || folder.written()?.map_or(Ok(None), |written| written.words.process());
        if let Some(process) = unless_torn(process(), is_past)? {
            return Ok(process);
        }
        if !may_come {
            let marked = (!is_past).then(|| tree::oldest_marked(&claimed.key)).flatten();
            return Ok(marked.unwrap_or(claimed.supervisor));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

/// Takes a run in hand; `None` if there is nothing of it any more.
pub(crate) fn adopt(handle: &Handle, folder: RunFolder, changes: &Changes) -> Result<Option<Adopted>, InfraError> {
    let detail = HandleDetail::of(handle)?;
    let Some(supervisor) = detail.supervisor else { return Ok(adopt_unsupervised(handle, &detail)?) };
    let is_past = detail.is_of_an_earlier_boot();
    // Watched before it is read: an end in between is then heard of.
    let heard = changes.of(&folder);
    let written = unless_torn(folder.written(), is_past).map_err(|source| unusable(&folder, source))?;
    let (claimed, words) = match written {
        Some(Written { claim: Claim::Supervisor(claimed), words }) => (claimed, words),
        // It was not a failure of the machine that tore it: whatever did, the run may go on.
        Some(Written { claim: Claim::Torn, .. }) if !is_past => {
            return Err(unusable(&folder, io::ErrorKind::InvalidData.into()).into());
        }
        Some(Written { claim: Claim::Torn | Claim::Nobody(_), .. }) | None => {
            return Ok(is_past.then(|| lost_with_the_machine(handle, &detail)));
        }
    };
    let end = unless_torn(words.exit(), is_past).map_err(|source| unusable(&folder, source))?;
    let end = end.or_else(|| is_past.then(node_lost));
    let tail = claimed.streams_output.then(|| Tail::of(&folder, heard.output()));
    let process = words.process().ok().flatten().unwrap_or(detail.process);
    let exit = heard.exit();
    let supervision = Supervision::of(folder, of_this_boot(supervisor, is_past), claimed.cgroup, heard);
    let run = Run::new(handle.clone(), of_this_boot(process, is_past), Some(supervision), tail, end);
    Ok(Some(Adopted { run, exit: Some(exit) }))
}

/// What was read. What cannot be read of a run of an earlier boot counts as missing: a failure of the machine may have torn
/// it, and the run must not wait for it for ever.
fn unless_torn<T>(read: io::Result<Option<T>>, is_past: bool) -> io::Result<Option<T>> {
    match read {
        Err(_) if is_past => Ok(None),
        read => read,
    }
}

/// A run of the time before supervisors: a process, and nothing written about it.
fn adopt_unsupervised(handle: &Handle, detail: &HandleDetail) -> Result<Option<Adopted>, ProcessError> {
    if detail.process.started.is_none() {
        return Err(ProcessError::UnknownIdentity { pid: detail.process.pid });
    }
    if detail.is_of_an_earlier_boot() {
        return Ok(Some(lost_with_the_machine(handle, detail)));
    }
    let run = || Run::new(handle.clone(), detail.process, None, None, None);
    Ok(detail.process.is_alive().then(|| Adopted { run: run(), exit: None }))
}

fn lost_with_the_machine(handle: &Handle, detail: &HandleDetail) -> Adopted {
    let process = of_this_boot(detail.process, true);
    Adopted { run: Run::new(handle.clone(), process, None, None, Some(node_lost())), exit: None }
}

fn node_lost() -> ExitReport {
    let detail = "the machine was restarted while the run executed".to_owned();
    ExitReport { detail: Some(detail), ..ExitReport::bare(Exit::NodeLost) }
}

/// A process of an earlier boot is none of those that live now, also if number and start time happen to be the same.
fn of_this_boot(identity: Identity, is_past: bool) -> Identity {
    if is_past { Identity { started: None, ..identity } } else { identity }
}

fn unusable(folder: &RunFolder, source: io::Error) -> ProcessError {
    ProcessError::RunFolder { path: folder.path().to_owned(), source }
}
