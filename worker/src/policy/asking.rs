//! What a run asks for and what the policy says to it, for people who want to know beforehand.

use serde::{Deserialize, Serialize};
use worker_core::policy::{CodeStep, Judgement, Policy, Request, Requested, RequiredSignature, Signers, Subject};

/// What is judged: the same form on the way in and out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    pub(crate) kind: String,
    pub(crate) pool: String,
    #[serde(default)]
    pub(crate) deployment: Option<String>,
    #[serde(default)]
    pub(crate) infrastructure: Requested,
    #[serde(default)]
    pub(crate) code: Vec<CodeStep>,
}

/// What the rules say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Ruling {
    #[serde(flatten)]
    pub(crate) judgement: Judgement,
    /// By whom the code has to be signed. Whether it is, is found when it is pulled.
    pub(crate) signatures: Vec<RequiredSignature>,
}

impl Asked {
    /// In the order of a daemon: infrastructure, code.
    pub(crate) fn judged_by(&self, policy: &Policy) -> Ruling {
        let subject = Subject { kind: self.kind.clone(), pool: self.pool.clone(), deployment: self.deployment.clone() };
        let of_infrastructure = policy.judge(&subject, Request::Infrastructure(&self.infrastructure));
        let of_code = policy.judge(&subject, Request::Code(&self.code));
        let is_cloned = self.code.iter().any(|step| step.is_verifiable);
        Ruling {
            judgement: Judgement {
                refused: of_infrastructure.refused.or(of_code.refused),
                reported: of_infrastructure.reported.into_iter().chain(of_code.reported).collect(),
            },
            signatures: if is_cloned { policy.signatures(&subject) } else { Vec::new() },
        }
    }
}

impl Ruling {
    /// What there is to say besides whether the run is refused, a line each.
    pub(crate) fn remarks(&self) -> impl Iterator<Item = String> {
        let reported = self.judgement.reported.iter();
        let reported =
            reported.map(|objection| format!("reported by the rule `{}`: {}", objection.rule, objection.why));
        let signed = self.signatures.iter().map(|required| {
            let would = if required.only_reports { "would report" } else { "refuses" };
            let (rule, by) = (&required.rule, keys(&required.by));
            format!("the rule `{rule}` {would} it unless its commit, found when it is pulled, is signed by {by}")
        });
        reported.chain(signed)
    }

    /// All of it in one line.
    pub(crate) fn text(&self) -> String {
        let verdict = match &self.judgement.refused {
            None => "allowed".to_owned(),
            Some(objection) => format!("refused by the rule `{}`: {}", objection.rule, objection.why),
        };
        [verdict].into_iter().chain(self.remarks()).collect::<Vec<_>>().join("; ")
    }
}

/// Where the keys are.
fn keys(by: &Signers) -> String {
    let files: Vec<String> =
        [&by.ssh_allowed_signers, &by.gpg_keyring].into_iter().flatten().map(ToString::to_string).collect();
    format!("a key of {}", files.join(" or "))
}
