//! The files of an engine's TLS.

use std::collections::BTreeMap;

use camino::{Utf8Path, Utf8PathBuf};

use super::error::ConnectionError;
use super::{docker_config, set};

/// Files in PEM. Without a CA of its own an engine must have a certificate that the system trusts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) ca: Option<Utf8PathBuf>,
    pub(crate) client: Option<ClientCertificate>,
}

/// By what the engine knows the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    pub(crate) certificate: Utf8PathBuf,
    pub(crate) key: Utf8PathBuf,
}

/// Whether the environment wants TLS for whatever address it is.
pub(super) fn is_wanted(env: &BTreeMap<String, String>) -> bool {
    ["DOCKER_TLS_VERIFY", "DOCKER_TLS"].iter().any(|name| set(env, name).is_some())
}

impl TlsFiles {
    /// The files that the environment means.
    pub(super) fn of_environment(env: &BTreeMap<String, String>) -> Result<Self, ConnectionError> {
        let own_ca_only = set(env, "DOCKER_TLS_VERIFY").is_some();
        let folder = set(env, "DOCKER_CERT_PATH").map(Utf8PathBuf::from).or_else(|| docker_config::directory(env));
        match folder {
            Some(folder) => Self::in_folder(&folder, own_ca_only),
            None if own_ca_only => Err(ConnectionError::NoTlsFolder),
            None => Ok(Self::default()),
        }
    }

    /// The files of a folder, as the Docker command names them.
    pub(super) fn in_folder(folder: &Utf8Path, needs_ca: bool) -> Result<Self, ConnectionError> {
        let file = |name| existing(folder.join(name));
        let ca = match file("ca.pem") {
            Ok(ca) => Some(ca),
            Err(path) if needs_ca => return Err(ConnectionError::NoTlsFile(path)),
            Err(_) => None,
        };
        let client = match (file("cert.pem"), file("key.pem")) {
            (Ok(certificate), Ok(key)) => Some(ClientCertificate { certificate, key }),
            (Err(_), Err(_)) => None,
            (Err(path), Ok(_)) | (Ok(_), Err(path)) => return Err(ConnectionError::NoTlsFile(path)),
        };
        Ok(Self { ca, client })
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.ca.is_none() && self.client.is_none()
    }

    /// Fails for a file that cannot be read. The client would go on without it, and be refused for no reason that is told.
    pub(super) fn check(&self) -> Result<(), ConnectionError> {
        let client = self.client.iter().flat_map(|client| [&client.certificate, &client.key]);
        for path in self.ca.iter().chain(client) {
            fs_err::File::open(path).map_err(|source| ConnectionError::TlsFile { path: path.clone(), source })?;
        }
        Ok(())
    }
}

fn existing(path: Utf8PathBuf) -> Result<Utf8PathBuf, Utf8PathBuf> {
    if path.exists() { Ok(path) } else { Err(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_folder(names: &[&str], needs_ca: bool) -> Result<TlsFiles, String> {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        for name in names {
            fs_err::write(folder.join(name), "").unwrap();
        }
        TlsFiles::in_folder(folder, needs_ca)
            .map_err(|error| error.to_string().strip_prefix(&format!("TLS needs {folder}/")).unwrap().to_owned())
    }

    #[test]
    fn half_a_client_certificate_and_a_ca_that_is_needed_are_missed() {
        for (names, needs_ca, ca, client) in [
            (&["ca.pem", "cert.pem", "key.pem"][..], true, true, true),
            (&["ca.pem"][..], true, true, false),
            (&[][..], false, false, false),
        ] {
            let files = in_folder(names, needs_ca).unwrap();
            assert_eq!((files.ca.is_some(), files.client.is_some()), (ca, client), "{names:?}");
        }
        for (names, needs_ca, missing) in [
            (&["cert.pem", "key.pem"][..], true, "ca.pem"),
            (&["ca.pem", "key.pem"][..], false, "cert.pem"),
            (&["cert.pem"][..], false, "key.pem"),
        ] {
            let error = in_folder(names, needs_ca).unwrap_err();
            assert_eq!(error, format!("{missing}, which does not exist"), "{names:?}");
        }
    }
}
