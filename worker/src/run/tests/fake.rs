//! The one hand-written fake of the control plane, and a stage to play a run on.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use camino::Utf8PathBuf;
use central_api_client::{ApiError, CallKind, TransportError, Verdict};
use central_api_wire::block::{BlockDocument, Variable};
use central_api_wire::deployment::Deployment;
use central_api_wire::event::Event;
use central_api_wire::flow_run::{Flow, FlowRun, LabelsUpdate};
use central_api_wire::log::LogLine;
use central_api_wire::state::{SetStateRequest, State};
use central_api_wire::work_pool::WorkPool;
use infra_contract::{CancelsRunning, Capabilities, InfraPlugin};
use infra_scripted::{Backend, ScriptedPlugin};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use uuid::Uuid;
use worker_core::handle::PluginKind;
use worker_core::ids::{BlockDocumentId, DeploymentId, FlowId, InfraId, LaunchKey, RunId, TransitionId};
use worker_core::machine::{Input, Outcome, Phase, Run};
use worker_core::policy::{Policy, Rule};
use worker_core::rerun::{RerunCause, RerunPolicy};

use crate::audit::AuditLog;
use crate::console::OutputSink;
use crate::control_plane::{ControlPlane, Look};
use crate::journal::{Journal, JournalError, Record};
use crate::live_runs::{Glance, Mailbox, inbox};
use crate::policy::PolicyInForce;
use crate::run::{Actor, Ended, Offer, RunContext, RunSettings, SharedResources, Surroundings, WorkerIdentity};
use crate::timeline::Timelines;

const RUN: Uuid = Uuid::from_u128(1);
const DEPLOYMENT: Uuid = Uuid::from_u128(2);
const FLOW: Uuid = Uuid::from_u128(3);

/// Remembers what it was told, and accepts every proposal unless told otherwise.
#[derive(Debug, Default)]
pub(super) struct Fake {
    told: Mutex<Told>,
    recorded: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Told {
    proposals: Vec<SetStateRequest>,
    answers: HashMap<String, VecDeque<Result<Verdict, ApiError>>>,
    history: Vec<State>,
    away_until: Option<Instant>,
    infra_ids: Vec<InfraId>,
    labels: Vec<String>,
    lines: Vec<String>,
    events: Vec<Event>,
    current: Option<State>,
    deployment_deleted: bool,
}

impl Fake {
    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    pub(super) fn will_answer(&self, name: &str, verdict: Verdict) {
        self.script(name, Ok(verdict));
    }

    /// The proposal arrives, and its answer is this.
    pub(super) fn will_fail(&self, name: &str, error: ApiError) {
        self.script(name, Err(error));
    }

    fn script(&self, name: &str, answer: Result<Verdict, ApiError>) {
        self.told().answers.entry(name.to_owned()).or_default().push_back(answer);
    }

    /// The states that the run has had, oldest first.
    pub(super) fn set_history(&self, history: Vec<State>) {
        self.told().history = history;
    }

    /// Nothing that is said of runs arrives, or is answered.
    pub(super) fn is_away_for(&self, time: Duration) {
        self.told().away_until = Some(Instant::now() + time);
    }

    fn reached(&self) -> Result<std::sync::MutexGuard<'_, Told>, ApiError> {
        let told = self.told();
        let is_away = told.away_until.is_some_and(|until| Instant::now() < until);
        if is_away { Err(unanswered(TransportError::Connect)) } else { Ok(told) }
    }

    pub(super) fn set_state_now(&self, state: State) {
        self.told().current = Some(state);
    }

    pub(super) fn delete_deployment(&self) {
        self.told().deployment_deleted = true;
    }

    pub(super) fn proposals(&self) -> Vec<SetStateRequest> {
        self.told().proposals.clone()
    }

    pub(super) fn infra_ids(&self) -> Vec<InfraId> {
        self.told().infra_ids.clone()
    }

    pub(super) fn labels(&self) -> Vec<String> {
        self.told().labels.clone()
    }

    pub(super) fn log(&self) -> Vec<String> {
        self.told().lines.clone()
    }

    pub(super) fn events(&self) -> Vec<Event> {
        self.told().events.clone()
    }

    pub(super) async fn infra_is_recorded(&self) {
        self.recorded.subscribe().wait_for(|count| *count > 0).await.unwrap();
    }
}

#[async_trait]
impl ControlPlane for Fake {
    async fn deployment(&self, id: DeploymentId, _: Instant) -> Result<Option<Arc<Deployment>>, ApiError> {
        let deployment = json!({"id": id, "name": "d", "flow_id": FLOW, "tags": ["b"]});
        Ok((!self.told().deployment_deleted).then(|| Arc::new(serde_json::from_value(deployment).unwrap())))
    }

    async fn flow(&self, id: FlowId, _: Instant) -> Result<Arc<Flow>, ApiError> {
        Ok(Arc::new(serde_json::from_value(json!({"id": id, "name": "f"})).unwrap()))
    }

    async fn flow_run(&self, id: RunId) -> Result<Option<FlowRun>, ApiError> {
        let current = self.reached()?.current.clone();
        let state_type = current.as_ref().map(|state| state.state_type.clone());
        let run = json!({"id": id, "flow_id": FLOW, "state": current, "state_type": state_type});
        Ok(Some(serde_json::from_value(run).unwrap()))
    }

    async fn states(&self, _: RunId) -> Result<Vec<State>, ApiError> {
        Ok(self.reached()?.history.clone())
    }

    async fn work_pool(&self, name: &str) -> Result<Option<WorkPool>, ApiError> {
        let pool = json!({"id": Uuid::from_u128(4), "name": name, "type": "scripted"});
        Ok(Some(serde_json::from_value(pool).unwrap()))
    }

    async fn block_by_id(&self, _: BlockDocumentId, _: Instant) -> Result<Option<BlockDocument>, ApiError> {
        Ok(None)
    }

    async fn block_by_name(&self, _: &str, _: &str, _: Instant) -> Result<Option<BlockDocument>, ApiError> {
        Ok(None)
    }

    async fn variable(&self, _: &str, _: Instant) -> Result<Option<Variable>, ApiError> {
        Ok(None)
    }

    async fn look(&self, _: RunId) -> Option<Look> {
        let current = self.reached().ok()?.current.clone()?;
        Some(Look { state_type: Some(current.state_type), asked: Instant::now() })
    }

    async fn claim(&self, run: RunId, request: &SetStateRequest) -> Result<Verdict, ApiError> {
        self.propose(run, request, CallKind::Claim).await
    }

    async fn propose(&self, _: RunId, request: &SetStateRequest, _: CallKind) -> Result<Verdict, ApiError> {
        let mut told = self.reached()?;
        told.proposals.push(request.clone());
        let name = request.state.name.clone().unwrap_or_default();
        let scripted = told.answers.get_mut(&name).and_then(VecDeque::pop_front);
        scripted.unwrap_or(Ok(Verdict::Accept(None)))
    }

    async fn set_infra_id(&self, _: RunId, id: &InfraId) -> Result<(), ApiError> {
        self.reached()?.infra_ids.push(id.clone());
        self.recorded.send_modify(|count| *count += 1);
        Ok(())
    }

    async fn set_labels(&self, _: RunId, labels: &LabelsUpdate) -> Result<(), ApiError> {
        self.reached()?.labels.extend(labels.keys().cloned());
        Ok(())
    }

    fn log(&self, line: LogLine) {
        self.told().lines.push(line.message);
    }

    async fn flush_logs(&self, _: RunId) {}

    fn emit(&self, event: Event) {
        self.told().events.push(event);
    }
}

/// Records in memory.
#[derive(Debug, Default)]
pub(super) struct MemoryJournal(Mutex<HashMap<LaunchKey, Record>>);

impl MemoryJournal {
    pub(super) fn records(&self) -> Vec<Record> {
        self.0.lock().unwrap().values().cloned().collect()
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn persist(&self, record: &Record) -> Result<(), JournalError> {
        self.persist_soon(record);
        Ok(())
    }

    fn persist_soon(&self, record: &Record) {
        self.0.lock().unwrap().insert(record.run.key, record.clone());
    }

    fn forget(&self, key: LaunchKey) {
        self.0.lock().unwrap().remove(&key);
    }
}

/// One run with its surroundings.
pub(super) struct Stage {
    pub(super) fake: Arc<Fake>,
    journal: Arc<MemoryJournal>,
    plugin: Arc<dyn InfraPlugin>,
    job_variables: Value,
    policy: PolicyInForce,
    audit: AuditLog,
    rerun: Arc<RerunPolicy>,
    inbox: Mutex<Option<Mailbox>>,
}

pub(super) struct Playing(JoinHandle<Ended>);

impl Playing {
    pub(super) async fn end(self, bound: Duration) -> Ended {
        tokio::time::timeout(bound, self.0).await.expect("the actor ends").expect("the actor does not panic")
    }
}

impl Stage {
    pub(super) fn new(job_variables: Value) -> Self {
        Self {
            fake: Arc::default(),
            journal: Arc::default(),
            plugin: Arc::new(ScriptedPlugin::new(Backend::default())),
            job_variables,
            policy: PolicyInForce::default(),
            audit: AuditLog::default(),
            rerun: Arc::default(),
            inbox: Mutex::default(),
        }
    }

    /// The same, where the pool executes a run once more that could not be submitted.
    pub(super) fn with_reruns(self) -> Self {
        let rerun = RerunPolicy { on: [RerunCause::SubmitFailed].into(), most: 3 };
        Self { rerun: Arc::new(rerun), ..self }
    }

    /// The same with an audit log.
    pub(super) fn with_audit(self, audit: AuditLog) -> Self {
        Self { audit, ..self }
    }

    /// The same with rules.
    pub(super) fn with_rules(self, rules: Vec<Rule>) -> Self {
        Self { policy: PolicyInForce::of(Policy { rules }), ..self }
    }

    pub(super) async fn play(&self, bound: Duration) -> Ended {
        self.start().end(bound).await
    }

    pub(super) fn start(&self) -> Playing {
        let (mailbox, receiver) = inbox();
        *self.inbox.lock().unwrap() = Some(mailbox);
        Playing(tokio::spawn(Actor::new(self.context(), receiver).live()))
    }

    pub(super) fn tell(&self, input: Input) {
        let inbox = self.inbox.lock().unwrap().clone().expect("the run was started");
        assert!(inbox.put(input), "the actor takes what it is told");
    }

    pub(super) fn records(&self) -> Vec<Record> {
        self.journal.records()
    }

    /// An earlier process died with the end of the run written down and not reported, as far as it knew.
    pub(super) fn was_left_reporting(&self, outcome: Outcome) {
        let run = Run { phase: Phase::Reporting(outcome, None), ..Run::offered(key()) };
        self.journal.persist_soon(&self.context().record(&run, None));
    }

    /// A later process goes on with what is written down.
    pub(super) fn resume(&self) -> Playing {
        let record = self.records().pop().expect("something is written down");
        let (mailbox, receiver) = inbox();
        *self.inbox.lock().unwrap() = Some(mailbox);
        let offer = Offer { flow_run: record.facts.flow_run(record.run.key), ..self.offer() };
        let cx = self.surroundings().resumed(offer, glance(), None, true);
        Playing(tokio::spawn(Actor::resume(cx, record.run, record.facts.told, receiver).live()))
    }

    fn context(&self) -> RunContext {
        self.surroundings().context(self.offer(), glance())
    }

    fn offer(&self) -> Offer {
        let pool: WorkPool = serde_json::from_value(json!({
            "id": Uuid::from_u128(4), "name": "p", "type": "scripted",
            "base_job_template": self.plugin.base_job_template().as_json(),
        }))
        .unwrap();
        let flow_run: FlowRun = serde_json::from_value(json!({
            "id": RUN, "name": "r", "flow_id": FLOW, "deployment_id": DEPLOYMENT, "tags": ["a"],
            "job_variables": self.job_variables,
        }))
        .unwrap();
        let shown = Instant::now();
        Offer { key: key(), flow_run, pool: Arc::new(pool), refused_before: false, shown }
    }

    fn surroundings(&self) -> Arc<Surroundings> {
        Arc::new(Surroundings {
            identity: Arc::new(WorkerIdentity {
                name: "w".to_owned(),
                kind: PluginKind::new("scripted"),
                id: OnceLock::new(),
            }),
            api: Arc::<Fake>::clone(&self.fake),
            plugin: Arc::clone(&self.plugin),
            journal: Arc::<MemoryJournal>::clone(&self.journal),
            output: OutputSink::start().unwrap(),
            settings: Arc::new(RunSettings {
                base_environment: std::collections::BTreeMap::new(),
                worker_environment: std::collections::BTreeMap::new(),
                kill_grace: Duration::from_secs(30),
                shutdown_grace: Duration::from_secs(10),
                code_directory: Utf8PathBuf::from("/nonexistent"),
                pulling: code_storage::PullOptions::default(),
            }),
            timelines: Timelines::default(),
            audit: self.audit.clone(),
            policy: self.policy.clone(),
            metrics: crate::metrics::Metrics::default(),
            secrets: crate::redaction::KnownSecrets::default(),
            rerun: Arc::clone(&self.rerun),
            traces: crate::traces::Traces::default(),
            sandbox: Arc::default(),
            shared_resources: SharedResources::default(),
        })
    }
}

/// An error of a call that was not answered.
pub(super) fn unanswered(how: fn(Box<dyn Error + Send + Sync>) -> TransportError) -> ApiError {
    ApiError::Unreachable(how("no answer".into()))
}

pub(super) fn key() -> LaunchKey {
    LaunchKey { run: RunId(RUN), claim: TransitionId(Uuid::from_u128(9)) }
}

fn glance() -> Glance {
    {
        let capabilities = Capabilities {
            cancels_running: CancelsRunning::Worker,
            handles_cleanup_messages: true,
            outlives_worker: false,
            puts_runs_back: false,
        };
        Glance::new(key(), "r", "p", PluginKind::new("process"), capabilities, false)
    }
}
