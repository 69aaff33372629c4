use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use axum::serve::Listener;
use camino::Utf8PathBuf;
use central_api_client::{ApiError, Client, ClientBuildError, ClientSettings, TlsSettings, TransportError};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::support::settings;

struct TlsListener {
    tcp: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let Ok((stream, addr)) = self.tcp.accept().await else { continue };
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, addr);
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// A server whose certificate, and whose clients', one authority has signed.
struct Site {
    folder: TempDir,
    url: url::Url,
}

impl Site {
    fn file(&self, name: &str) -> Utf8PathBuf {
        Utf8PathBuf::try_from(self.folder.path().join(name)).unwrap()
    }

    fn client(&self, tls: TlsSettings) -> Result<Client, ClientBuildError> {
        let mut settings = ClientSettings { tls, ..settings(self.url.clone()) };
        settings.retry.max_retries = 0;
        Client::new(settings)
    }

    async fn call(&self, tls: TlsSettings) -> Result<String, ApiError> {
        self.client(tls).unwrap().server_version().await
    }
}

async fn site(asks_for_certificate: bool) -> Site {
    let folder = TempDir::new().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let signed = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &ca).unwrap();
        (certificate, key)
    };
    let (certificate, key) = signed("127.0.0.1");
    let (client_certificate, client_key) = signed("worker");
    for (file, text) in [
        ("ca.pem", ca.pem()),
        ("client.pem", client_certificate.pem()),
        ("client.key", client_key.serialize_pem()),
        ("both.pem", format!("{}{}", client_certificate.pem(), client_key.serialize_pem())),
        ("empty.pem", String::new()),
    ] {
        std::fs::write(folder.path().join(file), text).unwrap();
    }

    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let builder = if asks_for_certificate {
        let mut roots = RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();

    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/api", tcp.local_addr().unwrap()).parse().unwrap();
    let listener = TlsListener { tcp, acceptor: TlsAcceptor::from(Arc::new(config)) };
    let routes = Router::new().route("/api/admin/version", get(|| async { "\"3.8.4\"" }));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Site { folder, url }
}

#[tokio::test]
async fn a_certificate_is_trusted_by_the_configured_authority_only() {
    let site = site(false).await;
    let trusting = TlsSettings { ca_file: Some(site.file("ca.pem")), ..TlsSettings::default() };
    assert_eq!(site.call(trusting).await.unwrap(), "3.8.4");
    let error = site.call(TlsSettings::default()).await.unwrap_err();
    assert!(matches!(error, ApiError::Unreachable(TransportError::Connect(_))), "{error:?}");
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told_from_a_server_that_is_not_there() {
    let site = site(false).await;
    let client = |tls| site.client(tls).unwrap();
    let error = client(TlsSettings::default()).greet().await.unwrap_err();
    assert!(error.tls_problem().unwrap().contains("certificate"), "{error:?}");
    let trusting = TlsSettings { ca_file: Some(site.file("ca.pem")), ..TlsSettings::default() };
    let greeting = client(trusting).greet().await.unwrap();
    assert_eq!(greeting.version.unwrap(), "3.8.4");
    let off = greeting.date.unwrap().duration_since(jiff::Timestamp::now()).abs();
    assert!(off < jiff::SignedDuration::from_mins(1), "{off}");
    let nobody = ClientSettings { api_url: "https://127.0.0.1:1/api".parse().unwrap(), ..settings(site.url.clone()) };
    let error = Client::new(nobody).unwrap().greet().await.unwrap_err();
    assert_eq!(error.tls_problem(), None, "{error:?}");
}

#[tokio::test]
async fn any_certificate_is_accepted_when_verification_is_skipped() {
    let site = site(false).await;
    let tls = TlsSettings { insecure_skip_verify: true, ..TlsSettings::default() };
    assert_eq!(site.call(tls).await.unwrap(), "3.8.4");
}

#[tokio::test]
async fn a_client_certificate_is_shown_with_its_key_from_either_file() {
    let site = site(true).await;
    let without = TlsSettings { ca_file: Some(site.file("ca.pem")), ..TlsSettings::default() };
    assert!(site.call(without.clone()).await.is_err());
    let two_files = TlsSettings {
        client_cert: Some(site.file("client.pem")),
        client_key: Some(site.file("client.key")),
        ..without.clone()
    };
    assert_eq!(site.call(two_files).await.unwrap(), "3.8.4");
    let one_file = TlsSettings { client_cert: Some(site.file("both.pem")), ..without };
    assert_eq!(site.call(one_file).await.unwrap(), "3.8.4");
}

#[tokio::test]
async fn unusable_files_are_named() {
    let site = site(false).await;
    let with_ca = |name: &str| TlsSettings { ca_file: Some(site.file(name)), ..TlsSettings::default() };
    let error = site.client(with_ca("missing.pem")).unwrap_err();
    assert!(matches!(&error, ClientBuildError::ReadPem { path, .. } if *path == site.file("missing.pem")), "{error:?}");
    let error = site.client(with_ca("empty.pem")).unwrap_err();
    assert!(matches!(error, ClientBuildError::NoCertificate { .. }), "{error:?}");
    let key_only = TlsSettings { client_key: Some(site.file("client.key")), ..TlsSettings::default() };
    assert!(matches!(site.client(key_only).unwrap_err(), ClientBuildError::KeyWithoutCertificate));
    let no_pair = TlsSettings {
        client_cert: Some(site.file("ca.pem")),
        client_key: Some(site.file("client.key")),
        ..TlsSettings::default()
    };
    assert!(matches!(site.client(no_pair).unwrap_err(), ClientBuildError::ClientCertificate { .. }));
}
