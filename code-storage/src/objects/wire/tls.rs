//! TLS: rustls with the ring provider, named explicitly, and the certificates that Python's clients would trust.

use std::sync::Arc;

use camino::Utf8Path;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::{Cause, Failure};

/// Trusts the certificates of a file, or Mozilla's.
pub(super) fn config(ca_file: Option<&Utf8Path>) -> Result<ClientConfig, Failure> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                .map_err(|error| Failure::new(Cause::Certificate, format!("{path} cannot be read: {error}")))?;
            if roots.add_parsable_certificates(certificates).0 == 0 {
                return Err(Failure::new(Cause::Certificate, format!("{path} holds no certificate")));
            }
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::new(Cause::Certificate, error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
