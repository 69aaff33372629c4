//! What runs may do and what they get of the worker.

use std::num::NonZeroUsize;

use secrecy::ExposeSecret;
use worker_config::{ProcessEnvironmentMode, RunApiKey, SandboxProfile, WarmStarts};

use crate::surroundings::{Surroundings, shown};

#[test]
fn processes_get_a_clean_environment_unless_the_settings_say_otherwise() {
    let process = Surroundings::new().load().settings.worker.process;
    assert_eq!(process.environment, ProcessEnvironmentMode::Clean);
    assert!(process.environment_allow.is_empty());
    let file = "[process]\nenvironment = \"inherit\"\nenvironment_allow = [\"AWS_*\"]\n";
    let process = Surroundings::new().file("etc/worker/worker.toml", file).load().settings.worker.process;
    assert_eq!(process.environment, ProcessEnvironmentMode::Inherit);
    assert_eq!(process.environment_allow, ["AWS_*"]);
}

#[test]
fn runs_start_cold_unless_the_settings_say_how_many_may_start_warm() {
    let warm = |surroundings: Surroundings| surroundings.load().settings.worker.process.warm;
    let of_file =
        |value: &str| Surroundings::new().file("etc/worker/worker.toml", &format!("[process]\nwarm = {value}\n"));
    assert_eq!(warm(Surroundings::new()), WarmStarts::Off);
    assert_eq!(warm(of_file("\"auto\"")), WarmStarts::Auto);
    assert_eq!(warm(of_file("3")), WarmStarts::Kept(NonZeroUsize::new(3).unwrap()));
    assert_eq!(
        warm(Surroundings::new().env("WORKER_PROCESS_WARM", "2")),
        WarmStarts::Kept(NonZeroUsize::new(2).unwrap())
    );
    assert_eq!(shown(&of_file("3").load(), "process.warm").as_deref(), Some("3"));
}

#[test]
fn the_api_key_of_runs_is_a_setting_in_a_file_or_a_credential_and_shows_nowhere() {
    let key = |surroundings: Surroundings| {
        let loaded = surroundings.load();
        assert!(!format!("{loaded:?}{:?}", loaded.report()).contains("pnu_c4n4ry"));
        loaded.settings.worker.run_api_key
    };
    let of_file = |surroundings: Surroundings| match key(surroundings) {
        Some(RunApiKey::File(path)) => path,
        other => panic!("{other:?}"),
    };
    assert!(key(Surroundings::new()).is_none());
    let file = Surroundings::new().env("WORKER_API_RUN_API_KEY_FILE", "key");
    let path = file.path("cwd/key");
    assert_eq!(of_file(file), path);
    let credential = Surroundings::new().file("credentials/run_api_key", "pnu_c4n4ry");
    let directory = credential.path("credentials");
    let credential = credential.env("CREDENTIALS_DIRECTORY", directory.as_str());
    assert_eq!(of_file(credential), directory.join("run_api_key"));
    let given =
        Surroundings::new().env("WORKER_API_RUN_API_KEY", "pnu_c4n4ry").env("WORKER_API_RUN_API_KEY_FILE", "key");
    assert_eq!(shown(&given.load(), "api.run_api_key").as_deref(), Some("********"));
    let Some(RunApiKey::Given(given)) = key(given) else { panic!("not the setting itself") };
    assert_eq!(given.expose_secret(), "pnu_c4n4ry");
}

#[test]
fn a_profile_says_what_differs_from_the_section_and_pools_say_which_they_have() {
    let file = "[sandbox]\nuser = 'flows'\nmax_processes = 100\n\
        [[sandbox_profile]]\nname = 'small'\nmax_memory = '1GiB'\nno_new_privileges = true\n\
        [[sandbox_profile]]\nname = 'big'\nmax_processes = 1000\n\
        [start]\nsandbox = 'small'\n\
        [[pool]]\nname = 'a'\n[[pool]]\nname = 'b'\nsandbox = 'default'\nsandbox_allow = ['small', 'big']\n";
    let loaded = Surroundings::new().file("cwd/worker.toml", file).load();
    let [small, big] = loaded.settings.worker.sandbox_profiles.as_slice() else { panic!("{loaded:?}") };
    assert_eq!((small.name.as_str(), big.name.as_str()), ("small", "big"));
    for profile in [small, big] {
        assert_eq!(profile.sandbox.user.as_deref(), Some("flows"), "what is left out lifts nothing");
    }
    let processes = |profile: &SandboxProfile| profile.sandbox.max_processes.map(NonZeroUsize::get);
    assert_eq!((processes(small), processes(big)), (Some(100), Some(1000)));
    assert_eq!((small.sandbox.max_memory, big.sandbox.max_memory), (Some(1 << 30), None));
    assert!(small.sandbox.no_new_privileges && !big.sandbox.no_new_privileges);
    let [a, b] = loaded.settings.pools.as_slice() else { panic!("{loaded:?}") };
    assert_eq!((a.sandbox.default.as_deref(), a.sandbox.allow.len()), (Some("small"), 0));
    assert_eq!(
        (b.sandbox.default.as_deref(), b.sandbox.allow.as_slice()),
        (Some("default"), ["small".to_owned(), "big".to_owned()].as_slice())
    );
    assert_eq!(shown(&loaded, "sandbox_profile.small.max_memory").as_deref(), Some("1GiB"));

    let small = "[[sandbox_profile]]\nname = 'small'\n";
    for (text, expected) in [
        ("[[sandbox_profile]]\nmax_memory = '1GiB'\n", "`sandbox_profile.name` must be given"),
        ("[[sandbox_profile]]\nname = 'default'\n", "must not be `default`"),
        (&format!("{small}{small}"), "is given twice: `small`"),
        (&format!("{small}max_memory = 'lots'\n"), "`sandbox_profile.small.max_memory` must be an amount of memory"),
        (&format!("{small}memory = '1GiB'\n"), "unknown key `sandbox_profile.memory`"),
        ("[start]\nsandbox = 'small'\n", "names a profile that has no `[[sandbox_profile]]` table: `small`"),
        (
            "[[pool]]\nname = 'p'\nsandbox_allow = ['x']\n",
            "names a profile that has no `[[sandbox_profile]]` table: `x`",
        ),
    ] {
        let problems = Surroundings::new().file("cwd/worker.toml", text).try_load().unwrap_err().to_string();
        assert!(problems.contains(expected), "{text}: {problems}");
    }
}

#[test]
fn runs_of_a_workspace_may_have_a_key_of_their_own() {
    let table = "[[workspace]]\nname = 'acme'\napi_url = 'http://h/api'\n";
    let key = |more: &str| {
        let loaded = Surroundings::new().file("cwd/worker.toml", &format!("{table}{more}")).load();
        assert!(!format!("{loaded:?}{:?}", loaded.report()).contains("pnu_c4n4ry"));
        loaded.settings.workspaces[0].run_api_key.clone()
    };
    assert!(key("").is_none());
    let Some(RunApiKey::Given(given)) = key("run_api_key = 'pnu_c4n4ry'\n") else { panic!("not the key itself") };
    assert_eq!(given.expose_secret(), "pnu_c4n4ry");
    let Some(RunApiKey::File(path)) = key("run_api_key_file = 'key'\n") else { panic!("not a file") };
    assert!(path.ends_with("cwd/key"), "{path}");
    let both = format!("{table}run_api_key = 'k'\nrun_api_key_file = 'key'\n");
    let problems = Surroundings::new().file("cwd/worker.toml", &both).try_load().unwrap_err().to_string();
    assert!(problems.contains("cannot be given together with `run_api_key`"), "{problems}");
}
