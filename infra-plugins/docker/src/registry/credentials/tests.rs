use std::error::Error as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use camino::Utf8Path;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// A worker with a Docker configuration and one credential helper, `docker-credential-fake`.
struct Worker {
    _folder: TempDir,
    env: BTreeMap<String, String>,
}

impl Worker {
    fn new(config: &str, helper: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(folder.path()).unwrap();
        fs_err::create_dir(path.join(".docker")).unwrap();
        fs_err::write(path.join(".docker/config.json"), config).unwrap();
        let program = path.join("docker-credential-fake");
        fs_err::write(&program, format!("#!/bin/sh\n{helper}\n")).unwrap();
        fs_err::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
        let env = [("HOME", path.to_string()), ("PATH", format!("/bin:/usr/bin:{path}"))];
        Self { _folder: folder, env: env.map(|(name, value)| (name.to_owned(), value)).into() }
    }

    async fn credentials(&self, image: &str) -> Result<Option<DockerCredentials>, CredentialsError> {
        credentials_for(&ImageReference::parse(image).unwrap(), Some(&block()), &self.env).await
    }
}

fn block() -> RegistryBlock {
    let [username, password, registry_url] = ["block", "pw", "https://block.example.com/v2/"].map(str::to_owned);
    RegistryBlock { username, password, registry_url }
}

fn with_helper(helper: &str) -> Worker {
    let config = json!({"credsStore": "fake", "auths": {"filed": {"username": "filed", "password": "pw"}}});
    Worker::new(&config.to_string(), helper)
}

/// Tells the server that it is asked for as the user.
const ANSWERS: &str = r#"[ "$1" = get ] && printf '{"ServerURL":"x","Username":"%s","Secret":"hunter2"}' "$(cat)""#;

#[tokio::test]
async fn the_block_goes_before_the_configuration_and_a_helper_before_entries() {
    let worker = with_helper(ANSWERS);
    for (image, user) in [
        ("block.example.com/flows", "block"),
        ("other.example.com:5000/flows", "other.example.com:5000"),
        ("python", "https://index.docker.io/v1/"),
        ("filed.example.com/flows", "filed.example.com"),
    ] {
        let found = worker.credentials(image).await.unwrap().unwrap();
        assert_eq!(found.username.as_deref(), Some(user));
    }
}

#[tokio::test]
async fn what_a_helper_does_not_know_may_be_in_the_configuration() {
    let config = json!({"credsStore": "fake", "auths": {"https://filed:1/": {"username": "filed", "password": "pw"}}});
    let empty = r#"echo '{"ServerURL":"","Username":"","Secret":""}'"#;
    for helper in ["echo 'credentials not found in native keychain'; exit 1", empty] {
        let worker = Worker::new(&config.to_string(), helper);
        assert_eq!(worker.credentials("python").await.unwrap(), None);
        let filed = worker.credentials("filed:1/flows").await.unwrap().unwrap();
        assert_eq!(filed.username.as_deref(), Some("filed"));
    }
}

#[tokio::test]
async fn a_token_of_a_helper_is_no_password() {
    let worker = with_helper(r#"echo '{"Username":"<token>","Secret":"tok"}'"#);
    let found = worker.credentials("python").await.unwrap().unwrap();
    assert_eq!((found.username, found.password, found.identitytoken.as_deref()), (None, None, Some("tok")));
}

#[tokio::test(start_paused = true)]
async fn a_helper_that_hangs_is_given_up() {
    let error = with_helper("exec sleep 60").credentials("python").await.unwrap_err();
    assert_eq!(error.source().unwrap().to_string(), "it gave no answer within 20 s");
}

#[tokio::test]
async fn a_helper_that_fails_is_named_and_what_it_wrote_is_not_shown() {
    for (helper, why) in [
        ("echo hunter2; exit 3", "it failed with exit status: 3"),
        ("echo hunter2", "its answer cannot be read"),
        (r#"echo '{"Username": 1, "Secret": "hunter2"}'"#, "its answer cannot be read"),
    ] {
        let error = with_helper(helper).credentials("python").await.unwrap_err();
        assert_eq!(error.to_string(), "credential helper `docker-credential-fake` fails for registry docker.io");
        assert_eq!(error.source().unwrap().to_string(), why);
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    for name in ["none", "../docker-credential-fake"] {
        let worker = Worker::new(&json!({"credsStore": name}).to_string(), ANSWERS);
        let error = worker.credentials("python").await.unwrap_err();
        assert_eq!(error.source().unwrap().to_string(), "it is not on the PATH of the worker");
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_named_and_none_is_no_error() {
    let auth = json!({"auths": {"docker.io": {"auth": "hunter2"}}}).to_string();
    for config in ["{hunter2", "[]", &auth] {
        let error = Worker::new(config, "").credentials("python").await.unwrap_err();
        assert!(error.to_string().contains("/.docker/config.json"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let image = ImageReference::parse("python").unwrap();
    for home in ["/nowhere", ""] {
        let env = BTreeMap::from([("HOME".to_owned(), home.to_owned())]);
        assert_eq!(credentials_for(&image, None, &env).await.unwrap(), None);
    }
    let nothing: Value = json!({"HttpHeaders": {}, "auths": {"docker.io": {}}});
    assert_eq!(Worker::new(&nothing.to_string(), "").credentials("python").await.unwrap(), None);
}
