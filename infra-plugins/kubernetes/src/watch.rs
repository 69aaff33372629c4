//! Watching one Job until its end.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use infra_contract::{EventStream, InfraEvent};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use worker_core::exit::{Exit, ExitReport};

use crate::autoscaling::Inquiries;
use crate::cluster::Cluster;
use crate::ends::Ends;
use crate::handle::JobRef;
use crate::inquest::Inquest;
use crate::judgement::{Deadlines, JobDigest, PodDigest, judge, last_progress, overdue, phase, phase_of_job};
use crate::kill::Killing;
use crate::notes::Notes;
use crate::output::{Events, Followed, Output};
use crate::sight::{Sight, Tells};
use crate::watching::{Scope, View};

/// Watches tell of changes; a Job about which nothing is told is looked at so often.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// The server is asked again after this when it did not answer.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Whether a Job is overdue is asked again after this, and then after twice as long.
const ASK_OVERDUE_AGAIN: Duration = Duration::from_secs(5);
/// Deadlines are minded so often.
const MIND_DEADLINES: Duration = Duration::from_secs(2);
/// What was there before a watch is known after this time, or is not waited for.
const FIRST_LIST: Duration = Duration::from_secs(5);
/// Events that wait for their reader.
const EVENTS: usize = 64;
/// Output that is on its way when a pod ends comes within this time.
const LAST_OUTPUT: Duration = Duration::from_secs(20);

/// One watched Job.
pub(crate) struct Watcher {
    pub(crate) cluster: Cluster,
    pub(crate) scope: Arc<Scope>,
    pub(crate) job: JobRef,
    pub(crate) ends: Ends,
    pub(crate) followed: Followed,
    pub(crate) notes: Notes,
    pub(crate) inquiries: Inquiries,
    pub(crate) tells: Tells,
    /// Version of the client that this worker passes for.
    pub(crate) version: String,
    /// So many last lines are kept of what failed before it could log.
    pub(crate) last_lines: i64,
}

/// The pod whose log is followed.
struct Following {
    pod: Box<str>,
    /// Told when the run is over.
    over: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Watcher {
    /// What happens to it, until its end.
    pub(crate) fn events(self) -> EventStream {
        let (events, received) = mpsc::channel(EVENTS);
        let task = AbortOnDropHandle::new(tokio::spawn(self.run(events)));
        // The task ends with the stream.
        ReceiverStream::new(received).map(move |event| (event, &task).0).boxed()
    }

    async fn run(self, events: Events) {
        if let Some(report) = self.ends.report(&self.job.marks.key) {
            return send(&events, InfraEvent::Exited(report)).await;
        }
        let mut changes = self.scope.store.subscribe(self.job.key());
        // The pods of a Job that ended while nobody watched have events, too.
        self.scope.synced(FIRST_LIST).await;
        let output = Arc::new(self.output(events.clone()));
        let mut sight = Sight::new(self.version.clone());
        let mut following: Option<Following> = None;
        // A Job that was made a moment ago is on its way to the watch: to ask for each would be a call for every run.
        let mut look_at = Instant::now() + ASK_AGAIN;
        let (mut ask_overdue_at, mut ask_overdue_pause) = (Instant::now(), ASK_OVERDUE_AGAIN);
        loop {
            let mut view = changes.view();
            let ask_at = self.inquire(&mut view).await;
            for event in sight.news(&view, self.tells) {
                send(&events, event).await;
            }
            Self::follow(&output, &view, &mut following);
            let must_look = Instant::now() >= look_at;
            // What happens once or seldom is in boxes: all of it together would be most of what a live run weighs.
            match Box::pin(self.ended(&view, must_look)).await {
                Ok(Some(report)) => {
                    Box::pin(Self::finish_output(&output, &view, following.take())).await;
                    self.ends.note(self.job.marks.key, &report);
                    for event in sight.news(&changes.view(), self.tells) {
                        send(&events, event).await;
                    }
                    return send(&events, InfraEvent::Exited(report)).await;
                }
                Ok(None) if must_look => look_at = Instant::now() + LOOK_AGAIN,
                Ok(None) if view.job.is_none() => look_at = look_at.min(Instant::now() + ASK_AGAIN),
                Ok(None) => {}
                Err(why) => {
                    tracing::debug!(job = self.job.name, "it cannot be told whether it has ended: {why}");
                    look_at = Instant::now() + ASK_AGAIN;
                }
            }
            if Instant::now() >= ask_overdue_at && self.overdue(&view).is_some() {
                if let Some(why) = Box::pin(self.overdue_by_server(&view)).await {
                    Box::pin(self.give_up(why)).await;
                    look_at = Instant::now();
                    continue;
                }
                // The server knows better than the watch, or does not answer.
                ask_overdue_at = Instant::now() + ask_overdue_pause;
                ask_overdue_pause = (ask_overdue_pause * 2).min(LOOK_AGAIN);
            }
            let mind_at = self.has_deadline(&view).then(|| Instant::now() + MIND_DEADLINES);
            let next = mind_at.into_iter().chain(ask_at).fold(look_at, Instant::min);
            tokio::select! {
                () = changes.changed() => {}
                () = sleep_until(next) => {}
            }
        }
    }

    /// Adds what only other objects say, and tells when to ask for it again.
    async fn inquire(&self, view: &mut View) -> Option<Instant> {
        Box::pin(self.inquiries.add_to(&self.cluster, view, self.job.marks.start_deadline.is_some())).await
    }

    fn output(&self, events: Events) -> Output {
        Output {
            cluster: self.cluster.clone(),
            marks: self.job.marks,
            events,
            followed: self.followed.clone(),
            notes: self.notes.clone(),
        }
    }

    /// Follows the log of the newest pod that has started.
    fn follow(output: &Arc<Output>, view: &View, following: &mut Option<Following>) {
        if !output.is_wanted() {
            return;
        }
        let newest = view.pods.iter().filter(|pod| pod.has_started()).max_by_key(|pod| pod.created);
        let Some(pod) = newest.filter(|pod| following.as_ref().is_none_or(|following| following.pod != pod.uid)) else {
            return;
        };
        let (output, followed) = (Arc::clone(output), Arc::clone(pod));
        let over = CancellationToken::new();
        let told = over.clone();
        let task = async move { output.follow(followed, told).await };
        *following = Some(Following { pod: pod.uid.clone(), over, task: AbortOnDropHandle::new(tokio::spawn(task)) });
    }

    /// Waits for what is on its way; a log that was not followed is read.
    async fn finish_output(output: &Output, view: &View, following: Option<Following>) {
        if !output.is_wanted() {
            return;
        }
        if let Some(following) = following {
            following.over.cancel();
            if tokio::time::timeout(LAST_OUTPUT, following.task).await.is_ok() {
                return;
            }
        }
        if let Some(pod) = view.pods.iter().filter(|pod| pod.has_started()).max_by_key(|pod| pod.created) {
            output.finish(pod).await;
        }
    }

    /// How it ended, if it did. What the watch says of a failure is asked of the server itself before it counts.
    async fn ended(&self, view: &View, must_look: bool) -> Result<Option<ExitReport>, crate::cluster::CallError> {
        let was_stopped = self.ends.was_stopped(&self.job.marks.key);
        if let Some(report) = self.ends.report(&self.job.marks.key) {
            return Ok(Some(report));
        }
        let ours = |job: &&Arc<JobDigest>| *job.uid == *self.job.uid;
        let seen = match view.job.as_ref().filter(ours) {
            Some(job) => judge(Some(job), &view.all_pods(), was_stopped, Timestamp::now()),
            // It may be younger than the watch.
            None if view.job_before.is_none() && !must_look => return Ok(None),
            // The watch of pods is behind that of Jobs, and has yet to tell how they ended.
            None if !must_look && view.pods.iter().any(|pod| !pod.phase.is_terminal()) => return Ok(None),
            None => Some(ExitReport::bare(Exit::Vanished)),
        };
        match seen {
            Some(report) if report.exit.is_success() => Ok(Some(report)),
            None if !must_look || self.scope.is_synced() && view.job.is_some() => Ok(None),
            Some(_) | None => {
                let over = view.pods.iter().filter(|pod| pod.phase.is_terminal());
                let known: Vec<_> = view.gone.iter().chain(over).cloned().collect();
                self.inquest().report(&known, was_stopped).await
            }
        }
    }

    fn inquest(&self) -> Inquest<'_> {
        Inquest { cluster: &self.cluster, job: &self.job, ends: &self.ends, last_lines: self.last_lines }
    }

    /// Whether time alone may end it.
    fn has_deadline(&self, view: &View) -> bool {
        let marks = &self.job.marks;
        let may_be_late = marks.image_pull_deadline.is_some() || marks.start_deadline.is_some();
        marks.job_timeout.is_some() || may_be_late && !view.pods.iter().any(|pod| pod.has_started())
    }

    /// Why it is given up, if it is time for that.
    fn overdue(&self, view: &View) -> Option<Overdue> {
        let job = view.job.as_ref()?;
        let marks = &self.job.marks;
        if self.ends.was_stopped(&marks.key) || job.may_be_over() {
            return None;
        }
        let now = Timestamp::now();
        if let (Some(limit), Some(since)) = (marks.job_timeout, job.started.or(job.created))
            && !job.is_suspended
        {
            let taken = Duration::try_from(now.duration_since(since.timestamp())).unwrap_or_default();
            if taken >= limit {
                return Some(Overdue::Job(limit));
            }
        }
        let deadlines = Deadlines { image_pull: marks.image_pull_deadline, start: marks.start_deadline };
        // Failed ones have their successors, and one that is being deleted will have.
        let pod = view.pods.iter().filter(|pod| pod.may_run()).max_by_key(|pod| pod.created);
        let waits_for = match pod {
            Some(pod) => phase(pod, &view.events),
            None if !view.gone.is_empty() || !view.pods.is_empty() => return None,
            None => phase_of_job(job, &view.events),
        };
        let progress = last_progress(pod.map(Arc::as_ref), Some(job), &view.events)?;
        overdue(&waits_for, progress, deadlines, now).map(Overdue::Start)
    }

    /// The same by what the server itself has: a watch may have missed that it got on.
    async fn overdue_by_server(&self, view: &View) -> Option<Overdue> {
        let (namespace, name) = (&self.job.namespace, &self.job.name);
        let asked = async {
            let job = self.cluster.job(namespace, name).await?;
            Ok::<_, crate::cluster::CallError>((job, self.cluster.pods_of(namespace, name).await?))
        };
        let (job, pods) = match asked.await {
            Ok(now) => now,
            Err(error) => {
                tracing::debug!(job = self.job.name, "it is not given up while nothing can be asked: {error}");
                return None;
            }
        };
        let job = job.filter(|job| job.metadata.uid.as_deref() == Some(&self.job.uid));
        let now = View {
            job: job.as_ref().map(|job| Arc::new(JobDigest::of(job))),
            pods: pods.iter().map(|pod| Arc::new(PodDigest::of(pod))).collect(),
            ..view.clone()
        };
        self.overdue(&now)
    }

    async fn give_up(&self, overdue: Overdue) {
        let (exit, detail) = match overdue {
            Overdue::Job(limit) => (
                Exit::Code(-1),
                format!(
                    "it was ended because it took longer than its job_watch_timeout_seconds of {}",
                    limit.as_secs()
                ),
            ),
            Overdue::Start(why) => (Exit::NeverStarted, why),
        };
        tracing::warn!(job = self.job.name, "it is given up: {detail}");
        self.ends.note(self.job.marks.key, &ExitReport { exit, concluded: None, detail: Some(detail) });
        let killing = Killing { cluster: &self.cluster, job: &self.job, scope: &self.scope, ends: &self.ends };
        for tried in 1..=GIVE_UP_TRIES {
            match killing.run(GIVEN_UP_GRACE, false).await {
                Ok(_) => return,
                Err(error) if tried == GIVE_UP_TRIES => {
                    tracing::error!(
                        job = self.job.name,
                        "what is given up goes on, and has to be ended by hand: {error}"
                    );
                }
                Err(error) => tracing::warn!(job = self.job.name, "what is given up is not ended yet: {error}"),
            }
            tokio::time::sleep(ASK_AGAIN * tried).await;
        }
    }
}

/// What cannot be ended is reported all the same after so many tries, of which each has its own time.
const GIVE_UP_TRIES: u32 = 8;
/// What is given up has so long to end by itself.
const GIVEN_UP_GRACE: Duration = Duration::from_secs(30);

/// Why a Job is given up.
#[derive(Clone, Debug)]
enum Overdue {
    Job(Duration),
    Start(String),
}

async fn send(events: &Events, event: InfraEvent) {
    // Without a reader the task is about to be aborted.
    drop(events.send(Ok(event)).await);
}
