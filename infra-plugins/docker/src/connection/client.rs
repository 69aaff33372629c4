//! The client of an engine.

use std::path::Path;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker};

use super::endpoint::{Address, Endpoint};
use super::error::ConnectionError;
use super::tls::TlsFiles;

/// Where the client puts the credentials of a registry.
const REGISTRY_AUTH: &str = "x-registry-auth";
/// The client insists on files, and takes one that holds nothing for none.
const NOTHING: &str = "/dev/null";

/// A client for an engine. Connects to nothing, but fails where a socket does not exist.
pub(crate) fn connect(endpoint: &Endpoint) -> Result<Docker, ConnectionError> {
    let seconds = endpoint.timeout.as_secs();
    let docker = match (&endpoint.address, &endpoint.tls) {
        (Address::Unix(path), _) => Docker::connect_with_unix(path.as_str(), seconds, API_DEFAULT_VERSION),
        (Address::Tcp { authority }, None) => Docker::connect_with_http(authority, seconds, API_DEFAULT_VERSION),
        (Address::Tcp { authority }, Some(tls)) => {
            tls.check()?;
            let TlsPaths { ca, certificate, key } = paths(tls);
            Docker::connect_with_ssl(authority, key, certificate, ca, seconds, API_DEFAULT_VERSION)
        }
    };
    docker.map(|docker| docker.with_request_modifier(with_readable_credentials)).map_err(ConnectionError::Client)
}

struct TlsPaths<'t> {
    ca: &'t Path,
    certificate: &'t Path,
    key: &'t Path,
}

fn paths(tls: &TlsFiles) -> TlsPaths<'_> {
    let nothing = Path::new(NOTHING);
    let client = tls.client.as_ref();
    TlsPaths {
        ca: tls.ca.as_ref().map_or(nothing, |path| path.as_std_path()),
        certificate: client.map_or(nothing, |client| client.certificate.as_std_path()),
        key: client.map_or(nothing, |client| client.key.as_std_path()),
    }
}

/// Engines read the URL-safe alphabet only, and the client writes the other: a password with `?`, `>`, `~` or a letter that
/// is not ASCII would be refused.
fn with_readable_credentials(mut request: BollardRequest) -> BollardRequest {
    if let Some(value) = request.headers_mut().get_mut(REGISTRY_AUTH)
        && let Ok(readable) = value.to_str().unwrap_or_default().replace('+', "-").replace('/', "_").parse()
    {
        *value = readable;
        value.set_sensitive(true);
    }
    request
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE;
    use bollard::auth::DockerCredentials;
    use bollard::query_parameters::CreateImageOptions;
    use futures::StreamExt as _;

    use super::*;

    fn read_head(stream: &mut std::net::TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        String::from_utf8(head).unwrap()
    }

    #[tokio::test]
    async fn an_engine_can_read_any_password() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let engine = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let head = read_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            head
        });
        let endpoint = super::super::endpoint(Some(&address), &BTreeMap::new()).unwrap();
        let password = "???>>>~~~ÿÿÿ";
        let credentials = DockerCredentials { password: Some(password.to_owned()), ..DockerCredentials::default() };
        let docker = connect(&endpoint).unwrap();
        let pull = docker.create_image(None::<CreateImageOptions>, None, Some(credentials));
        assert!(pull.collect::<Vec<_>>().await.iter().all(Result::is_ok));

        let head = engine.join().unwrap();
        let header = head.lines().find_map(|line| line.strip_prefix("x-registry-auth: ")).unwrap();
        let read: DockerCredentials = serde_json::from_slice(&URL_SAFE.decode(header).unwrap()).unwrap();
        assert_eq!(read.password.as_deref(), Some(password));
    }

    #[test]
    fn tls_files_that_cannot_be_used_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        fs_err::write(&path, "-----BEGIN CERTIFICATE-----\n").unwrap();
        let ca = Some(path.try_into().unwrap());
        let endpoint = Endpoint {
            address: Address::Tcp { authority: "engine:1".to_owned() },
            tls: Some(TlsFiles { ca, client: None }),
            origin: String::new(),
            timeout: std::time::Duration::from_secs(1),
        };
        assert!(matches!(connect(&endpoint).unwrap_err(), ConnectionError::Client(_)));
        drop(folder);
        assert!(matches!(connect(&endpoint).unwrap_err(), ConnectionError::TlsFile { .. }));
    }
}
