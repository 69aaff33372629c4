//! Looking on while another worker serves a pool, and saying what this one would do otherwise.
//!
//! Asks the API by calls that change nothing: runs are found by a filter, because a poll tells the server that a worker is there.
//! Nothing is claimed, launched or reported, and no heartbeat is sent.

mod report;
mod tally;

use std::collections::HashMap;
use std::time::Duration;

use central_api_client::{ApiError, Client};
use central_api_wire::flow_run::{AnyOf, FlowRun, FlowRunFilter, FlowRunsFilterRequest, StateFilter, WorkPoolFilter};
use central_api_wire::state::StateType;
use jiff::{SignedDuration, Timestamp};
use worker_core::ids::RunId;
use worker_core::policy::Judgement;

pub(crate) use report::{Launch, Report};
pub(crate) use tally::Tally;

use crate::policy::Ruling;
use crate::rendering::{RenderError, Renderer, Rendering, question_of_run};

/// The longest page that servers give.
const PAGE: u32 = 200;
/// Infrastructure that is not there this long after the run began to be Pending is not seen from here.
const APPEARS_WITHIN: Duration = Duration::from_mins(5);

/// A look-on at one pool.
pub(crate) struct Shadow<'a> {
    pub(crate) client: &'a Client,
    pub(crate) renderer: Renderer<'a>,
    pub(crate) pool: &'a str,
    /// How long before they are due runs are looked at, as a worker takes them.
    pub(crate) prefetch: Duration,
    known: HashMap<RunId, Known>,
}

/// What was done about a run.
struct Known {
    since: Timestamp,
    is_compared: bool,
}

impl<'a> Shadow<'a> {
    pub(crate) fn new(client: &'a Client, renderer: Renderer<'a>, pool: &'a str, prefetch: Duration) -> Self {
        Self { client, renderer, pool, prefetch, known: HashMap::new() }
    }

    /// Looks once: what is new about the runs of the pool.
    ///
    /// # Errors
    /// The runs could not be listed.
    ///
    /// # Cancel safety
    /// A look that is dropped leaves out what it was about to say of one run.
    pub(crate) async fn look(&mut self) -> Result<Vec<Report>, ApiError> {
        let now = Timestamp::now();
        let runs = self.runs(now).await?;
        self.known.retain(|id, known| runs.iter().any(|run| run.id == *id) || !known.is_old(now));
        let mut reports = Vec::new();
        for run in runs {
            reports.extend(self.look_at(&run, now).await);
        }
        Ok(reports)
    }

    async fn runs(&self, now: Timestamp) -> Result<Vec<FlowRun>, ApiError> {
        let mut runs = Vec::new();
        for page in 0.. {
            let found = self.client.flow_runs(&self.request(page * PAGE)).await?;
            let is_last = found.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            runs.extend(found.into_iter().filter(|run| self.is_of_interest(run, now)));
            if is_last {
                break;
            }
        }
        Ok(runs)
    }

    fn request(&self, offset: u32) -> FlowRunsFilterRequest {
        let states = vec![StateType::Scheduled, StateType::Pending, StateType::Running];
        FlowRunsFilterRequest {
            flow_runs: Some(FlowRunFilter {
                id: None,
                state: Some(StateFilter { state_type: Some(AnyOf { any_: states }), name: None }),
                ..FlowRunFilter::default()
            }),
            work_pools: Some(WorkPoolFilter { name: Some(AnyOf { any_: vec![self.pool.to_owned()] }) }),
            offset,
            limit: Some(PAGE),
            ..FlowRunsFilterRequest::default()
        }
    }

    /// Of the scheduled ones those that a worker would be shown.
    fn is_of_interest(&self, run: &FlowRun, now: Timestamp) -> bool {
        let prefetch = SignedDuration::try_from(self.prefetch).unwrap_or(SignedDuration::MAX);
        let until = now.checked_add(prefetch).unwrap_or(now);
        run.state_type != Some(StateType::Scheduled) || run.next_scheduled_start_time.is_some_and(|due| due <= until)
    }

    async fn look_at(&mut self, run: &FlowRun, now: Timestamp) -> Vec<Report> {
        let is_new = !self.known.contains_key(&run.id);
        let known = self.known.entry(run.id).or_insert(Known { since: now, is_compared: false });
        let may_be_there = matches!(run.state_type, Some(StateType::Pending | StateType::Running));
        let compares = may_be_there && !known.is_compared && !known.is_old(now);
        if !is_new && !compares {
            return Vec::new();
        }
        let question = match question_of_run(self.client, run.id, None).await {
            Ok(question) => question,
            Err(error) => {
                // Asked about again with the next look.
                self.known.remove(&run.id);
                return vec![Report::of_launch(run, Launch::Unknown { reason: error.for_people() })];
            }
        };
        let mut reports = Vec::new();
        if is_new {
            let launch = match self.renderer.render(&question).await {
                Ok(Rendering {
                    policy: Some(Ruling { judgement: Judgement { refused: Some(objection), .. }, .. }),
                    ..
                }) => Launch::Crashed { reason: objection.for_people() },
                Ok(rendering) => {
                    Launch::Launched { deployment: rendering.deployment, code: rendering.code, plan: rendering.plan }
                }
                Err(error) if error.is_of_the_run() => Launch::Crashed { reason: error.for_people() },
                Err(error) => Launch::Unknown { reason: error.for_people() },
            };
            reports.push(Report::of_launch(run, launch));
        }
        if compares {
            reports.extend(self.compare(run, &question).await);
        }
        reports
    }

    /// None while nothing is seen.
    async fn compare(&mut self, run: &FlowRun, question: &crate::rendering::Question) -> Option<Report> {
        let compared = self.renderer.compare(question).await;
        let report = match compared {
            Ok(compared) if compared.is_empty() => return None,
            Ok(compared) => Some(Report::of_comparison(run, compared.into_iter().flatten().collect())),
            Err(RenderError::Unseen(error)) => {
                Some(Report::of_launch(run, Launch::Unknown { reason: RenderError::Unseen(error).for_people() }))
            }
            // It was said when the run was new.
            Err(_) => None,
        };
        if let Some(known) = self.known.get_mut(&run.id) {
            known.is_compared = true;
        }
        report
    }
}

impl Known {
    fn is_old(&self, now: Timestamp) -> bool {
        now.duration_since(self.since).unsigned_abs() > APPEARS_WITHIN
    }
}
