//! Answering why a run is where it is: what was decided about it here, and what is visible of it elsewhere.

use std::sync::Arc;
use std::time::Duration;

use central_api_client::{ApiError, Client};
use central_api_wire::flow_run::FlowRun;
use jiff::Timestamp;
use worker_core::ids::RunId;

use super::answers::{DaemonState, RunNamed, Why};
use super::desk::{Desk, DeskWorkspace};
use super::explanation::{Facts, Here, explain, pool_of, queue_of};
use super::picking::{Picked, pick};
use super::planned_pool::{PlannedPool, Standing};
use super::server::NoAnswer;
use crate::live_runs::{Sighting, WorkspaceIndex};
use crate::run::ErrorChain;
use crate::timeline::{Note, Timeline};

/// The API gets this long for all that is asked of it.
const API_ANSWER: Duration = Duration::from_secs(5);

pub(super) async fn why(desk: &Desk, named: &RunNamed) -> Result<Why, NoAnswer> {
    let history = history(desk).await?;
    let sightings = desk.live.sightings();
    let live = sightings.iter().map(|sighting| (sighting.seen.key.run, sighting.seen.name.clone()));
    let noted = desk.timelines.names();
    let past = history.iter().map(|(run, timeline)| (*run, timeline.name.clone()));
    let run = match pick(&named.run, past.chain(noted).chain(live)) {
        Picked::One(run) => run,
        Picked::Several(text) => return Err(NoAnswer::Ambiguous(text)),
        Picked::None => named.run.parse().map_err(|_| {
            NoAnswer::Unknown(format!(
                "no run that was seen here begins with '{}'. With its whole id it is looked for at the API.",
                named.run
            ))
        })?,
    };
    let earlier = history.into_iter().filter(|(past, _)| *past == run).map(|(_, timeline)| timeline);
    let timeline = joined(earlier.chain(desk.timelines.of(run)));
    let sighting = sightings.into_iter().find(|sighting| sighting.seen.key.run == run);
    let is_served = |sighting: &Sighting| desk.pools.named(sighting.pool.workspace, &sighting.seen.pool).is_some();
    let pool_is_served = sighting.as_ref().is_some_and(is_served);
    let live = sighting.map(|sighting| desk.run(sighting));
    let mut why = Why {
        daemon: desk.daemon.clone(),
        id: run,
        name: timeline.name,
        pool: Some(timeline.pool).filter(|pool| !pool.is_empty()),
        pool_is_served,
        workspace: live.as_ref().and_then(|live| live.workspace.clone()),
        live,
        notes: timeline.notes,
        dropped: timeline.dropped,
        visible: Vec::new(),
    };
    if why.live.is_none() {
        look_at_the_api(desk, &mut why).await?;
    }
    Ok(why)
}

async fn history(desk: &Desk) -> Result<Vec<(RunId, Timeline)>, NoAnswer> {
    let journals: Vec<_> = desk.workspaces.iter().map(|workspace| Arc::clone(&workspace.journal)).collect();
    let broken = |why: String| NoAnswer::Broken(format!("the journal cannot be read: {why}"));
    let read = move || journals.iter().map(|journal| journal.history()).collect::<Result<Vec<_>, _>>();
    let past = tokio::task::spawn_blocking(read).await.map_err(|error| broken(error.to_string()))?;
    let past = past.map_err(|error| broken(ErrorChain(&error).to_string()))?;
    Ok(past.into_iter().flatten().map(|(key, timeline)| (key.run, timeline)).collect())
}

/// One timeline out of those of several executions, in which the same note may be twice.
fn joined(timelines: impl Iterator<Item = Timeline>) -> Timeline {
    let mut all = Timeline::default();
    for timeline in timelines {
        let Timeline { name, pool, infrastructure, notes, dropped } = timeline;
        (all.name, all.pool, all.infrastructure) = (name, pool, infrastructure);
        let new: Vec<Note> = notes.into_iter().filter(|note| !all.notes.contains(note)).collect();
        all.notes.extend(new);
        all.dropped = all.dropped.max(dropped);
    }
    all.notes.sort_by_key(|note| note.at);
    all
}

async fn look_at_the_api(desk: &Desk, why: &mut Why) -> Result<(), NoAnswer> {
    match anywhere(desk, why.id).await {
        Looked::Found { workspace, facts } => {
            why.name.clone_from(&facts.run.name);
            why.pool = pool_of(&facts.run).map(str::to_owned).or_else(|| why.pool.take());
            why.workspace = workspace;
            why.pool_is_served = facts.here.is_some();
            why.visible = explain(&facts);
        }
        Looked::Nowhere if why.notes.is_empty() => {
            return Err(NoAnswer::Unknown(format!("neither this worker nor the API knows the run {}", why.id)));
        }
        Looked::Nowhere => why.visible.push("It was deleted at the API.".to_owned()),
        Looked::Unanswered(reason) => why.visible.push(format!("The API cannot be asked about it: {reason}.")),
    }
    Ok(())
}

/// What looking for a run at all APIs came to.
enum Looked {
    Found {
        workspace: Option<String>,
        facts: Box<Facts>,
    },
    /// No API has it.
    Nowhere,
    /// Not all have said so.
    Unanswered(String),
}

/// All are asked at once: one that does not answer is not to hide what another knows.
async fn anywhere(desk: &Desk, run: RunId) -> Looked {
    let ask = |(at, workspace)| async move {
        let asked = tokio::time::timeout(API_ANSWER, facts(desk, WorkspaceIndex(at), workspace, run));
        (workspace, asked.await)
    };
    let mut looked = Looked::Nowhere;
    for (workspace, answer) in futures::future::join_all(desk.workspaces.iter().enumerate().map(ask)).await {
        match answer {
            Ok(Ok(facts)) => return Looked::Found { workspace: workspace.name.clone(), facts: Box::new(facts) },
            Ok(Err(error)) if error.is_not_found() => {}
            Ok(Err(error)) => looked = Looked::Unanswered(ErrorChain(&error).to_string()),
            Err(_) => looked = Looked::Unanswered("it does not answer".to_owned()),
        }
    }
    looked
}

async fn facts(desk: &Desk, index: WorkspaceIndex, workspace: &DeskWorkspace, run: RunId) -> Result<Facts, ApiError> {
    let run = workspace.client.flow_run(run).await?;
    let here = match pool_of(&run).and_then(|name| desk.pools.named(index, name)) {
        Some(pool) => Some(here(desk, &workspace.client, &pool, &run).await?),
        None => None,
    };
    Ok(Facts {
        run,
        now: Timestamp::now(),
        served: desk.pools.all().iter().map(|pool| pool.plan.place()).collect(),
        here,
        is_cordoned: *desk.cordoned.borrow(),
        is_stopping: desk.state() == DaemonState::Draining,
    })
}

async fn here(desk: &Desk, client: &Client, served: &PlannedPool, run: &FlowRun) -> Result<Here, ApiError> {
    let name = &served.plan.pool;
    let pool = match client.work_pool(name).await {
        Ok(pool) => Some(pool),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(error),
    };
    let queue = match queue_of(run) {
        Some(queue) if pool.is_some() => client.work_queues(name, Some(&[queue.to_owned()])).await?.pop(),
        _ => None,
    };
    let refused = match &*served.standing.borrow() {
        Standing::Refused(why) => Some(why.clone()),
        Standing::Opening | Standing::Served { .. } | Standing::Left { .. } => None,
    };
    Ok(Here {
        refused,
        pool,
        queue,
        queues: served.plan.work_queues.clone(),
        prefetch: served.plan.prefetch,
        slots: desk.live.slots(served.index),
        limit: served.limit.get(),
        budget: desk.budget.filling(),
        last_poll: served.last_poll.age(),
        hold: served.last_poll.hold(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeline(notes: &[(i64, &str)]) -> Timeline {
        let note = |(second, text): &(i64, &str)| Note {
            at: Timestamp::from_second(*second).unwrap(),
            text: (*text).to_owned(),
        };
        Timeline {
            name: "calm-fox".to_owned(),
            pool: "p".to_owned(),
            infrastructure: None,
            notes: notes.iter().map(note).collect(),
            dropped: 0,
        }
    }

    #[test]
    fn the_executions_of_a_run_make_one_timeline_without_repetitions() {
        let all = joined([timeline(&[(1, "a"), (2, "b")]), timeline(&[(2, "b"), (3, "c")])].into_iter());
        assert_eq!(all.notes.iter().map(|note| note.text.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(all.name, "calm-fox");
    }
}
