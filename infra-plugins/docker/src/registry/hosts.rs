//! Names of registries. Docker Hub has many.

/// Docker Hub, as references to images have it.
pub(super) const HUB: &str = "docker.io";
/// Docker Hub, as credentials have it.
const HUB_SERVER: &str = "https://index.docker.io/v1/";
const HUB_HOSTS: [&str; 4] = [HUB, "index.docker.io", "registry-1.docker.io", "hub.docker.com"];

/// The host of a registry's address, in one spelling.
pub(super) fn host_of(address: &str) -> String {
    let address = address.trim();
    let address = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = address.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    if HUB_HOSTS.contains(&host.as_str()) { HUB.to_owned() } else { host }
}

/// What credential helpers and engines call a registry.
pub(super) fn server_of(registry: &str) -> String {
    let host = host_of(registry);
    if host == HUB { HUB_SERVER.to_owned() } else { host }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_has_one_name() {
        for (address, host) in [
            ("https://index.docker.io/v1/", HUB),
            ("registry-1.docker.io", HUB),
            ("hub.docker.com/", HUB),
            ("http://Registry.example.com:5000/v2/", "registry.example.com:5000"),
            ("registry.example.com/", "registry.example.com"),
            ("https://me:pw@registry.example.com", "registry.example.com"),
            ("", ""),
        ] {
            assert_eq!(host_of(address), host, "{address}");
        }
        assert_eq!(server_of("docker.io"), "https://index.docker.io/v1/");
        assert_eq!(server_of("registry:5000"), "registry:5000");
    }
}
