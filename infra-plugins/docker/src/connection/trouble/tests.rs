use std::time::Duration;

use super::super::connect;
use super::super::tls::TlsFiles;
use super::*;

fn endpoint(address: Address) -> Endpoint {
    Endpoint { address, tls: None, origin: "DOCKER_HOST".to_owned(), timeout: Duration::from_secs(5) }
}

fn local() -> Endpoint {
    endpoint(Address::Unix("/nowhere/docker.sock".into()))
}

fn remote(port: u16) -> Endpoint {
    endpoint(Address::Tcp { authority: format!("127.0.0.1:{port}") })
}

fn io_error(kind: ErrorKind) -> EngineError {
    EngineError::IOError { err: kind.into() }
}

#[test]
fn trouble_is_told_by_its_kind() {
    let secure = Endpoint { tls: Some(TlsFiles::default()), ..remote(1) };
    let wrapped = EngineError::IOError { err: io::Error::other(io::Error::from(ErrorKind::ConnectionReset)) };
    let gone = EngineError::SocketNotFoundError(String::new());
    for (error, endpoint, kind, message, hint) in [
        (
            io_error(ErrorKind::PermissionDenied),
            local(),
            TroubleKind::PermissionDenied,
            "Permission denied",
            "rootless",
        ),
        (io_error(ErrorKind::PermissionDenied), remote(1), TroubleKind::Unreachable, "Could not connect", "reaches it"),
        (
            io_error(ErrorKind::NotFound),
            local(),
            TroubleKind::Unreachable,
            "Could not connect",
            "systemctl start docker",
        ),
        (gone, local(), TroubleKind::Unreachable, "Could not connect", "systemctl start docker"),
        (io_error(ErrorKind::ConnectionRefused), local(), TroubleKind::Unreachable, "Could not connect", "systemctl"),
        (io_error(ErrorKind::InvalidData), secure, TroubleKind::PermissionDenied, "Could not agree on TLS", "ca.pem"),
        (EngineError::RequestTimeoutError, remote(1), TroubleKind::Unreachable, "There is no answer", "reaches it"),
        (wrapped, remote(1), TroubleKind::Unreachable, "Lost the connection", "reaches it"),
    ] {
        let trouble = explain(&error, &endpoint);
        assert_eq!(trouble.kind, kind, "{error:?}");
        assert_eq!(trouble.message.split(" Docker at ").count(), 2, "{trouble:?}");
        assert!(
            trouble.message.starts_with(message) && trouble.message.ends_with(&endpoint.to_string()),
            "{trouble:?}"
        );
        assert!(trouble.hint.as_ref().is_some_and(|found| found.contains(hint)), "{trouble:?}");
    }
    let answered = EngineError::DockerResponseServerError { status_code: 404, message: "no such container".to_owned() };
    let trouble = explain(&answered, &local());
    assert_eq!((trouble.kind, trouble.hint), (TroubleKind::Other, None));
}

#[tokio::test]
async fn what_the_client_says_of_engines_that_are_away_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let left_behind = endpoint(Address::Unix(socket.try_into().unwrap()));
    let nameless = endpoint(Address::Tcp { authority: "engine.invalid:1".to_owned() });
    for endpoint in [left_behind, nameless, remote(1)] {
        let error = connect(&endpoint).unwrap().ping().await.unwrap_err();
        let trouble = explain(&error, &endpoint);
        assert_eq!(trouble.kind, TroubleKind::Unreachable, "{error:?}");
        assert_eq!(trouble.message, format!("Could not connect to Docker at {endpoint}"));
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_and_an_engine_without_tls_are_understood() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = remote(listener.local_addr().unwrap().port());
    let secure = Endpoint { tls: Some(TlsFiles::default()), ..plain.clone() };
    let engine = std::thread::spawn(move || {
        for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nO", "HTTP/1.1 400 Bad Request\r\n\r\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            io::Read::read(&mut stream, &mut [0; 4096]).unwrap();
            io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        }
    });
    for (endpoint, message) in [(plain, "Lost the connection"), (secure, "Could not agree on TLS")] {
        let error = connect(&endpoint).unwrap().ping().await.unwrap_err();
        let trouble = explain(&error, &endpoint);
        assert!(trouble.message.starts_with(message), "{error:?} {trouble:?}");
    }
    engine.join().unwrap();
}
