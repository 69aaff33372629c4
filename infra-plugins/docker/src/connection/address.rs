//! Addresses of engines, as in `DOCKER_HOST`.

use url::Url;

use super::endpoint::Address;
use super::locate::DEFAULT_SOCKET;

/// Host of an address that has none, as in docker-py.
const THIS_HOST: &str = "127.0.0.1";

/// Why an address cannot be used. Never shows the address, in which there may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressFault {
    #[error("the worker cannot connect by ssh")]
    Ssh,
    #[error("addresses with `{0}://` are not supported")]
    Scheme(String),
    #[error("it has a user name or password")]
    User,
    #[error("it has a path or query behind the host")]
    Path,
    #[error("it is not a host with a port")]
    Authority,
}

impl AddressFault {
    pub(super) const fn hint(&self) -> &'static str {
        match self {
            Self::Ssh => {
                "Forward the socket: `ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock HOST`, and set \
                 DOCKER_HOST=unix:///tmp/docker.sock"
            }
            Self::User => "Leave it out; an engine knows its clients by TLS certificates",
            Self::Scheme(_) | Self::Path | Self::Authority => "Write unix:///var/run/docker.sock or tcp://host:2376",
        }
    }
}

/// Where an address leads, and whether TLS is spoken there. `secure`: it is wanted anyway.
pub(super) fn parse(text: &str, secure: bool) -> Result<(Address, bool), AddressFault> {
    let text = text.trim();
    if text.starts_with('/') {
        return Ok((unix(text), false));
    }
    let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
    match scheme {
        "unix" => Ok((unix(rest), false)),
        "tcp" => tcp(rest, secure, if secure { 2376 } else { 2375 }),
        "http" => tcp(rest, secure, if secure { 443 } else { 80 }),
        "https" => tcp(rest, true, 443),
        "ssh" => Err(AddressFault::Ssh),
        scheme if is_scheme(scheme) => Err(AddressFault::Scheme(scheme.to_owned())),
        _ => Err(AddressFault::Authority),
    }
}

/// Docker takes `unix://` for its own socket, and docker-py takes `unix://a/b` for `unix:///a/b`.
fn unix(path: &str) -> Address {
    let path = path.trim_start_matches('/');
    Address::Unix(if path.is_empty() { DEFAULT_SOCKET.into() } else { format!("/{path}").into() })
}

fn tcp(rest: &str, secure: bool, default_port: u16) -> Result<(Address, bool), AddressFault> {
    let rest = rest.trim_end_matches('/');
    if rest.contains('@') {
        return Err(AddressFault::User);
    }
    if rest.contains(['/', '?', '#', '\\']) {
        return Err(AddressFault::Path);
    }
    let (host, port) = split_port(rest, default_port).ok_or(AddressFault::Authority)?;
    let authority = format!("{}:{port}", if host.is_empty() { THIS_HOST } else { host });
    match Url::parse(&format!("http://{authority}")) {
        Ok(_) => Ok((Address::Tcp { authority }, secure)),
        Err(_) => Err(AddressFault::Authority),
    }
}

fn split_port(authority: &str, default: u16) -> Option<(&str, u16)> {
    if authority.is_empty() {
        return None;
    }
    match authority.rsplit_once(':') {
        // The colon of an IPv6 address.
        Some((_, end)) if end.ends_with(']') => Some((authority, default)),
        Some((host, port)) => port.parse().ok().filter(|port| *port > 0).map(|port| (host, port)),
        None => Some((authority, default)),
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|character| character.is_ascii_alphanumeric() || "+-.".contains(character))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (String, bool) {
        match parse(text, false).unwrap() {
            (Address::Unix(path), secure) => (path.into_string(), secure),
            (Address::Tcp { authority }, secure) => (authority, secure),
        }
    }

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        for (text, place, secure) in [
            ("unix:///run/x.sock", "/run/x.sock", false),
            ("unix://run/x.sock", "/run/x.sock", false),
            ("unix://", DEFAULT_SOCKET, false),
            ("/run/x.sock", "/run/x.sock", false),
            (" tcp://Engine:1234/ ", "Engine:1234", false),
            ("engine:1234", "engine:1234", false),
            ("engine", "engine:2375", false),
            ("tcp://:1234", "127.0.0.1:1234", false),
            ("tcp://[::1]:1234", "[::1]:1234", false),
            ("tcp://[::1]", "[::1]:2375", false),
            ("http://engine:80", "engine:80", false),
            ("http://engine", "engine:80", false),
            ("https://engine:1234", "engine:1234", true),
            ("https://engine", "engine:443", true),
        ] {
            assert_eq!(parsed(text), (place.to_owned(), secure), "{text}");
        }
        let secure = parse("tcp://engine", true).unwrap();
        assert_eq!(secure, (Address::Tcp { authority: "engine:2376".to_owned() }, true));
    }

    #[test]
    fn what_cannot_be_an_address_is_refused_and_not_shown() {
        for (text, fault) in [
            ("ssh://me@host", AddressFault::Ssh),
            ("npipe:////./pipe/docker_engine", AddressFault::Scheme("npipe".to_owned())),
            ("fd://", AddressFault::Scheme("fd".to_owned())),
            ("tcp://me:hunter2@host:1", AddressFault::User),
            ("me:hunter2@host:1", AddressFault::User),
            ("hunter2@x://host", AddressFault::Authority),
            ("tcp://host:1/path", AddressFault::Path),
            ("tcp://host:1?a=hunter2", AddressFault::Path),
            ("tcp://", AddressFault::Authority),
            ("tcp://host:0", AddressFault::Authority),
            ("tcp://host:99999", AddressFault::Authority),
            ("tcp://host:hunter2", AddressFault::Authority),
            ("::1", AddressFault::Authority),
            ("tcp://ho st:1", AddressFault::Authority),
        ] {
            let found = parse(text, false).unwrap_err();
            assert_eq!(found, fault, "{text}");
            assert!(!format!("{found} {}", found.hint()).contains("hunter2"), "{text}");
        }
    }
}
