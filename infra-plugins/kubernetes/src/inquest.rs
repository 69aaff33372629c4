//! Finding out from the API server itself how a Job ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use infra_contract::{OutputLine, masking, quote};
use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use worker_core::exit::{Exit, ExitReport};
use worker_core::texts::collect_texts;

use crate::cluster::{CallError, Cluster};
use crate::ends::Ends;
use crate::handle::JobRef;
use crate::judgement::{JobDigest, PodDigest, judge};
use crate::manifest::secrets::secret_name;
use crate::output::last_lines;

/// One inquest.
pub(crate) struct Inquest<'i> {
    pub(crate) cluster: &'i Cluster,
    pub(crate) job: &'i JobRef,
    pub(crate) ends: &'i Ends,
    pub(crate) last_lines: i64,
}

impl Inquest<'_> {
    /// How it ended by what the server has; `None` if it has not. `gone` are pods that were seen and are no more.
    pub(crate) async fn report(
        &self,
        gone: &[Arc<PodDigest>],
        was_stopped: bool,
    ) -> Result<Option<ExitReport>, CallError> {
        let job = self.cluster.job(&self.job.namespace, &self.job.name).await?;
        let job = job.filter(|job| job.metadata.uid.as_deref() == Some(&self.job.uid));
        let digest = job.as_ref().map(JobDigest::of);
        // Cheap proof that it goes on.
        if let Some(digest) = &digest
            && !digest.may_be_over()
        {
            return Ok(None);
        }
        let there = self.cluster.pods_of(&self.job.namespace, &self.job.name).await?;
        let there = there.iter().filter(|pod| belongs_to(pod, &self.job.uid));
        let mut pods: Vec<PodDigest> = there.map(PodDigest::of).collect();
        let unlisted = gone.iter().filter(|gone| !pods.iter().any(|pod| pod.uid == gone.uid));
        let unlisted: Vec<PodDigest> = unlisted.map(|pod| PodDigest::clone(pod)).collect();
        let is_listed: Vec<Box<str>> = pods.iter().map(|pod| pod.uid.clone()).collect();
        pods.splice(0..0, unlisted);
        let Some(mut report) = judge(digest.as_ref(), &pods, was_stopped, Timestamp::now()) else { return Ok(None) };
        if report.exit.is_success() || was_stopped {
            return Ok(Some(report));
        }
        // Kubernetes may have put the last words of a container into it.
        let secrets = self.secrets(job.as_ref()).await;
        if let (Some(detail), Some(secrets)) = (&mut report.detail, &secrets) {
            *detail = masking::without(detail, secrets.iter().map(String::as_str));
        }
        let failed = pods.iter().rev().find(|pod| is_listed.contains(&pod.uid) && pod.has_written());
        if let Some(pod) = failed {
            let output = self.output(pod, secrets.as_deref()).await;
            if !matches!(report.exit, Exit::Code(0)) {
                quote_output(&mut report, &output);
            }
            self.ends.note_output(self.job.marks.key, output);
        }
        Ok(Some(report))
    }

    /// What a pod wrote last, without the run's secrets; nothing if they cannot be known.
    async fn output(&self, pod: &PodDigest, secrets: Option<&[String]>) -> Vec<OutputLine> {
        let Some(secrets) = secrets else { return Vec::new() };
        let mut lines = last_lines(self.cluster, pod, self.last_lines).await;
        for line in &mut lines {
            line.text = masking::without(&line.text, secrets.iter().map(String::as_str));
        }
        lines
    }

    /// The values of the run's secrets; `None` if they are kept where they cannot be read.
    async fn secrets(&self, job: Option<&Job>) -> Option<Vec<String>> {
        let job = job?;
        let mut secrets = plain_secrets(job);
        if self.job.marks.has_secret {
            let name = secret_name(&self.job.marks.key);
            let kept = self.cluster.secret(&self.job.namespace, &name).await.ok()??;
            let values = kept.data.unwrap_or_default().into_values();
            secrets.extend(values.filter_map(|value| String::from_utf8(value.0).ok()));
        }
        let parts: Vec<String> = secrets.iter().flat_map(|secret| texts_within(secret)).collect();
        secrets.extend(parts);
        Some(secrets)
    }
}

/// Whether a pod is of this very Job: another of the same name may have been made since, and a deletion may have orphaned it.
pub(crate) fn belongs_to(pod: &Pod, job_uid: &str) -> bool {
    let mut owners = pod.metadata.owner_references.iter().flatten().filter(|owner| owner.kind == "Job").peekable();
    if owners.peek().is_some() {
        return owners.any(|owner| owner.uid == job_uid);
    }
    let labels = pod.metadata.labels.as_ref();
    let is_labelled = |label: &str| labels.and_then(|labels| labels.get(label)).is_some_and(|uid| uid == job_uid);
    is_labelled("controller-uid") || is_labelled("batch.kubernetes.io/controller-uid")
}

/// The texts of a secret that is JSON, such as headers: a run shows one of them rather than the whole.
fn texts_within(secret: &str) -> Vec<String> {
    let value: Value = serde_json::from_str(secret).unwrap_or_default();
    let mut texts = BTreeSet::new();
    collect_texts(&value, &mut texts);
    texts.into_iter().map(str::to_owned).collect()
}

/// Secrets that stand in the Job's own environment.
pub(crate) fn plain_secrets(job: &Job) -> Vec<String> {
    let pods = job.spec.iter().filter_map(|spec| spec.template.spec.as_ref());
    let containers = pods.flat_map(|pod| pod.init_containers.iter().flatten().chain(&pod.containers));
    let variables = containers.flat_map(|container| container.env.iter().flatten());
    let plain = variables.filter_map(|variable| Some((&variable.name, variable.value.as_ref()?)));
    plain.filter(|(name, value)| masking::is_secret(name, value)).map(|(_, value)| value.clone()).collect()
}

/// Adds what it wrote last to what is said of its end.
fn quote_output(report: &mut ExitReport, output: &[OutputLine]) {
    let text = output.iter().map(|line| line.text.as_str()).collect::<Vec<_>>().join("\n");
    let Some(quoted) = quote::of_output(&text) else { return };
    report.detail = Some(match report.detail.take() {
        Some(detail) => format!("{detail}\n{quoted}"),
        None => quoted,
    });
}
