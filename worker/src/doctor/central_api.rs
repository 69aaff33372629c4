//! The API: is it there, is it one, does it know us, is its clock ours?

use std::time::Duration;

use central_api_client::{ApiError, Client, Greeting, TlsSettings, TransportError, proxy_for, redacted};
use futures::future::{join_all, join3};
use jiff::{SignedDuration, Timestamp};

use super::code::{CodeUnderLook, look_at_code};
use super::pools::{PoolUnderLook, look_at_pool};
use super::streams::look_at_events;
use super::{Check, Found, Grade, bounded};
use crate::run::ErrorChain;

const LIMIT: Duration = Duration::from_secs(15);
/// A difference that prefetching and the cut of the server's clock to seconds do not explain.
const LARGEST_SKEW: SignedDuration = SignedDuration::from_secs(5);

/// What is looked at.
pub struct ApiUnderLook<'a> {
    /// The client, set to try once.
    pub client: &'a Client,
    /// Whether it has credentials.
    pub has_credentials: bool,
    /// Whom it trusts.
    pub tls: &'a TlsSettings,
    /// The pools.
    pub pools: Vec<PoolUnderLook<'a>>,
    /// Between two questions for cancelled runs while nobody tells of them.
    pub cancellation_poll: Duration,
    /// A deployment, if its code is to be looked at.
    pub code: Option<CodeUnderLook<'a>>,
}

/// Looks at the API, and then at what can be seen through it.
pub async fn look_at_api(api: &ApiUnderLook<'_>) -> Vec<Check> {
    let mut greeting = None;
    let reached = bounded("api", LIMIT, async {
        let greeted = api.client.greet().await;
        let found = reached(api, &greeted);
        greeting = greeted.ok();
        vec![found]
    })
    .await;
    let mut checks = vec![reached, Check::of("proxy", proxy(api.client))];
    let Some(greeting) = greeting else { return checks };
    checks.extend(tls(api).map(|found| Check::of("tls", found)));
    checks.extend(greeting.date.map(|date| Check::of("clock", clock(date, Timestamp::now()))));
    let login = bounded("login", LIMIT, async { vec![login(api).await] }).await;
    let is_let_in = login.findings.iter().all(|found| found.severity == Grade::Ok);
    checks.push(login);
    checks.push(Check::of("server", version(&greeting)));
    if is_let_in {
        let version = greeting.version.ok();
        let pools = join_all(api.pools.iter().map(|pool| look_at_pool(api.client, pool, version.as_deref())));
        let code = join_all(api.code.iter().map(|code| look_at_code(api.client, code)));
        let events = look_at_events(api.client, api.cancellation_poll);
        let (events, pools, code) = join3(events, pools, code).await;
        checks.push(events);
        checks.extend(pools.into_iter().flatten().chain(code));
    }
    checks
}

fn reached(api: &ApiUnderLook<'_>, greeted: &Result<Greeting, TransportError>) -> Found {
    let url = redacted(api.client.api_url());
    let error = match greeted {
        Ok(greeting) => return Found::ok(format!("{url} answered in {} ms", greeting.took.as_millis())),
        Err(error) => error,
    };
    let host = api.client.api_url().host_str().unwrap_or_default();
    let through = proxy_for(api.client.api_url()).map(|proxy| format!(" through the proxy {proxy}"));
    let through = through.unwrap_or_default();
    let message = format!("{url} could not be reached{through}: {}", ErrorChain(error));
    if let Some(problem) = error.tls_problem() {
        return Found::error(message, tls_hint(&problem, api.tls, host));
    }
    let hint = if through.is_empty() {
        "check PREFECT_API_URL, that the server runs, and that this machine may reach it; a proxy is taken from HTTPS_PROXY \
         and HTTP_PROXY"
            .to_owned()
    } else {
        format!("check the proxy; if {host} is to be reached without it, add it to NO_PROXY")
    };
    Found::error(message, hint)
}

fn tls_hint(problem: &str, tls: &TlsSettings, host: &str) -> String {
    // What comes from a server that answers in plain text is no frame of TLS.
    if problem.contains("corrupt message") {
        return format!(
            "{host} does not speak TLS on this port: use http:// in PREFECT_API_URL, or the port that does"
        );
    }
    if problem.contains("certificate expired") || problem.contains("not valid yet") {
        return format!(
            "renew the certificate of {host}; if it is valid, set this machine's clock, as with `timedatectl`"
        );
    }
    if problem.contains("not valid for name") {
        return format!("the certificate is not for {host}: use the name that it is for in PREFECT_API_URL");
    }
    let trusted = trusted(tls);
    format!(
        "trusted are {trusted}. If {host} has a certificate of an authority of your own, or a proxy puts its own in place, name \
         the authority's PEM file with SSL_CERT_FILE or PREFECT_API_SSL_CERT_FILE; `openssl s_client -connect {host}:443 \
         -showcerts` shows what is sent"
    )
}

fn trusted(tls: &TlsSettings) -> String {
    tls.ca_file.as_ref().map_or_else(|| "the public authorities".to_owned(), |file| format!("those of {file}"))
}

fn tls(api: &ApiUnderLook<'_>) -> Option<Found> {
    let url = api.client.api_url();
    let host = url.host_str().unwrap_or_default();
    if url.scheme() == "https" {
        return Some(if api.tls.insecure_skip_verify {
            Found::warning(
                format!("the certificate of {host} is not looked at: anybody in between can read the credentials"),
                "take PREFECT_API_TLS_INSECURE_SKIP_VERIFY away, and name the authority with PREFECT_API_SSL_CERT_FILE",
            )
        } else {
            Found::ok(format!("the certificate of {host} is valid; trusted are {}", trusted(api.tls)))
        });
    }
    (api.has_credentials && !is_loopback(url)).then(|| {
        Found::warning(
            format!("the credentials go to {host} without encryption"),
            "use https:// in PREFECT_API_URL if the server or a proxy before it has a certificate",
        )
    })
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn proxy(client: &Client) -> Found {
    let url = client.api_url();
    match proxy_for(url) {
        None => Found::ok("none is used for the API"),
        Some(proxy) if is_loopback(url) => Found::warning(
            format!("{proxy} is used for an API on this machine"),
            format!("add {} to NO_PROXY", url.host_str().unwrap_or_default()),
        ),
        Some(proxy) => Found::ok(format!("{proxy} is used for the API, as the environment says")),
    }
}

fn clock(theirs: Timestamp, ours: Timestamp) -> Found {
    let skew = ours.duration_since(theirs);
    if skew.abs() <= LARGEST_SKEW {
        return Found::ok("this machine's and the server's agree");
    }
    let (side, effect) = if skew.is_negative() { ("behind", "too late") } else { ("ahead of", "before they are due") };
    Found::warning(
        format!("this machine's is {} s {side} the server's: runs are taken {effect}", skew.abs().as_secs()),
        "synchronise both, as with `timedatectl set-ntp true`",
    )
}

async fn login(api: &ApiUnderLook<'_>) -> Found {
    let url = redacted(api.client.api_url());
    let error = match api.client.work_pools().await {
        Ok(_) if api.has_credentials => return Found::ok("the API accepts the credentials"),
        Ok(_) => return Found::ok("the API asks for no credentials"),
        Err(error) => error,
    };
    let message = ErrorChain(&error).to_string();
    match error.status() {
        Some(401 | 403) if matches!(error, ApiError::Refused { .. }) => Found::error(
            if api.has_credentials {
                format!("the credentials are not accepted: {message}")
            } else {
                format!("the API wants credentials: {message}")
            },
            "check PREFECT_API_KEY (Prefect Cloud) or PREFECT_API_AUTH_STRING (self-hosted, `user:password`), and the account \
             and workspace in PREFECT_API_URL; `worker config show --set` says where they come from",
        ),
        _ if error.is_unknown_path() || matches!(error, ApiError::Undecodable { .. }) => Found::error(
            format!("{url} answers, but not as a Prefect API does: {message}"),
            "check PREFECT_API_URL: for a self-hosted server it ends in /api; a proxy may also answer in its place",
        ),
        _ => Found::error(message, "look into the log of the server"),
    }
}

fn version(greeting: &Greeting) -> Found {
    match &greeting.version {
        Ok(version) if version.starts_with("3.") => Found::ok(format!("it has version {version}")),
        Ok(version) => Found::error(
            format!("it has version {version}, which no Prefect 3 worker can serve"),
            "serve it with a worker of its own major version",
        ),
        Err(_) => Found::ok("it does not say its version"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_tls_decides_what_to_do() {
        let tls = TlsSettings { ca_file: Some("/etc/own.pem".into()), ..TlsSettings::default() };
        let hint = |problem| tls_hint(problem, &tls, "api.test");
        let unknown = hint("invalid peer certificate: UnknownIssuer");
        assert!(unknown.contains("those of /etc/own.pem") && unknown.contains("SSL_CERT_FILE"), "{unknown}");
        assert!(hint("received corrupt message of type InvalidContentType").contains("http://"));
        assert!(hint("invalid peer certificate: certificate expired: verification time 1 (UNIX)").contains("clock"));
        assert!(
            hint("invalid peer certificate: certificate not valid for name \"api.test\"")
                .contains("the name that it is for")
        );
    }

    #[test]
    fn a_clock_that_is_off_is_said_with_its_direction() {
        let ours = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds| clock(ours + SignedDuration::from_secs(seconds), ours);
        assert_eq!(at(-1).severity, Grade::Ok);
        assert!(at(90).message.starts_with("this machine's is 90 s behind the server's"), "{}", at(90).message);
        assert!(at(-90).message.contains("ahead of the server's"), "{}", at(-90).message);
    }
}
