//! What the worker has to be allowed in a cluster: the one list that manifests, diagnosis and documentation come from.

use std::fmt::Write as _;

use infra_contract::Severity;

/// A right to do something with a kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// API group; empty is the core one.
    pub group: &'static str,
    /// Resource, with its subresource as in `pods/log`.
    pub resource: &'static str,
    /// What is done with it.
    pub verbs: &'static [&'static str],
    /// What for: completes `the worker needs it to`.
    pub why: &'static str,
    /// How bad it is to be without.
    pub without: Severity,
}

/// Verbs that change nothing.
const READING: [&str; 3] = ["get", "list", "watch"];

const JOBS: Rule = Rule {
    group: "batch",
    resource: "jobs",
    verbs: &["create", "get", "list", "watch", "delete"],
    why: "start, follow, stop and remove runs",
    without: Severity::Error,
};
const PODS: Rule = Rule {
    group: "",
    resource: "pods",
    verbs: &["list", "watch", "delete"],
    why: "follow runs, and to end those that do not stop by themselves",
    without: Severity::Error,
};
const POD_LOGS: Rule = Rule {
    group: "",
    resource: "pods/log",
    verbs: &["get"],
    why: "show the output of runs",
    without: Severity::Warning,
};
const EVENTS: Rule = Rule {
    group: "",
    resource: "events",
    verbs: &["list", "watch"],
    why: "say why a run does not start",
    without: Severity::Warning,
};
const SECRETS: Rule = Rule {
    group: "",
    resource: "secrets",
    verbs: &["create", "get", "patch", "delete"],
    why: "hand secrets to runs without showing them in their Jobs",
    without: Severity::Error,
};

/// What the worker needs in each namespace that it starts runs in. The last only if it keeps secrets in Secrets.
pub fn rules(needs_secrets: bool) -> Vec<Rule> {
    let mut rules = vec![JOBS, PODS, POD_LOGS, EVENTS];
    rules.extend(needs_secrets.then_some(SECRETS));
    rules
}

/// What watching infrastructure needs where no run is started: nothing is changed and no secret is read.
pub fn reading_rules() -> Vec<Rule> {
    rules(false).into_iter().map(|rule| Rule { verbs: reading(rule.verbs), why: READING_WHY, ..rule }).collect()
}

const READING_WHY: &str = "follow runs in all namespaces";

/// The verbs of the list above that change nothing, as a list of their own.
fn reading(verbs: &'static [&'static str]) -> &'static [&'static str] {
    const GET: &[&str] = &["get"];
    const LIST: &[&str] = &["list", "watch"];
    const ALL: &[&str] = &READING;
    match (verbs.contains(&"get"), verbs.contains(&"list")) {
        (true, true) => ALL,
        (true, false) => GET,
        (false, _) => LIST,
    }
}

/// Whom to allow what where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Where runs are started.
    pub namespaces: Vec<String>,
    /// Whether the worker watches the whole cluster. Without namespaces it also starts runs in any.
    pub cluster_wide: bool,
    /// The worker's service account.
    pub service_account: String,
    /// The namespace of the service account: that of the worker.
    pub account_namespace: String,
    /// Whether it keeps secrets in Secrets.
    pub needs_secrets: bool,
}

impl Grant {
    /// The manifests, for `kubectl apply -f -`.
    pub fn manifests(&self) -> String {
        let mut documents = Vec::new();
        if self.cluster_wide {
            let rules = if self.namespaces.is_empty() { rules(self.needs_secrets) } else { reading_rules() };
            // Names of cluster roles are shared by the whole cluster.
            let name = format!("{}-{}", self.account_namespace, self.service_account);
            documents.push(role("ClusterRole", &name, None, &rules));
            documents.push(self.binding("ClusterRole", &name, None));
        }
        let rules = rules(self.needs_secrets);
        for namespace in &self.namespaces {
            documents.push(role("Role", &self.service_account, Some(namespace), &rules));
            documents.push(self.binding("Role", &self.service_account, Some(namespace)));
        }
        documents.join("---\n")
    }

    fn binding(&self, kind: &str, name: &str, namespace: Option<&str>) -> String {
        let mut text = head(&format!("{kind}Binding"), name, namespace);
        let (account, home) = (quoted(&self.service_account), quoted(&self.account_namespace));
        let _infallible = write!(
            text,
            "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {kind}\n  name: {}\n\
             subjects:\n  - kind: ServiceAccount\n    name: {account}\n    namespace: {home}\n",
            quoted(name),
        );
        text
    }
}

fn role(kind: &str, name: &str, namespace: Option<&str>, rules: &[Rule]) -> String {
    let mut text = head(kind, name, namespace);
    text.push_str("rules:\n");
    for rule in rules {
        let _infallible = writeln!(text, "  # to {}", rule.why);
        text.push_str(&entry(rule, rule.verbs, "  "));
    }
    text
}

fn head(kind: &str, name: &str, namespace: Option<&str>) -> String {
    let mut text =
        format!("apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\nmetadata:\n  name: {}\n", quoted(name));
    if let Some(namespace) = namespace {
        let _infallible = writeln!(text, "  namespace: {}", quoted(namespace));
    }
    text
}

/// One item of a role's `rules`.
pub(crate) fn entry(rule: &Rule, verbs: &[&str], indent: &str) -> String {
    let verbs: Vec<_> = verbs.iter().map(|verb| quoted(verb)).collect();
    format!(
        "{indent}- apiGroups: [{}]\n{indent}  resources: [{}]\n{indent}  verbs: [{}]\n",
        quoted(rule.group),
        quoted(rule.resource),
        verbs.join(", ")
    )
}

/// Always quoted: a namespace may be called `true` or `1`. Valid names have nothing in them to escape.
fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

/// Whether a namespace can have this name.
pub fn is_namespace_name(name: &str) -> bool {
    name.len() <= 63 && is_label(name)
}

/// Whether a service account can have this name.
pub fn is_account_name(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

fn is_label(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(is_inner) && !name.starts_with('-') && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(namespaces: &[&str], cluster_wide: bool, needs_secrets: bool) -> String {
        let namespaces = namespaces.iter().map(|&name| name.to_owned()).collect();
        let grant = Grant {
            namespaces,
            cluster_wide,
            service_account: "worker".to_owned(),
            account_namespace: "ops".to_owned(),
            needs_secrets,
        };
        grant.manifests()
    }

    #[test]
    fn a_namespace_gets_a_role_and_its_binding() {
        insta::assert_snapshot!(grant(&["flows"], false, true), @r#"
        apiVersion: rbac.authorization.k8s.io/v1
        kind: Role
        metadata:
          name: "worker"
          namespace: "flows"
        rules:
          # to start, follow, stop and remove runs
          - apiGroups: ["batch"]
            resources: ["jobs"]
            verbs: ["create", "get", "list", "watch", "delete"]
          # to follow runs, and to end those that do not stop by themselves
          - apiGroups: [""]
            resources: ["pods"]
            verbs: ["list", "watch", "delete"]
          # to show the output of runs
          - apiGroups: [""]
            resources: ["pods/log"]
            verbs: ["get"]
          # to say why a run does not start
          - apiGroups: [""]
            resources: ["events"]
            verbs: ["list", "watch"]
          # to hand secrets to runs without showing them in their Jobs
          - apiGroups: [""]
            resources: ["secrets"]
            verbs: ["create", "get", "patch", "delete"]
        ---
        apiVersion: rbac.authorization.k8s.io/v1
        kind: RoleBinding
        metadata:
          name: "worker"
          namespace: "flows"
        roleRef:
          apiGroup: rbac.authorization.k8s.io
          kind: Role
          name: "worker"
        subjects:
          - kind: ServiceAccount
            name: "worker"
            namespace: "ops"
        "#);
    }

    #[test]
    fn each_namespace_gets_its_own_and_the_cluster_nothing_unless_asked_for() {
        let text = grant(&["a", "b"], false, false);
        assert_eq!(text.matches("kind: Role\nmetadata").count(), 2);
        assert_eq!(text.matches("kind: RoleBinding\n").count(), 2);
        assert!(!text.contains("ClusterRole") && !text.contains("secrets"), "{text}");
    }

    #[test]
    fn beside_namespaces_the_cluster_is_only_read() {
        let text = grant(&["a"], true, true);
        let (cluster, _) = text.split_once("kind: Role\n").unwrap();
        assert!(cluster.contains("name: \"ops-worker\"") && !cluster.contains("namespace: \"a\""), "{cluster}");
        for no in ["create", "patch", "delete", "secrets"] {
            assert!(!cluster.contains(no), "{no}: {cluster}");
        }
        let alone = grant(&[], true, true);
        assert!(alone.contains("\"create\"") && !alone.contains("kind: Role\n"), "{alone}");
    }

    #[test]
    fn reading_is_what_of_the_rules_changes_nothing() {
        for (rule, read) in rules(false).iter().zip(reading_rules()) {
            let mut expected: Vec<_> = rule.verbs.iter().filter(|verb| READING.contains(*verb)).collect();
            let mut found: Vec<_> = read.verbs.iter().collect();
            expected.sort_unstable();
            found.sort_unstable();
            assert_eq!(found, expected, "{}", rule.resource);
        }
    }

    #[test]
    fn names_are_checked_as_the_cluster_does() {
        assert!(is_namespace_name("a-1") && is_account_name("a.b-1"));
        for bad in ["", "A", "a_b", "-a", "a-", "a b", "a\"", "a.b", &"a".repeat(64)] {
            assert!(!is_namespace_name(bad), "{bad}");
        }
        assert!(!is_account_name("a..b"));
    }
}
