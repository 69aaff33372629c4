//! The actor of one run.
//!
//! One task. It feeds inputs to the run machine and carries out the effects in order; what takes time runs beside its
//! inbox, so that a run can be stopped while its code is pulled or its infrastructure starts. No step awaits while the
//! machine is half changed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use central_api_wire::deployment::Deployment;
use futures::future::{AbortHandle, abortable};
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::Instant;
use worker_core::handle::Handle;
use worker_core::machine::{Effect, Input, KillIntent, Outcome, Phase, Run};
use worker_core::spec::{Plan, ReportState};

use super::context::{Offer, RunContext};
use super::error_chain::ErrorChain;
use super::handful::Handful;
use super::launch::{self, for_people};
use super::prepare::{PrepareError, Prepared};
use super::recall::{Recalled, recall};
use super::report::Told;
use super::started::Started;
use super::story;
use super::{announce, auditing, claim, code, prepare, report, stop, watch};
use crate::audit::Event;
use crate::failpoint;
use crate::live_runs::Inbox;

/// How long the report of the end waits for calls that nobody waits for.
const LATE_CALLS: Duration = Duration::from_secs(5);
/// How long they may still take once the report has arrived: the longest pause of a call that is tried again, and a little.
const AFTER_THE_REPORT: Duration = Duration::from_secs(35);
/// How long the announcement of a launch waits for the run's labels.
const LABELS_FIRST: Duration = Duration::from_secs(2);
/// Pause between the tries of a journal that cannot be written.
const JOURNAL_AGAIN: Duration = Duration::from_secs(1);

/// What something that took time came back with.
enum Answer {
    Input(Input),
    Claimed(Option<Arc<Deployment>>),
    /// A run that was read back is ours: as the API has it now.
    Recalled(Box<Offer>, Option<Arc<Deployment>>),
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
    inbox: Inbox,
    to_do: VecDeque<Effect>,
    /// What answers.
    under_way: Handful<Answer>,
    /// What does not answer but is to be finished before the end is reported.
    beside: Handful<()>,
    /// What nothing waits for.
    at_leisure: Handful<()>,
    /// Gives up what is pointless after a stop before the launch.
    submission: Option<AbortHandle>,
    /// Ends with the labelling of the run.
    labelled: Option<oneshot::Receiver<()>>,
    deployment: Option<Arc<Deployment>>,
    plan: Option<Arc<Plan>>,
    told: Option<Arc<Told>>,
    started: Started,
    /// When the API gave the run to this process.
    claimed: Option<Instant>,
    ended: Ended,
}

impl Actor {
    /// An actor for a run that is about to be claimed.
    pub fn new(cx: RunContext, inbox: Inbox) -> Box<Self> {
        let run = Run::offered(cx.offer.key);
        Self::with(cx, run, Run::begin(), inbox)
    }

    /// An actor for a run that an earlier process left.
    pub fn resume(cx: RunContext, run: Run, told: Option<Told>, inbox: Inbox) -> Box<Self> {
        let to_do = run.resume();
        let mut actor = Self::with(cx, run, to_do, inbox);
        actor.told = told.map(Arc::new);
        actor
    }

    fn with(cx: RunContext, run: Run, to_do: Vec<Effect>, inbox: Inbox) -> Box<Self> {
        cx.glance.saw(&run);
        cx.trace.is_at(&run.phase);
        Box::new(Self {
            cx: Arc::new(cx),
            run,
            inbox,
            to_do: to_do.into(),
            under_way: Handful::default(),
            beside: Handful::default(),
            at_leisure: Handful::default(),
            submission: None,
            labelled: None,
            deployment: None,
            plan: None,
            told: None,
            started: Started::new(),
            claimed: None,
            ended: Ended::Over,
        })
    }

    /// Lives until the run is over, or left to the next worker.
    ///
    /// In a box: a task keeps room for what it is made of more than once, and thousands of runs live at the same time.
    pub async fn live(mut self: Box<Self>) -> Ended {
        loop {
            while let Some(effect) = self.to_do.pop_front() {
                tracing::debug!(?effect, "effect");
                let ends = matches!(effect, Effect::Forget | Effect::Leave);
                // In a box, so that a run that only executes does not keep room for what it did before.
                Box::pin(self.carry_out(effect)).await;
                if ends {
                    Box::pin(self.finish_late_calls()).await;
                    return self.ended;
                }
            }
            // It may be long until there is more to do.
            self.to_do.shrink_to_fit();
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
                Some(()) = self.at_leisure.next() => continue,
                input = self.inbox.next() => return input,
            };
            match answer {
                Answer::Input(input) => return input,
                Answer::Claimed(deployment) => return self.is_ours(deployment),
                Answer::Recalled(offer, deployment) => {
                    self.cx = Arc::new(RunContext { offer: *offer, ..(*self.cx).clone() });
                    return self.is_ours(deployment);
                }
                Answer::Prepared(prepared) => return self.learn(*prepared),
                Answer::Nothing => {}
            }
        }
    }

    fn is_ours(&mut self, deployment: Option<Arc<Deployment>>) -> Input {
        if let Some(deployment) = &deployment {
            self.cx.trace.is_of_deployment(&deployment.name);
        }
        self.deployment = deployment;
        Input::Claimed
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
        if let Some(point) = story::failpoint_of_input(&input) {
            failpoint::reach(point);
        }
        self.count(&input);
        self.cx.trace.heard(&input);
        if let Some(text) = story::note(&self.run.phase, &input) {
            self.cx.note(text);
        }
        let (run, effects) = self.run.clone().step(input);
        self.run = run;
        self.cx.glance.saw(&self.run);
        self.cx.trace.is_at(&self.run.phase);
        if let Some(handle) = self.run.handle() {
            self.cx.around.timelines.executed_on(handle.key.run, &handle.infra_id);
        }
        if self.run.handle().is_some() {
            self.put_down_what_is_over();
        }
        self.to_do.extend(effects);
        let submitting = matches!(self.run.phase, Phase::Preparing | Phase::Announcing);
        if !submitting && let Some(submission) = self.submission.take() {
            submission.abort();
        }
    }

    /// What an earlier process did it has counted itself.
    fn count(&mut self, input: &Input) {
        let cx = &self.cx;
        if *input == Input::Claimed && self.run.phase == Phase::Claiming && !cx.is_resumed {
            cx.metrics().claimed();
            self.claimed = Some(Instant::now());
        }
        if matches!(input, Input::Launched(_) | Input::Located(Some(_)))
            && let Some(claimed) = self.claimed.take()
        {
            let late = |due: Timestamp| Duration::try_from(Timestamp::now().duration_since(due)).ok();
            let after_due = cx.offer.flow_run.next_scheduled_start_time.and_then(late);
            cx.metrics().launched(claimed.elapsed(), after_due);
        }
    }

    /// Once the infrastructure exists, what it was made from is not needed any more: it holds secrets, and thousands of runs may
    /// execute at the same time.
    fn put_down_what_is_over(&mut self) {
        if self.plan.take().is_none() {
            return;
        }
        self.deployment = None;
        let flow_run = self.cx.facts(None).flow_run(self.run.key);
        let offer = Offer { flow_run, ..self.cx.offer.clone() };
        self.cx = Arc::new(RunContext { offer, ..(*self.cx).clone() });
    }

    async fn carry_out(&mut self, effect: Effect) {
        let cx = Arc::clone(&self.cx);
        match effect {
            Effect::Claim => self.begin(async move { claimed(&cx).await }),
            Effect::Recall => self.begin(async move { recalled(&cx).await }),
            Effect::Prepare => {
                self.label();
                let deployment = self.deployment.clone();
                self.begin_submission(async move { prepared(&cx, deployment.as_deref()).await });
            }
            Effect::Announce => {
                let report_state = self.run.report_state;
                let labelled = self.labelled.take();
                self.begin_submission(async move {
                    // One after the other: a server with one writer blocks itself on two changes of a run at once.
                    if let Some(labelled) = labelled {
                        drop(tokio::time::timeout(LABELS_FIRST, labelled).await);
                    }
                    Answer::Input(announce::announce(&cx, report_state).await)
                });
            }
            Effect::Persist => self.persist().await,
            Effect::PersistSoon => self.persist_soon(),
            Effect::Launch => self.launch(),
            Effect::Find => self.begin(async move { Answer::Input(launch::find(&cx).await) }),
            Effect::Reattach(handle) => {
                self.begin(async move { Answer::Input(launch::reattach(&cx, &handle).await) });
            }
            Effect::RecordInfra(handle) => {
                self.beside.push(async move { report::record_infra(&cx, &handle).await });
            }
            Effect::ReportRunning => {
                let started = self.started.clone();
                let report = async move {
                    if started.wait().await {
                        report::report_running(&cx).await;
                    }
                };
                self.beside.push(report);
            }
            Effect::Watch(handle) => {
                let (told, started) = (self.told.clone(), self.started.clone());
                self.begin(async move { Answer::Input(watch::watch(&cx, &handle, told.as_deref(), &started).await) });
            }
            Effect::Kill { handle, intent } => self.kill(handle, intent),
            Effect::Report(outcome) => self.report(outcome),
            Effect::Cleanup(handle) => self.begin(async move {
                if let Err(error) = cx.around.plugin.cleanup(&handle).await {
                    tracing::warn!("leftovers of the run were not removed: {}", for_people(&error));
                }
                Answer::Input(Input::CleanedUp)
            }),
            Effect::Leave => {
                self.ended = Ended::Left;
                self.started.end();
                self.cx.trace.left();
                tracing::info!("the run goes on without this worker");
            }
            Effect::Forget => self.forget().await,
        }
    }

    /// Labels the run while it is prepared: a flow finds its labels, and its start does not wait for them.
    fn label(&mut self) {
        let cx = Arc::clone(&self.cx);
        let (done, labelled) = oneshot::channel();
        self.labelled = Some(labelled);
        let label = async move {
            announce::label(&cx).await;
            drop(done);
        };
        self.at_leisure.push(label);
    }

    fn begin(&mut self, work: impl Future<Output = Answer> + Send + 'static) {
        self.under_way.push(work);
    }

    fn begin_submission(&mut self, work: impl Future<Output = Answer> + Send + 'static) {
        let (work, abort) = abortable(work);
        self.submission = Some(abort);
        self.begin(work.map(|answer| answer.unwrap_or(Answer::Nothing)));
    }

    fn launch(&mut self) {
        let (cx, plan, told) = (Arc::clone(&self.cx), self.plan.clone(), self.told.clone());
        self.begin(async move {
            match plan {
                Some(plan) => Answer::Input(launch::launch(&cx, &plan, told.as_deref()).await),
                // The machine launches only what was prepared.
                None => Answer::Input(Input::LaunchUnclear("its configuration is not known any more".to_owned())),
            }
        });
    }

    fn kill(&mut self, handle: Handle, intent: KillIntent) {
        let cx = Arc::clone(&self.cx);
        let why = self.run.stop.map_or("it was stopped", story::because);
        self.begin(async move {
            auditing::add(&cx, auditing::entry(&cx, Event::Kill).on(Some(&handle.infra_id)).because(why)).await;
            Answer::Input(stop::kill(&cx, &handle, intent).await)
        });
    }

    fn report(&mut self, outcome: Outcome) {
        let (cx, told) = (Arc::clone(&self.cx), self.told.clone());
        let handle = self.run.handle().cloned();
        match outcome {
            Outcome::Completed | Outcome::Failed(_) => self.started.note(),
            Outcome::Settled(_) | Outcome::Crashed(_) | Outcome::Cancelled(_) | Outcome::Released => self.started.end(),
        }
        let mut beside = std::mem::take(&mut self.beside);
        // Running has to arrive before Completed. The id of what has ended is worth little more than a moment.
        let reports_itself = self.run.report_state == ReportState::Worker;
        let entry = auditing::entry(&cx, Event::End).on(handle.as_ref().map(|handle| &handle.infra_id));
        let entry = entry.because(auditing::ended(&outcome));
        self.begin(async move {
            auditing::add(&cx, entry).await;
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
        if self.run.phase == Phase::Claiming {
            failpoint::reach("claim.before-persist");
        }
        let record = self.cx.record(&self.run, self.told.as_deref());
        let mut said = false;
        while let Err(error) = self.cx.around.journal.persist(&record).await {
            if !std::mem::replace(&mut said, true) {
                tracing::error!("the journal cannot be written, the run waits: {}", ErrorChain(&error));
                self.cx.note(format!("the worker's journal cannot be written, the run waits: {}", ErrorChain(&error)));
            }
            tokio::time::sleep(JOURNAL_AGAIN).await;
        }
        self.written();
    }

    fn persist_soon(&self) {
        self.cx.around.journal.persist_soon(&self.cx.record(&self.run, self.told.as_deref()));
        self.written();
    }

    fn written(&self) {
        if let Some(point) = story::failpoint_of_phase(&self.run.phase) {
            failpoint::reach(point);
        }
    }

    async fn forget(&mut self) {
        code::remove(&self.cx).await;
        self.cx.around.journal.forget(self.run.key);
        failpoint::reach("forgotten");
    }

    async fn finish_late_calls(&mut self) {
        let late = async {
            while self.beside.next().await.is_some() {}
            while self.at_leisure.next().await.is_some() {}
        };
        let limit = if self.ended == Ended::Left { LATE_CALLS } else { AFTER_THE_REPORT };
        if tokio::time::timeout(limit, late).await.is_err() {
            tracing::debug!("late calls were given up");
        }
    }
}

async fn claimed(cx: &RunContext) -> Answer {
    match claim::claim(cx).await {
        claim::Claim::Ours(deployment) => {
            auditing::add(cx, auditing::entry(cx, Event::Claim)).await;
            Answer::Claimed(deployment)
        }
        claim::Claim::NotOurs => Answer::Input(Input::Refused),
    }
}

async fn prepared(cx: &RunContext, deployment: Option<&Deployment>) -> Answer {
    match prepare::prepare(cx, deployment).await {
        Ok(prepared) => Answer::Prepared(Box::new(prepared)),
        Err(PrepareError::Refused(objection)) => {
            auditing::refused(cx, &objection).await;
            Answer::Input(Input::PolicyRefused(objection.for_people()))
        }
        Err(error) => Answer::Input(Input::SubmitFailed(error.for_people())),
    }
}

/// A run that an earlier process left unstarted. One that is not ours yet is claimed, under the transition that was written
/// down for it.
async fn recalled(cx: &RunContext) -> Answer {
    match recall(cx).await {
        Recalled::Ours(offer, deployment) => Answer::Recalled(offer, deployment),
        Recalled::NotClaimed(offer) => {
            let claiming = RunContext { offer: (*offer).clone(), ..cx.clone() };
            match claim::claim(&claiming).await {
                claim::Claim::Ours(deployment) => {
                    auditing::add(cx, auditing::entry(cx, Event::Claim)).await;
                    Answer::Recalled(offer, deployment)
                }
                claim::Claim::NotOurs => Answer::Input(Input::Refused),
            }
        }
        Recalled::NotOurs => Answer::Input(Input::Refused),
        Recalled::Cancelled => Answer::Input(Input::FoundCancelled),
        Recalled::Orphan(deployment) => {
            claim::cancel_orphan(cx, deployment).await;
            Answer::Input(Input::Refused)
        }
        Recalled::Lost(why) => Answer::Input(Input::SubmitFailed(why)),
    }
}
