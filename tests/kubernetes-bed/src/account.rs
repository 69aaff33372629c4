//! Accounts that may do little.

use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding};
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde_json::json;

use crate::server::{SOON, object, token_secret};
use crate::{Server, until};

pub(crate) async fn create(server: &Server, namespace: &str, rules: Vec<PolicyRule>) -> String {
    let client = server.client().await;
    let name = format!("account-{}", uuid::Uuid::new_v4().simple());
    let first = rules.first().cloned();
    let (params, metadata) = (PostParams::default(), json!({"name": name}));

    let accounts = Api::<ServiceAccount>::namespaced(client.clone(), namespace);
    let account = object(json!({"metadata": metadata}));
    accounts.create(&params, &account).await.expect("the administrator may create accounts");
    let role = Role { rules: Some(rules), ..object(json!({"metadata": metadata})) };
    let roles = Api::<Role>::namespaced(client.clone(), namespace);
    roles.create(&params, &role).await.expect("the administrator may create roles");
    let binding = object(json!({
        "metadata": metadata,
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
    }));
    let bindings = Api::<RoleBinding>::namespaced(client.clone(), namespace);
    bindings.create(&params, &binding).await.expect("the administrator may bind roles");

    let secret = token_secret(&accounts, &name).await;
    let secret = Api::<Secret>::namespaced(client, namespace).get(&secret).await.expect("the account's secret");
    let token = secret.data.unwrap_or_default().remove("token").expect("the secret of an account has a token");
    let token = String::from_utf8(token.0).expect("a token is text");
    let kubeconfig = with_token(server, namespace, &token);
    if let Some(rule) = first {
        wait_for(&rule, &Server::client_of(&kubeconfig).await, namespace).await;
    }
    kubeconfig
}

/// The administrator's kubeconfig with another token and namespace.
fn with_token(server: &Server, namespace: &str, token: &str) -> String {
    let kubeconfig = Kubeconfig::from_yaml(&server.kubeconfig_text()).expect("the administrator's kubeconfig");
    // JSON is YAML.
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": kubeconfig.clusters,
        "users": [{"name": "account", "user": {"token": token}}],
        "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": "account", "namespace": namespace}}],
        "current-context": "bed",
    })
    .to_string()
}

/// The server learns of a new role a moment after it was created.
async fn wait_for(rule: &PolicyRule, client: &Client, namespace: &str) {
    let first = |list: &Option<Vec<String>>| list.as_ref().and_then(|list| list.first()).cloned();
    let resource = first(&rule.resources).unwrap_or_default();
    let (resource, subresource) = resource.split_once('/').unwrap_or((&resource, ""));
    let review: SelfSubjectAccessReview = object(json!({"spec": {"resourceAttributes": {
        "namespace": namespace, "verb": rule.verbs.first(), "group": first(&rule.api_groups),
        "resource": resource, "subresource": subresource, "name": first(&rule.resource_names),
    }}}));
    let reviews = Api::<SelfSubjectAccessReview>::all(client.clone());
    until(SOON, "a new role to count", async || {
        let answer = reviews.create(&PostParams::default(), &review).await.ok()?;
        answer.status.filter(|status| status.allowed)
    })
    .await;
}
