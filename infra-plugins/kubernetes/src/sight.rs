//! What is new about a Job and its pods, for those who follow it. Pure.

use std::collections::HashMap;

use infra_contract::InfraEvent;

use crate::judgement::{Diagnosis, PodPhase, PodTold, diagnose, diagnose_job};
use crate::watching::View;

/// The words of Prefect's observer for a pod that waits.
pub(crate) const PENDING: &str = "Kubernetes pod is pending.";

/// What the world is told besides what goes into the run's log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tells {
    /// That pods wait, by the state of their run.
    pub(crate) states: bool,
    /// What happens to pods, by events.
    pub(crate) events: bool,
}

/// What has been told of one Job.
#[derive(Debug)]
pub(crate) struct Sight {
    is_started: bool,
    is_waiting: bool,
    pods: HashMap<Box<str>, PodTold>,
    /// By pod; the empty key is the Job's own.
    diagnoses: HashMap<Box<str>, Diagnosis>,
    /// Version of the client that this worker passes for.
    version: String,
}

impl Sight {
    pub(crate) fn new(version: impl Into<String>) -> Self {
        let (pods, diagnoses) = (HashMap::new(), HashMap::new());
        Self { is_started: false, is_waiting: false, pods, diagnoses, version: version.into() }
    }

    /// What is new.
    pub(crate) fn news(&mut self, view: &View, tells: Tells) -> Vec<InfraEvent> {
        let mut news = Vec::new();
        let is_started = view.pods.iter().any(|pod| pod.has_started());
        let waits = !is_started && view.pods.iter().any(|pod| pod.phase == PodPhase::Pending);
        if waits && tells.states && !std::mem::replace(&mut self.is_waiting, true) {
            news.push(InfraEvent::Waiting(PENDING.to_owned()));
        }
        for pod in view.gone.iter().chain(&view.pods) {
            let diagnosis = diagnose(pod, &view.events);
            if tells.events {
                let told = self.pods.entry(pod.uid.clone()).or_default();
                news.extend(told.news(pod, diagnosis.as_ref(), &self.version).map(Box::new).map(InfraEvent::Occurred));
            }
            news.extend(self.diagnosed(&pod.uid, diagnosis));
        }
        if let Some(job) = &view.job {
            news.extend(self.diagnosed("", diagnose_job(job, &view.events)));
        }
        if is_started && !std::mem::replace(&mut self.is_started, true) {
            news.push(InfraEvent::Started);
        }
        news
    }

    /// Told once for each cause.
    fn diagnosed(&mut self, of: &str, diagnosis: Option<Diagnosis>) -> Option<InfraEvent> {
        let diagnosis = diagnosis?;
        if !Diagnosis::is_news(self.diagnoses.get(of), &diagnosis) {
            return None;
        }
        let event = InfraEvent::Diagnosis { severity: diagnosis.severity, text: diagnosis.text.clone() };
        self.diagnoses.insert(of.into(), diagnosis);
        Some(event)
    }
}
