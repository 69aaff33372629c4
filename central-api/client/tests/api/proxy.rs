use std::process::Stdio;

use central_api_client::Client;
use serde_json::json;
use tokio::process::Command;

use crate::support::{Reply, Server, settings};

const TARGET: &str = "CENTRAL_API_CLIENT_TEST_TARGET";
const THIS_TEST: &str = "proxy::the_proxy_variables_are_honoured";

/// What the environment says, and whether a call to this host then goes through the proxy. `{proxy}` is its URL.
struct Case {
    host: &'static str,
    variables: &'static [(&'static str, &'static str)],
    is_proxied: bool,
}

const CASES: [Case; 9] = [
    Case { host: "127.0.0.1", variables: &[("HTTP_PROXY", "{proxy}")], is_proxied: true },
    Case { host: "127.0.0.1", variables: &[("ALL_PROXY", "{proxy}")], is_proxied: true },
    Case { host: "127.0.0.1", variables: &[("HTTPS_PROXY", "{proxy}")], is_proxied: false },
    Case { host: "127.0.0.1", variables: &[("http_proxy", "{proxy}"), ("no_proxy", "localhost")], is_proxied: true },
    Case { host: "127.0.0.1", variables: &[("HTTP_PROXY", "{proxy}"), ("NO_PROXY", "127.0.0.0/8")], is_proxied: false },
    Case {
        host: "localhost",
        variables: &[("HTTP_PROXY", "{proxy}"), ("NO_PROXY", "a.b, localhost")],
        is_proxied: false,
    },
    Case { host: "localhost", variables: &[("HTTP_PROXY", "{proxy}"), ("NO_PROXY", "*")], is_proxied: false },
    Case {
        host: "api.test.invalid",
        variables: &[("HTTP_PROXY", "{proxy}"), ("NO_PROXY", "est.invalid")],
        is_proxied: true,
    },
    Case {
        host: "api.test.invalid",
        variables: &[("HTTP_PROXY", "{proxy}"), ("NO_PROXY", ".test.invalid")],
        is_proxied: false,
    },
];

/// The proxy variables belong to the process, so each case runs in a process of its own: this same test, which then only
/// makes a call.
#[tokio::test]
async fn the_proxy_variables_are_honoured() {
    if let Some(target) = std::env::var_os(TARGET) {
        let mut settings = settings(target.to_str().unwrap().parse().unwrap());
        settings.retry.max_retries = 0;
        // A host that only the proxy knows cannot be reached without it.
        drop(Client::new(settings).unwrap().server_version().await);
        return;
    }
    for Case { host, variables, is_proxied } in CASES {
        let version = || Reply::json(200, &json!("3.8.4"));
        let target = Server::replying([version()]).await;
        let proxy = Server::replying([version()]).await;
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", THIS_TEST]).stdout(Stdio::null());
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"] {
            child.env_remove(name).env_remove(name.to_lowercase());
        }
        child.env(TARGET, format!("http://{host}:{}/api", target.addr.port()));
        for (name, value) in variables {
            child.env(name, value.replace("{proxy}", &format!("http://{}", proxy.addr)));
        }
        assert!(child.status().await.unwrap().success(), "{host} {variables:?}");
        let seen = (proxy.requests().len(), target.requests().len());
        let expected = match (is_proxied, host) {
            (true, _) => (1, 0),
            (false, "api.test.invalid") => (0, 0),
            (false, _) => (0, 1),
        };
        assert_eq!(seen, expected, "{host} {variables:?}");
    }
}
