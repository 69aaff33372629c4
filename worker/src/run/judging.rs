//! Whether the worker's policy allows a run, before anything of it is fetched or started.

use central_api_wire::deployment::Deployment;
use central_api_wire::flow_run::Flow;
use worker_core::policy::{CodeStep, Objection, Request, Requested, RequiredSignature, Subject};

use super::context::RunContext;
use super::prepare::PrepareError;

/// Judges one run.
pub(super) struct Judge<'c> {
    cx: &'c RunContext,
    subject: Subject,
}

impl<'c> Judge<'c> {
    pub(super) fn new(cx: &'c RunContext, flow: &Flow, deployment: Option<&Deployment>) -> Self {
        let subject = Subject {
            kind: cx.around.plugin.kind().as_str().to_owned(),
            pool: cx.offer.pool.name.clone(),
            deployment: deployment.map(|deployment| format!("{}/{}", flow.name, deployment.name)),
        };
        Self { cx, subject }
    }

    /// Whether there is anything to judge by.
    pub(super) fn is_needed(&self) -> bool {
        self.cx.around.policy.is_there()
    }

    /// What is not final yet: nothing is said of rules that only report.
    pub(super) fn draft(&self, requested: &Requested) -> Result<(), PrepareError> {
        let judgement = self.cx.around.policy.judge(&self.subject, Request::Infrastructure(requested));
        judgement.refused.map_or(Ok(()), |objection| Err(PrepareError::Refused(objection)))
    }

    /// What is going to be started.
    pub(super) fn infrastructure(&self, requested: &Requested) -> Result<(), PrepareError> {
        self.judge(Request::Infrastructure(requested))
    }

    /// How the code is going to be brought.
    pub(super) fn code(&self, steps: &[CodeStep]) -> Result<(), PrepareError> {
        self.judge(Request::Code(steps))
    }

    /// By whom the code has to be signed: that is seen when it is there.
    pub(super) fn signatures(&self) -> Vec<RequiredSignature> {
        self.cx.around.policy.signatures(&self.subject)
    }

    /// Says what rules object to that only report.
    pub(super) fn report<'o>(&self, reported: impl IntoIterator<Item = &'o Objection>) {
        for Objection { rule, why, .. } in reported {
            self.cx.log().warn(format!(
                "The worker's policy would refuse this run by the rule `{rule}`, which only reports: {why}"
            ));
        }
    }

    fn judge(&self, request: Request<'_>) -> Result<(), PrepareError> {
        let judgement = self.cx.around.policy.judge(&self.subject, request);
        self.report(&judgement.reported);
        judgement.refused.map_or(Ok(()), |objection| Err(PrepareError::Refused(objection)))
    }
}
