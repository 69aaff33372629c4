//! How a container reaches the API.

use std::collections::BTreeSet;

use url::Url;

/// The variable by which the engine in the container finds the API.
pub(crate) const API_URL: &str = "PREFECT_API_URL";
/// The name by which a container knows its host.
const HOST: &str = "host.docker.internal";
/// The entry that gives that name a meaning on Linux.
pub(crate) const HOST_ENTRY: &str = "host.docker.internal:host-gateway";
/// Names of the host that mean the container itself inside of one.
const LOCAL: [&str; 2] = ["localhost", "127.0.0.1"];

/// The network mode to ask for: the configured one, else the host's own network where the API is only there.
pub(crate) fn network_mode(configured: Option<&str>, networks: &[String], api_url: Option<&str>) -> Option<String> {
    if let Some(mode) = configured {
        return Some(mode.to_owned());
    }
    if !networks.is_empty() {
        return None;
    }
    let url = Url::parse(api_url?).ok()?;
    url.host_str().is_some_and(|host| LOCAL.contains(&host)).then(|| "host".to_owned())
}

/// The worker's own API URL as a container can use it. A URL that the job configuration gives is left alone: it may mean the
/// container itself.
pub(crate) fn api_url_inside(url: &str, network_mode: Option<&str>) -> String {
    if network_mode == Some("host") {
        return url.to_owned();
    }
    LOCAL.iter().fold(url.to_owned(), |url, local| url.replace(local, HOST))
}

/// Entries of `/etc/hosts`: the configured ones, and one for the host where the API may be there.
pub(crate) fn extra_hosts(configured: Vec<String>, api_url: Option<&str>, knows_host_gateway: bool) -> Vec<String> {
    let may_be_here = api_url.is_none_or(|url| LOCAL.iter().chain([&HOST]).any(|host| url.contains(host)));
    let named: BTreeSet<&str> = configured.iter().filter_map(|entry| entry.split(':').next()).collect();
    let ours = (may_be_here && knows_host_gateway && !named.contains(HOST)).then(|| HOST_ENTRY.to_owned());
    ours.into_iter().chain(configured).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<&str> = Some("http://127.0.0.1:4200/api");
    const AWAY: Option<&str> = Some("https://api.prefect.cloud/api");

    #[test]
    fn c091_the_hosts_network_is_used_for_an_api_on_this_host() {
        assert_eq!(network_mode(None, &[], HERE).as_deref(), Some("host"));
        assert_eq!(network_mode(None, &[], Some("http://localhost:4200/api")).as_deref(), Some("host"));
        assert_eq!(network_mode(None, &[], AWAY), None);
        assert_eq!(network_mode(None, &[], Some("http://localhost.example.org/api")), None);
        assert_eq!(network_mode(Some("bridge"), &[], HERE).as_deref(), Some("bridge"));
        assert_eq!(network_mode(None, &["mine".to_owned()], HERE), None);
    }

    #[test]
    fn c091_a_container_on_another_network_reaches_the_host_by_its_docker_name() {
        let url = "http://127.0.0.1:4200/api";
        assert_eq!(api_url_inside(url, Some("host")), url);
        assert_eq!(api_url_inside(url, Some("bridge")), "http://host.docker.internal:4200/api");
        assert_eq!(api_url_inside("http://localhost:1/api", None), "http://host.docker.internal:1/api");
    }

    #[test]
    fn c092_the_hosts_entry_is_merged_with_the_users() {
        let user = || vec!["db:10.0.0.2".to_owned()];
        assert_eq!(extra_hosts(user(), HERE, true), [HOST_ENTRY, "db:10.0.0.2"]);
        assert_eq!(extra_hosts(user(), None, true), [HOST_ENTRY, "db:10.0.0.2"]);
        assert_eq!(extra_hosts(user(), Some("http://host.docker.internal/api"), true).len(), 2);
        assert_eq!(extra_hosts(user(), AWAY, true), user());
        assert_eq!(extra_hosts(user(), HERE, false), user(), "older engines refuse it");
        let own = || vec!["host.docker.internal:10.0.0.1".to_owned()];
        assert_eq!(extra_hosts(own(), HERE, true), own());
    }
}
