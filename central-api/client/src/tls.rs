//! TLS as the settings want it: rustls with the ring provider, named explicitly, because a provider that is installed for
//! the whole process would be a hidden dependency on whoever starts first.

use std::sync::Arc;

use camino::Utf8Path;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::error::ClientBuildError;
use crate::settings::TlsSettings;

/// A TLS configuration that offers the protocols of `alpn`, best first.
pub(crate) fn tls_config(settings: &TlsSettings, alpn: &[&[u8]]) -> Result<ClientConfig, ClientBuildError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(ClientBuildError::Tls)?;
    let builder = if settings.insecure_skip_verify {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnyCertificate(provider)))
    } else {
        builder.with_root_certificates(trusted_roots(settings.ca_file.as_deref())?)
    };
    let mut config = match (&settings.client_cert, &settings.client_key) {
        (None, None) => builder.with_no_client_auth(),
        (None, Some(_)) => return Err(ClientBuildError::KeyWithoutCertificate),
        (Some(path), key) => {
            let key_path = key.as_ref().unwrap_or(path);
            let key = PrivateKeyDer::from_pem_file(key_path)
                .map_err(|source| ClientBuildError::ReadPem { path: key_path.clone(), source })?;
            builder
                .with_client_auth_cert(certificates(path)?, key)
                .map_err(|source| ClientBuildError::ClientCertificate { path: path.clone(), source })?
        }
    };
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

fn trusted_roots(ca_file: Option<&Utf8Path>) -> Result<RootCertStore, ClientBuildError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = ca_file else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    // System bundles hold a few certificates that are too odd to parse: they must not cost the others.
    let (usable, _odd) = roots.add_parsable_certificates(certificates(path)?);
    if usable == 0 {
        return Err(ClientBuildError::NoCertificate { path: path.to_owned() });
    }
    Ok(roots)
}

fn certificates(path: &Utf8Path) -> Result<Vec<CertificateDer<'static>>, ClientBuildError> {
    let certificates = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| ClientBuildError::ReadPem { path: path.to_owned(), source })?;
    if certificates.is_empty() {
        return Err(ClientBuildError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

/// The verifier of `insecure_skip_verify`: neither chain nor name are looked at. Signatures of the handshake still are,
/// which costs nothing and keeps a broken peer apart from an unknown one.
#[derive(Debug)]
struct AcceptAnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
