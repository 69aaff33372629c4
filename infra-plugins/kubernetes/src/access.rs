//! Asking the cluster what the worker may do, and saying what it lacks.

use futures::TryStreamExt as _;
use futures::stream::FuturesOrdered;
use infra_contract::{Finding, Severity};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::{Api, PostParams};

use crate::rbac::{self, Rule};

/// Questions that are asked at a time.
const AT_A_TIME: usize = 8;

/// What the cluster said of one verb of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The rule.
    pub rule: Rule,
    /// One of its verbs.
    pub verb: &'static str,
    /// Whether the worker may.
    pub allowed: bool,
}

/// Asks the API server about each verb of each rule, in a namespace or (`None`) in all of them. The answers come in the order
/// of the rules.
///
/// # Errors
/// The first question that was not answered. Asking needs no rights beyond those of every account.
///
/// # Cancel safety
/// Cancel safe: nothing is changed.
pub async fn review(
    client: &kube::Client,
    namespace: Option<&str>,
    rules: &[Rule],
) -> Result<Vec<Answer>, kube::Error> {
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let mut asking = FuturesOrdered::new();
    let mut answers = Vec::new();
    for (rule, verb) in pairs(rules) {
        if asking.len() == AT_A_TIME {
            answers.extend(asking.try_next().await?);
        }
        asking.push_back(ask(api.clone(), rule, verb, namespace));
    }
    answers.extend(asking.try_collect::<Vec<_>>().await?);
    Ok(answers)
}

async fn ask(
    api: Api<SelfSubjectAccessReview>,
    rule: Rule,
    verb: &'static str,
    namespace: Option<&str>,
) -> Result<Answer, kube::Error> {
    let reviewed = api.create(&PostParams::default(), &question(&rule, verb, namespace)).await?;
    Ok(Answer { rule, verb, allowed: reviewed.status.is_some_and(|status| status.allowed) })
}

fn pairs(rules: &[Rule]) -> Vec<(Rule, &'static str)> {
    let mut pairs = Vec::new();
    for rule in rules {
        pairs.extend(rule.verbs.iter().map(|verb| (*rule, *verb)));
    }
    pairs
}

fn question(rule: &Rule, verb: &str, namespace: Option<&str>) -> SelfSubjectAccessReview {
    let (resource, subresource) = match rule.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (rule.resource, None),
    };
    SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some(rule.group.to_owned()),
                resource: Some(resource.to_owned()),
                subresource,
                verb: Some(verb.to_owned()),
                namespace: namespace.map(str::to_owned),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    }
}

/// What the answers mean: one finding for each rule that is not wholly granted, or one that all is well.
pub fn findings(namespace: Option<&str>, answers: &[Answer]) -> Vec<Finding> {
    let place = namespace.map_or_else(|| "in all namespaces".to_owned(), |name| format!("in namespace '{name}'"));
    let mut refused: Vec<(Rule, Vec<&'static str>)> = Vec::new();
    for answer in answers.iter().filter(|answer| !answer.allowed) {
        match refused.iter_mut().find(|(rule, _)| *rule == answer.rule) {
            Some((_, verbs)) => verbs.push(answer.verb),
            None => refused.push((answer.rule, vec![answer.verb])),
        }
    }
    if refused.is_empty() {
        let message = format!("the worker may do all that it needs {place}");
        return vec![Finding { severity: Severity::Ok, message, hint: None }];
    }
    refused.iter().map(|(rule, verbs)| missing(&place, namespace, rule, verbs)).collect()
}

fn missing(place: &str, namespace: Option<&str>, rule: &Rule, verbs: &[&str]) -> Finding {
    let kind = if namespace.is_some() { "Role" } else { "ClusterRole" };
    let printed = namespace.map_or_else(|| "--cluster-wide".to_owned(), |name| format!("--namespace {name}"));
    let entry = rbac::entry(rule, verbs, "");
    Finding {
        severity: rule.without,
        message: format!(
            "the worker may not {} {} {place}, which it needs to {}",
            verbs.join(", "),
            rule.resource,
            rule.why
        ),
        hint: Some(format!(
            "add to the rules of its {kind}, or apply what `worker kubernetes rbac {printed}` prints:\n{}",
            entry.trim_end()
        )),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn answers(refused: &[(&str, &str)]) -> Vec<Answer> {
        let rules = rbac::rules(true);
        let verbs = rules.iter().flat_map(|rule| rule.verbs.iter().map(move |&verb| (*rule, verb)));
        let may = |rule: &Rule, verb: &str| !refused.contains(&(rule.resource, verb));
        verbs.map(|(rule, verb)| Answer { rule, verb, allowed: may(&rule, verb) }).collect()
    }

    #[test]
    fn whoever_may_do_everything_has_nothing_to_do() {
        let found = findings(Some("flows"), &answers(&[]));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].severity, Severity::Ok);
        assert!(found[0].message.ends_with("in namespace 'flows'"), "{}", found[0].message);
    }

    #[test]
    fn what_is_missing_is_one_finding_for_each_resource_with_yaml_to_paste() {
        let found = findings(Some("flows"), &answers(&[("jobs", "create"), ("jobs", "delete"), ("pods/log", "get")]));
        assert_eq!(
            found.iter().map(|finding| finding.severity).collect::<Vec<_>>(),
            [Severity::Error, Severity::Warning]
        );
        assert_eq!(
            found[0].message,
            "the worker may not create, delete jobs in namespace 'flows', which it needs to start, follow, stop and remove runs"
        );
        assert_eq!(
            found[0].hint.as_deref().unwrap(),
            "add to the rules of its Role, or apply what `worker kubernetes rbac --namespace flows` prints:\n\
             - apiGroups: [\"batch\"]\n  resources: [\"jobs\"]\n  verbs: [\"create\", \"delete\"]"
        );
    }

    #[test]
    fn rights_in_the_whole_cluster_are_those_of_a_cluster_role() {
        let found = findings(None, &answers(&[("events", "watch")]));
        assert!(found[0].message.contains("in all namespaces"), "{}", found[0].message);
        assert!(
            found[0]
                .hint
                .as_deref()
                .unwrap()
                .contains("ClusterRole, or apply what `worker kubernetes rbac --cluster-wide`")
        );
    }

    #[test]
    fn a_subresource_is_asked_for_by_its_own_name() {
        let rules = rbac::rules(true);
        let logs = rules.iter().find(|rule| rule.resource == "pods/log").unwrap();
        let asked = question(logs, "get", Some("flows")).spec.resource_attributes.unwrap();
        assert_eq!((asked.resource.as_deref(), asked.subresource.as_deref()), (Some("pods"), Some("log")));
        assert_eq!((asked.group.as_deref(), asked.namespace.as_deref()), (Some(""), Some("flows")));
    }

    /// Answers reviews on a connection: everything may be done but deleting.
    async fn answer_reviews(mut connection: TcpStream) -> std::io::Result<()> {
        let mut read = Vec::new();
        loop {
            let asked = String::from_utf8_lossy(&read).into_owned();
            let body = asked.split_once("\r\n\r\n").map(|(head, body)| (head.to_ascii_lowercase(), body));
            let whole = body.filter(|(head, body)| {
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                length.and_then(|length| length.parse().ok()).is_some_and(|length: usize| body.len() >= length)
            });
            let Some((_, body)) = whole else {
                if connection.read_buf(&mut read).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            let mut review: serde_json::Value = serde_json::from_str(body)?;
            let may = review["spec"]["resourceAttributes"]["verb"] != "delete";
            review["status"] = serde_json::json!({ "allowed": may });
            let body = review.to_string();
            let head = format!(
                "HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            connection.write_all(format!("{head}{body}").as_bytes()).await?;
            read.clear();
        }
    }

    #[tokio::test]
    async fn each_verb_is_asked_for_and_the_answers_come_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(answer_reviews(connection));
            }
        });
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        let client = kube::Client::try_from(config).unwrap();
        let rules = rbac::rules(true);
        let answers = review(&client, Some("flows"), &rules).await.unwrap();
        server.abort();
        let expected: Vec<_> =
            rules.iter().flat_map(|rule| rule.verbs.iter().map(|verb| (rule.resource, *verb))).collect();
        assert_eq!(answers.iter().map(|answer| (answer.rule.resource, answer.verb)).collect::<Vec<_>>(), expected);
        assert!(answers.iter().all(|answer| answer.allowed == (answer.verb != "delete")), "{answers:?}");
        assert_eq!(findings(Some("flows"), &answers).len(), 3);
    }
}
