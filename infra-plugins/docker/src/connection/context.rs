//! Docker contexts: engines that the Docker command knows by name.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::endpoint::Address;
use super::error::ConnectionError;
use super::tls::TlsFiles;
use super::{address, docker_config, set};

/// The context that is none.
const DEFAULT: &str = "default";

/// A context's engine.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) address: Address,
    pub(super) tls: Option<TlsFiles>,
    pub(super) origin: String,
}

impl Context {
    /// The context in use, if one is.
    pub(super) fn in_use(env: &BTreeMap<String, String>) -> Result<Option<Self>, ConnectionError> {
        match name_in_use(env)? {
            Some(name) if name != DEFAULT => Self::read(&name, docker_config::directory(env).as_deref()).map(Some),
            _ => Ok(None),
        }
    }

    fn read(name: &str, directory: Option<&Utf8Path>) -> Result<Self, ConnectionError> {
        let missing = || ConnectionError::NoContext(name.to_owned());
        let contexts = directory.ok_or_else(missing)?.join("contexts");
        let id = id_of(name);
        let meta = docker_config::read(&contexts.join("meta").join(&id).join("meta.json"))?.ok_or_else(missing)?;
        let docker = meta.get("Endpoints").and_then(|endpoints| endpoints.get("docker"));
        let host = docker.and_then(|docker| docker.get("Host")).and_then(Value::as_str).filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| ConnectionError::NoHost(name.to_owned()))?;
        let skips_verification = docker.and_then(|docker| docker.get("SkipTLSVerify")) == Some(&Value::Bool(true));
        let tls = TlsFiles::in_folder(&tls_folder(&contexts, &id), false)?;

        let origin = format!("context '{name}'");
        let wants_tls = skips_verification || !tls.is_empty();
        let (address, secure) = address::parse(host, wants_tls)
            .map_err(|fault| ConnectionError::Address { origin: origin.clone(), fault })?;
        Ok(Self { address, tls: secure.then_some(tls), origin })
    }
}

fn name_in_use(env: &BTreeMap<String, String>) -> Result<Option<String>, ConnectionError> {
    if let Some(name) = set(env, "DOCKER_CONTEXT") {
        return Ok(Some(name.to_owned()));
    }
    let Some(path) = docker_config::main_file(env) else { return Ok(None) };
    let config = docker_config::read(&path)?.unwrap_or_default();
    let name = config.get("currentContext").and_then(Value::as_str).filter(|name| !name.is_empty());
    Ok(name.map(str::to_owned))
}

fn tls_folder(contexts: &Utf8Path, id: &str) -> Utf8PathBuf {
    contexts.join("tls").join(id).join("docker")
}

/// What the folders of a context are called.
fn id_of(name: &str) -> String {
    Sha256::digest(name).iter().fold(String::new(), |mut id, byte| {
        // Cannot fail: it writes to memory.
        write!(id, "{byte:02x}").unwrap_or_default();
        id
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Option<Context>, ConnectionError> {
        let folder = tempfile::tempdir().unwrap();
        let folder = Utf8Path::from_path(folder.path()).unwrap();
        for (path, text) in files {
            let path = folder.join(path.replace("PROD", &id_of("prod")));
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        let variables = variables.iter().copied().chain([("DOCKER_CONFIG", folder.as_str())]);
        Context::in_use(&variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    const PROD: (&str, &str) = ("config.json", r#"{"currentContext": "prod"}"#);
    const META: &str = "contexts/meta/PROD/meta.json";

    #[test]
    fn the_folder_of_a_context_has_the_docker_commands_name() {
        assert_eq!(id_of("prod"), "6754af9632a2745e85c293e5aac0863370d9bd3330b9938c00cadfd215227d77");
    }

    #[test]
    fn a_context_in_use_names_the_engine() {
        let plain = r#"{"Name": "prod", "Endpoints": {"docker": {"Host": "tcp://prod:1", "SkipTLSVerify": false}}}"#;
        let skipping = plain.replace("false", "true");
        let ca = ("contexts/tls/PROD/docker/ca.pem", "");
        for (files, tls) in [
            (&[PROD, (META, plain)][..], None),
            (&[PROD, (META, plain), ca][..], Some(true)),
            (&[PROD, (META, &skipping)][..], Some(false)),
        ] {
            let context = with(files, &[]).unwrap().unwrap();
            assert_eq!(context.address, Address::Tcp { authority: "prod:1".to_owned() });
            assert_eq!(context.tls.map(|tls| tls.ca.is_some()), tls);
            assert_eq!(context.origin, "context 'prod'");
        }
    }

    #[test]
    fn no_context_and_the_default_one_are_the_same() {
        for (files, variables) in [
            (&[][..], &[][..]),
            (&[("config.json", "{}")][..], &[][..]),
            (&[PROD][..], &[("DOCKER_CONTEXT", "default")][..]),
        ] {
            assert!(with(files, variables).unwrap().is_none());
        }
    }

    #[test]
    fn a_context_that_names_no_engine_is_told() {
        let error = |files: &[(&str, &str)]| with(files, &[]).unwrap_err();
        assert!(matches!(error(&[PROD]), ConnectionError::NoContext(name) if name == "prod"));
        assert!(matches!(error(&[PROD, (META, "{}")]), ConnectionError::NoHost(name) if name == "prod"));
        assert!(matches!(error(&[PROD, (META, "x")]), ConnectionError::ConfigFile(_)));
        let ssh = r#"{"Endpoints": {"docker": {"Host": "ssh://me@host"}}}"#;
        let error = error(&[PROD, (META, ssh)]);
        assert_eq!(error.to_string(), "the engine's address in context 'prod' cannot be used");
        assert!(error.hint().unwrap().contains("ssh -nNT -L"), "{error:?}");
    }
}
