//! What the operator of a worker allows runs to be.
//!
//! A policy is a list of named rules. A rule is about some runs (all, if it does not say which) and restricts what they may
//! have. A run has to satisfy every rule that is about it: the order of rules decides nothing but which one is named first.
//! What no rule restricts is allowed.
//!
//! [`Policy::judge`] is a function of the policy and of what is asked for. What is asked for comes from the plugin
//! ([`Requested`]) and from the pull steps of the deployment ([`CodeStep`]).

mod image;
mod pattern;
mod requested;
mod rule;
mod signatures;
#[cfg(test)]
mod tests;
mod topic;

pub use pattern::{Pattern, is_of_form};
pub use requested::{CodeSource, CodeStep, Requested};
pub use rule::{Bounds, List, Rule, Scope};
pub use signatures::{RequiredSignature, Signers};
pub use topic::Topic;

use serde::Serialize;

/// The rules in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// In the order of the file. Their names differ.
    pub rules: Vec<Rule>,
}

/// Whose run is judged: what the scope of a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// The kind of infrastructure.
    pub kind: String,
    /// The work pool.
    pub pool: String,
    /// `FLOW/DEPLOYMENT`; absent for a run without a deployment.
    pub deployment: Option<String>,
}

/// What is judged.
#[derive(Clone, Copy, Debug)]
pub enum Request<'r> {
    /// What would be started.
    Infrastructure(&'r Requested),
    /// How its code is brought.
    Code(&'r [CodeStep]),
}

/// A restriction of a rule that a run does not satisfy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Objection {
    /// The rule's name.
    pub rule: String,
    /// What is not allowed, for people.
    pub why: String,
    /// What the operator tells people whose run is refused.
    pub help: Option<String>,
}

/// What a policy says about a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Judgement {
    /// Why the run is refused, if it is: the first rule in the order of the file.
    pub refused: Option<Objection>,
    /// What rules object to that only report.
    pub reported: Vec<Objection>,
}

impl Policy {
    /// Compares what is asked for with every rule.
    pub fn judge(&self, subject: &Subject, request: Request<'_>) -> Judgement {
        let mut judgement = Judgement::default();
        for rule in self.rules.iter().filter(|rule| rule.scope.covers(subject)) {
            let Some(why) = rule.objects_to(request) else { continue };
            let objection = Objection { rule: rule.name.clone(), why, help: rule.help.clone() };
            if rule.only_reports {
                judgement.reported.push(objection);
            } else if judgement.refused.is_none() {
                judgement.refused = Some(objection);
            }
        }
        judgement
    }

    /// By whom the code of a run has to be signed. Whoever brings the code verifies it: no signature is known before.
    pub fn signatures(&self, subject: &Subject) -> Vec<RequiredSignature> {
        let covering = self.rules.iter().filter(|rule| rule.scope.covers(subject));
        covering.filter_map(RequiredSignature::of).collect()
    }
}

impl Objection {
    /// The text for the run's state: for the author of its flow.
    pub fn for_people(&self) -> String {
        let help = self.help.as_deref().unwrap_or(
            "Change the deployment or its job variables, or ask the operator of the worker to change the rule in its policy \
             file",
        );
        format!("the worker's policy refuses it by the rule `{}`: {}. {help}", self.rule, self.why)
    }
}
