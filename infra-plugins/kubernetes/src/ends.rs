//! How Jobs ended that are no more, and which this worker stopped itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use infra_contract::OutputLine;
use worker_core::exit::ExitReport;
use worker_core::ids::LaunchKey;

/// What is remembered of executions until they are cleaned up. A process that is started anew does without: the cluster then
/// says what it still knows. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends(Arc<Mutex<HashMap<LaunchKey, End>>>);

#[derive(Debug, Default)]
struct End {
    was_stopped: bool,
    report: Option<ExitReport>,
    /// What it wrote last.
    output: Vec<OutputLine>,
}

impl Ends {
    /// From now on its end is this worker's doing.
    pub(crate) fn note_stop(&self, key: LaunchKey) {
        self.lock().entry(key).or_default().was_stopped = true;
    }

    pub(crate) fn was_stopped(&self, key: &LaunchKey) -> bool {
        self.lock().get(key).is_some_and(|end| end.was_stopped)
    }

    /// The first report stands: what is seen later of a Job that is being removed says less.
    pub(crate) fn note(&self, key: LaunchKey, report: &ExitReport) {
        self.lock().entry(key).or_default().report.get_or_insert_with(|| report.clone());
    }

    pub(crate) fn report(&self, key: &LaunchKey) -> Option<ExitReport> {
        self.lock().get(key)?.report.clone()
    }

    pub(crate) fn note_output(&self, key: LaunchKey, output: Vec<OutputLine>) {
        self.lock().entry(key).or_default().output = output;
    }

    pub(crate) fn take_output(&self, key: &LaunchKey) -> Vec<OutputLine> {
        self.lock().get_mut(key).map(|end| std::mem::take(&mut end.output)).unwrap_or_default()
    }

    pub(crate) fn forget(&self, key: &LaunchKey) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LaunchKey, End>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
