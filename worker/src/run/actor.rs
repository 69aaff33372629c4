//! The actor of one run.
//!
//! One task. It feeds inputs to the run machine and carries out the effects in order; what takes time runs beside its
//! inbox, so that a run can be stopped while its code is pulled or its infrastructure starts. No step awaits while the
//! machine is half changed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use central_api_wire::deployment::Deployment;
use futures::future::{AbortHandle, BoxFuture, abortable};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use worker_core::machine::{Effect, Input, Outcome, Phase, Run};
use worker_core::spec::{Plan, ReportState};

use super::context::RunContext;
use super::error_chain::ErrorChain;
use super::launch::{self, for_people};
use super::prepare::Prepared;
use super::report::Told;
use super::{announce, claim, code, prepare, report, stop, watch};

/// How long calls that nobody waits for may still take once the run is over.
const LATE_CALLS: Duration = Duration::from_secs(5);
/// Pause between the tries of a journal that cannot be written.
const JOURNAL_AGAIN: Duration = Duration::from_secs(1);

/// What something that took time came back with.
enum Answer {
    Input(Input),
    Claimed(Option<Arc<Deployment>>),
    Prepared(Box<Prepared>),
    /// It was given up because the run went another way.
    Nothing,
}

/// How an actor's life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server would not give us the run.
    Refused,
    /// The run was ours and is over.
    Over,
    /// The run goes on without this worker.
    Left,
}

/// One run.
pub struct Actor {
    cx: Arc<RunContext>,
    run: Run,
    inbox: mpsc::Receiver<Input>,
    to_do: VecDeque<Effect>,
    /// What answers.
    under_way: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// What does not answer but is to be finished before the end is reported.
    beside: FuturesUnordered<BoxFuture<'static, ()>>,
    /// Gives up what is pointless after a stop before the launch.
    submission: Option<AbortHandle>,
    deployment: Option<Arc<Deployment>>,
    plan: Option<Arc<Plan>>,
    told: Option<Arc<Told>>,
    ended: Ended,
}

impl Actor {
    /// An actor for a run that is about to be claimed.
    pub fn new(cx: RunContext, inbox: mpsc::Receiver<Input>) -> Self {
        let run = Run::offered(cx.offer.key);
        Self {
            cx: Arc::new(cx),
            run,
            inbox,
            to_do: VecDeque::from([Effect::Claim]),
            under_way: FuturesUnordered::new(),
            beside: FuturesUnordered::new(),
            submission: None,
            deployment: None,
            plan: None,
            told: None,
            ended: Ended::Over,
        }
    }

    /// Lives until the run is over, or left to the next worker.
    pub async fn live(mut self) -> Ended {
        loop {
            while let Some(effect) = self.to_do.pop_front() {
                tracing::debug!(?effect, "effect");
                let ends = matches!(effect, Effect::Forget | Effect::Leave);
                self.carry_out(effect).await;
                if ends {
                    self.finish_late_calls().await;
                    return self.ended;
                }
            }
            let input = self.next_input().await;
            self.take(input);
        }
    }

    /// What happened has precedence over what somebody wants, so that a run which ended by itself is not stopped.
    async fn next_input(&mut self) -> Input {
        loop {
            let answer = tokio::select! {
                biased;
                Some(answer) = self.under_way.next() => answer,
                Some(()) = self.beside.next() => continue,
                Some(input) = self.inbox.recv() => return input,
                // The table of live runs holds the other end of the inbox for as long as this actor lives.
                else => std::future::pending().await,
            };
            match answer {
                Answer::Input(input) => return input,
                Answer::Claimed(deployment) => {
                    self.deployment = deployment;
                    return Input::Claimed;
                }
                Answer::Prepared(prepared) => return self.learn(*prepared),
                Answer::Nothing => {}
            }
        }
    }

    fn learn(&mut self, prepared: Prepared) -> Input {
        self.plan = Some(Arc::new(prepared.plan));
        self.told = Some(Arc::new(Told { subject: prepared.subject, submitted: prepared.submitted }));
        Input::Prepared(prepared.report_state)
    }

    fn take(&mut self, input: Input) {
        tracing::debug!(?input, phase = ?self.run.phase, "input");
        if input == Input::Refused {
            self.ended = Ended::Refused;
        }
        let (run, effects) = self.run.clone().step(input);
        self.run = run;
        self.to_do.extend(effects);
        let submitting = matches!(self.run.phase, Phase::Preparing | Phase::Announcing);
        if !submitting && let Some(submission) = self.submission.take() {
            submission.abort();
        }
    }

    async fn carry_out(&mut self, effect: Effect) {
        let cx = Arc::clone(&self.cx);
        match effect {
            Effect::Claim => self.begin(async move {
                match claim::claim(&cx).await {
                    claim::Claim::Ours(deployment) => Answer::Claimed(deployment),
                    claim::Claim::NotOurs => Answer::Input(Input::Refused),
                }
            }),
            Effect::Prepare => {
                let deployment = self.deployment.clone();
                self.begin_submission(async move {
                    match prepare::prepare(&cx, deployment.as_deref()).await {
                        Ok(prepared) => Answer::Prepared(Box::new(prepared)),
                        Err(error) => Answer::Input(Input::SubmitFailed(error.for_people())),
                    }
                });
            }
            Effect::Announce => {
                let report_state = self.run.report_state;
                self.begin_submission(async move { Answer::Input(announce::announce(&cx, report_state).await) });
            }
            Effect::Persist => self.persist().await,
            Effect::Launch => self.launch(),
            Effect::Find => self.begin(async move { Answer::Input(launch::find(&cx).await) }),
            Effect::Reattach(handle) => {
                self.begin(async move { Answer::Input(launch::reattach(&cx, &handle).await) });
            }
            Effect::RecordInfra(handle) => {
                self.beside.push(async move { report::record_infra(&cx, &handle).await }.boxed());
            }
            Effect::ReportRunning => self.beside.push(async move { report::report_running(&cx).await }.boxed()),
            Effect::Watch(handle) => self.begin(async move { Answer::Input(watch::watch(&cx, &handle).await) }),
            Effect::Kill { handle, intent } => {
                self.begin(async move { Answer::Input(stop::kill(&cx, &handle, intent).await) });
            }
            Effect::Report(outcome) => self.report(outcome),
            Effect::Cleanup(handle) => self.begin(async move {
                if let Err(error) = cx.plugin.cleanup(&handle).await {
                    tracing::warn!("leftovers of the run were not removed: {}", for_people(&error));
                }
                Answer::Input(Input::CleanedUp)
            }),
            Effect::Leave => {
                self.ended = Ended::Left;
                tracing::info!("the run goes on without this worker");
            }
            Effect::Forget => self.forget().await,
        }
    }

    fn begin(&mut self, work: impl Future<Output = Answer> + Send + 'static) {
        self.under_way.push(work.boxed());
    }

    fn begin_submission(&mut self, work: impl Future<Output = Answer> + Send + 'static) {
        let (work, abort) = abortable(work);
        self.submission = Some(abort);
        self.begin(work.map(|answer| answer.unwrap_or(Answer::Nothing)));
    }

    fn launch(&mut self) {
        let (cx, plan) = (Arc::clone(&self.cx), self.plan.clone());
        self.begin(async move {
            match plan {
                Some(plan) => Answer::Input(launch::launch(&cx, &plan).await),
                // A process that came back after `Persist` has no plan; whether the launch happened is looked up.
                None => Answer::Input(Input::LaunchUnclear),
            }
        });
    }

    fn report(&mut self, outcome: Outcome) {
        let (cx, told) = (Arc::clone(&self.cx), self.told.clone());
        let handle = self.run.handle().cloned();
        let mut beside = std::mem::take(&mut self.beside);
        // Running has to arrive before Completed. The id of what has ended is worth little more than a moment.
        let reports_itself = self.run.report_state == ReportState::Worker;
        self.begin(async move {
            let earlier = async { while beside.next().await.is_some() {} };
            if reports_itself {
                earlier.await;
            } else if tokio::time::timeout(LATE_CALLS, earlier).await.is_err() {
                tracing::warn!("the infrastructure's id was not stored before the run ended");
            }
            report::report(&cx, &outcome, handle.as_ref(), told.as_deref()).await;
            Answer::Input(Input::ReportSettled)
        });
    }

    /// Writes the journal, for as long as it takes: launching or reporting without it could strand the run.
    async fn persist(&mut self) {
        while let Err(error) = self.cx.journal.persist(&self.run).await {
            tracing::error!("the journal cannot be written, the run waits: {}", ErrorChain(&error));
            tokio::time::sleep(JOURNAL_AGAIN).await;
        }
    }

    async fn forget(&mut self) {
        if let Err(error) = self.cx.journal.forget(self.run.key.run).await {
            tracing::warn!("the ended run stays in the journal: {}", ErrorChain(&error));
        }
        code::remove(&self.cx).await;
    }

    async fn finish_late_calls(&mut self) {
        let late = async { while self.beside.next().await.is_some() {} };
        if tokio::time::timeout(LATE_CALLS, late).await.is_err() {
            tracing::debug!("late calls were given up");
        }
    }
}
