//! Finding the engine, in the order of the Docker command.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt as _;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::context::Context;
use super::endpoint::{Address, Endpoint};
use super::error::ConnectionError;
use super::tls::TlsFiles;
use super::{address, set, tls};

/// Where Docker listens.
pub(super) const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const DEFAULT_ORIGIN: &str = "the default socket";
const SETTING: &str = "the setting docker.host";
const VARIABLE: &str = "DOCKER_HOST";

/// As in docker-py.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

/// Where the engine is: as `host` says, else as the environment does. Reads files, and connects to nothing.
pub(crate) fn endpoint(host: Option<&str>, env: &BTreeMap<String, String>) -> Result<Endpoint, ConnectionError> {
    locate(host, env, &is_socket)
}

fn locate(
    host: Option<&str>,
    env: &BTreeMap<String, String>,
    is_socket: &dyn Fn(&Utf8Path) -> bool,
) -> Result<Endpoint, ConnectionError> {
    let timeout = timeout(env)?;
    let setting = host.filter(|host| !host.trim().is_empty()).map(|host| (host, SETTING));
    if let Some((host, origin)) = setting.or_else(|| set(env, VARIABLE).map(|host| (host, VARIABLE))) {
        return of_host(host, origin, env, timeout);
    }
    if let Some(Context { address, tls, origin }) = Context::in_use(env)? {
        return Ok(Endpoint { address, tls, origin, timeout });
    }
    let sockets = sockets(env);
    let socket = sockets.into_iter().find(|path| is_socket(path)).unwrap_or_else(|| DEFAULT_SOCKET.into());
    Ok(Endpoint { address: Address::Unix(socket), tls: None, origin: DEFAULT_ORIGIN.to_owned(), timeout })
}

fn of_host(
    host: &str,
    origin: &str,
    env: &BTreeMap<String, String>,
    timeout: Duration,
) -> Result<Endpoint, ConnectionError> {
    let origin = origin.to_owned();
    let (address, secure) = address::parse(host, tls::is_wanted(env))
        .map_err(|fault| ConnectionError::Address { origin: origin.clone(), fault })?;
    let tls = if secure { Some(TlsFiles::of_environment(env)?) } else { None };
    Ok(Endpoint { address, tls, origin, timeout })
}

/// Where engines listen that nobody said anything about: Docker, rootless Docker, Docker Desktop, Podman.
fn sockets(env: &BTreeMap<String, String>) -> Vec<Utf8PathBuf> {
    let under = |variable, path| set(env, variable).map(|folder| Utf8Path::new(folder).join(path));
    let sockets = [
        Some(DEFAULT_SOCKET.into()),
        under("XDG_RUNTIME_DIR", "docker.sock"),
        under("HOME", ".docker/run/docker.sock"),
        Some("/run/podman/podman.sock".into()),
        under("XDG_RUNTIME_DIR", "podman/podman.sock"),
    ];
    sockets.into_iter().flatten().collect()
}

/// A mount of a socket that was not there yet leaves a folder of its name.
fn is_socket(path: &Utf8Path) -> bool {
    fs_err::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
}

fn timeout(env: &BTreeMap<String, String>) -> Result<Duration, ConnectionError> {
    let Some(seconds) = set(env, "DOCKER_CLIENT_TIMEOUT") else { return Ok(DEFAULT_TIMEOUT) };
    let seconds = seconds.parse().ok().filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or(ConnectionError::Timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn found(host: Option<&str>, variables: &[(&str, &str)], sockets: &[&str]) -> String {
        locate(host, &env(variables), &|path| sockets.contains(&path.as_str())).unwrap().to_string()
    }

    #[test]
    fn what_is_said_first_counts() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.json");
        fs_err::write(config, r#"{"currentContext": "prod"}"#).unwrap();
        let folder = ("DOCKER_CONFIG", folder.path().to_str().unwrap());
        let host = ("DOCKER_HOST", "tcp://variable:1");
        let context = ("DOCKER_CONTEXT", "default");
        let xdg = ("XDG_RUNTIME_DIR", "/run/user/1");

        assert_eq!(
            found(Some("setting:1"), &[folder, host, context], &[]),
            "tcp://setting:1 (the setting docker.host)"
        );
        assert_eq!(found(Some(" "), &[folder, host, context], &[]), "tcp://variable:1 (DOCKER_HOST)");
        assert_eq!(found(None, &[folder, context], &[]), "unix:///var/run/docker.sock (the default socket)");
        let prod = locate(None, &env(&[folder]), &|_| true).unwrap_err();
        assert!(matches!(prod, ConnectionError::NoContext(name) if name == "prod"));

        let user = ["/run/user/1/podman/podman.sock", "/run/user/1/docker.sock"];
        assert_eq!(found(None, &[xdg], &user), "unix:///run/user/1/docker.sock (the default socket)");
        let home = [("HOME", "/home/me")];
        for socket in ["/home/me/.docker/run/docker.sock", "/run/podman/podman.sock", DEFAULT_SOCKET] {
            assert_eq!(found(None, &home, &[socket]), format!("unix://{socket} (the default socket)"));
        }
    }

    #[test]
    fn the_urls_are_those_of_docker_py() {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join("ca.pem"), "").unwrap();
        let certificates = ("DOCKER_CERT_PATH", folder.path().to_str().unwrap());
        let verify = ("DOCKER_TLS_VERIFY", "1");
        for (host, variables, url, is_local) in [
            ("unix:///x.sock", &[verify, certificates][..], "http+docker://localhost", true),
            ("tcp://engine:1", &[][..], "http://engine:1", false),
            ("tcp://engine:1", &[("DOCKER_TLS_VERIFY", ""), certificates][..], "http://engine:1", false),
            ("tcp://engine:1", &[verify, certificates][..], "https://engine:1", false),
            ("tcp://engine:1", &[("DOCKER_TLS", "1")][..], "https://engine:1", false),
            ("https://engine:1", &[][..], "https://engine:1", false),
        ] {
            let endpoint = endpoint(Some(host), &env(variables)).unwrap();
            assert_eq!((endpoint.base_url().as_str(), endpoint.is_local()), (url, is_local));
        }
        assert!(matches!(endpoint(Some("engine"), &env(&[verify])), Err(ConnectionError::NoTlsFolder)));
        let empty = [verify, ("HOME", "/nowhere")];
        assert!(matches!(endpoint(Some("engine"), &env(&empty)), Err(ConnectionError::NoTlsFile(_))));
    }

    #[test]
    fn the_time_limit_is_a_number_of_seconds() {
        let limit = |text| timeout(&env(&[("DOCKER_CLIENT_TIMEOUT", text)])).ok().map(|limit| limit.as_secs());
        for (text, seconds) in [("", Some(60)), ("7", Some(7)), ("0", None), ("1.5", None), ("-1", None)] {
            assert_eq!(limit(text), seconds, "{text}");
        }
    }

    #[test]
    fn only_a_socket_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        let socket = folder.join("a.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(is_socket(&socket));
        assert!(!is_socket(folder));
        assert!(!is_socket(&folder.join("none")));
    }
}
