//! What workers know of runs: told by those at work, and written down by those that have stopped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redb::{Database, ReadableDatabase as _, ReadableTableMetadata as _, TableDefinition};
use serde_json::Value;
use tokio::process::Command;

use super::remains::entries;
use crate::harness::worker_binary;

/// The runs of a journal.
const RUNS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("runs");
/// How long a worker may take to tell.
const TELLS_WITHIN: Duration = Duration::from_secs(10);

/// Asks the workers of a state directory for the runs that hold a slot, as an operator does.
pub(super) async fn live_runs(state: &Path) -> Result<Vec<String>, String> {
    let mut command = Command::new(worker_binary());
    command.args(["runs", "--json", "--state-dir"]).arg(state).env_clear().kill_on_drop(true);
    let output = tokio::time::timeout(TELLS_WITHIN, command.output()).await;
    let output = output.map_err(|_| "`worker runs` did not end".to_owned())?;
    let output = output.expect("the built worker can be started");
    if !output.status.success() {
        return Err(format!("`worker runs` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)));
    }
    let runs: Vec<Value> = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    Ok(runs.iter().map(Value::to_string).collect())
}

/// What is written in the journals of state directories whose workers have stopped.
pub(super) fn journalled(states: &BTreeSet<PathBuf>) -> Vec<String> {
    let journals = states.iter().flat_map(|state| entries(state)).map(|daemon| daemon.join("journal.redb"));
    let told = journals.filter(|journal| journal.exists()).map(|journal| match runs_in(&journal) {
        Ok(0) => None,
        Ok(runs) => Some(format!("{runs} runs are left in {}", journal.display())),
        Err(error) => Some(format!("{} cannot be read: {error}", journal.display())),
    });
    told.flatten().collect()
}

fn runs_in(journal: &Path) -> Result<u64, redb::Error> {
    let database = Database::open(journal)?;
    match database.begin_read()?.open_table(RUNS) {
        Ok(runs) => Ok(runs.len()?),
        Err(redb::TableError::TableDoesNotExist(_)) => Ok(0),
        Err(error) => Err(error.into()),
    }
}
