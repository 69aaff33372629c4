use std::{num::NonZeroUsize, time::Duration};

use secrecy::ExposeSecret;
use worker_config::{PoolSettings, WorkspaceSettings};

use crate::surroundings::{Surroundings, origin};

const TABLES: &str = "[start]\nlimit = 5\nwork_queue = ['default']\n\
    [[pool]]\nname = 'gpu'\nlimit = 1\ntype = 'process'\nbase_job_template = 'gpu.json'\n\
    [[pool]]\nname = 'cpu'\nwork_queue = ['high', 'low']\nprefetch_seconds = 60\ncreate_pool_if_not_found = false\n";

fn pool<'p>(pools: &'p [PoolSettings], name: &str) -> &'p PoolSettings {
    pools.iter().find(|pool| pool.name == name).expect("the pool")
}

fn limits(pools: &[PoolSettings]) -> Vec<(&str, Option<usize>)> {
    pools.iter().map(|pool| (pool.name.as_str(), pool.limit.map(NonZeroUsize::get))).collect()
}

#[test]
fn tables_say_what_differs_from_start() {
    let surroundings = Surroundings::new().file("cwd/worker.toml", TABLES);
    let loaded = surroundings.load();
    let pools = &loaded.settings.pools;
    assert_eq!(limits(pools), [("gpu", Some(1)), ("cpu", Some(5))]);

    let gpu = pool(pools, "gpu");
    assert_eq!(gpu.worker_type.as_deref(), Some("process"));
    assert_eq!(gpu.base_job_template, Some(surroundings.path("cwd/gpu.json")));
    assert_eq!(
        (gpu.work_queues.as_slice(), gpu.prefetch),
        (["default".to_owned()].as_slice(), Duration::from_secs(10))
    );
    let cpu = pool(pools, "cpu");
    assert_eq!(cpu.work_queues, ["high", "low"]);
    assert_eq!(cpu.prefetch, Duration::from_mins(1));
    assert!(gpu.create_if_not_found && !cpu.create_if_not_found);
    let set_at = origin(&loaded, "pool.gpu.limit").to_string();
    assert!(set_at.ends_with("cwd/worker.toml:6"), "{set_at}");
}

#[test]
fn flags_choose_pools_and_beat_tables() {
    let names = vec!["gpu".to_owned(), "new".to_owned(), "gpu".to_owned()];
    let surroundings = Surroundings::new().file("cwd/worker.toml", TABLES).flag("start.pool", names, "--pool");
    let pools = surroundings.load().settings.pools;
    assert_eq!(limits(&pools), [("gpu", Some(1)), ("new", Some(5))]);

    let limited = surroundings.flag("start.limit", "9", "--limit").load();
    assert_eq!(limits(&limited.settings.pools), [("gpu", Some(9)), ("new", Some(9))]);
}

#[test]
fn a_variable_lists_pools_by_commas_or_json() {
    for text in ["a, b", r#"["a", "b"]"#] {
        let pools = Surroundings::new().env("WORKER_START_POOL", text).load().settings.pools;
        assert_eq!(limits(&pools), [("a", None), ("b", None)], "{text}");
    }
}

#[test]
fn prefetch_follows_prefect_unless_set() {
    let surroundings = Surroundings::new().env("WORKER_START_POOL", "a").env("PREFECT_WORKER_PREFETCH_SECONDS", "2.5");
    let prefetch = |s: &Surroundings| s.load().settings.pools[0].prefetch;
    assert_eq!(prefetch(&surroundings), Duration::from_millis(2500));
    assert_eq!(prefetch(&surroundings.flag("start.prefetch_seconds", "0", "--prefetch-seconds")), Duration::ZERO);
}

#[test]
fn tables_of_the_last_file_replace_those_of_earlier_ones() {
    let surroundings =
        Surroundings::new().file("etc/worker/worker.toml", TABLES).file("cwd/worker.toml", "[[pool]]\nname = 'only'\n");
    assert_eq!(limits(&surroundings.load().settings.pools), [("only", Some(5))]);
}

#[test]
fn a_table_without_a_name_or_with_one_given_twice_is_refused() {
    let problem = Surroundings::new().file("cwd/worker.toml", "\n[[pool]]\nlimit = 3\n").problem();
    assert!(problem.contains("worker.toml:2: `pool.name` must be given"), "{problem}");
    let twice = "[[pool]]\nname = 'a'\n[[pool]]\nname = 'a'\n";
    let problem = Surroundings::new().file("cwd/worker.toml", twice).problem();
    assert!(problem.contains("worker.toml:3: `pool.name` is given twice: `a`"), "{problem}");
}

const WORKSPACES: &str = "[[workspace]]\nname = 'acme'\napi_url = 'http://acme/api'\napi_key = 'key-of-acme'\n\
    [[workspace]]\nname = 'beta'\nprofile = 'b'\n[[pool]]\nname = 'p'\nworkspace = 'acme'\nlimit = 2\n\
    [[pool]]\nname = 'p'\nworkspace = 'beta'\n[[pool]]\nname = 'p'\n[[pool]]\nname = 'q'\nworkspace = 'beta'\npriority = 1\n";
const PROFILE: &str = "active = 'own'\n[profiles.own]\nPREFECT_API_URL = 'http://own/api'\nPREFECT_API_KEY = 'key-of-own'\n\
    PREFECT_API_SSL_CERT_FILE = '/own.pem'\nPREFECT_CLIENT_CUSTOM_HEADERS = '{\"X-Own\": \"1\"}'\n\
    [profiles.b]\nPREFECT_API_URL = 'http://beta/api'\nPREFECT_API_AUTH_STRING = 'u:password-of-beta'\n\
    PREFECT_LOGGING_LEVEL = 'DEBUG'\n";

#[test]
fn a_workspace_has_its_own_connection_and_nothing_of_another() {
    let surroundings = Surroundings::new()
        .file("home/.prefect/profiles.toml", PROFILE)
        .file("cwd/worker.toml", WORKSPACES)
        .env("PREFECT_API_KEY", "key-of-the-environment")
        .env("PREFECT_LOGGING_TO_API_BATCH_SIZE", "1234567");
    let loaded = surroundings.load();
    let [acme, beta] = loaded.settings.workspaces.as_slice() else { panic!("two workspaces") };
    let of = |workspace: &WorkspaceSettings, variable: &str| {
        workspace.base_environment().get(variable).map(|value| value.expose_secret().to_owned())
    };
    for (workspace, url, key, auth) in
        [(acme, "http://acme/api", "key-of-acme", ""), (beta, "http://beta/api", "", "u:password-of-beta")]
    {
        assert_eq!(of(workspace, "PREFECT_API_URL").as_deref(), Some(url));
        assert_eq!(of(workspace, "PREFECT_API_KEY").as_deref(), Some(key));
        assert_eq!(of(workspace, "PREFECT_API_AUTH_STRING").as_deref(), Some(auth));
        assert_eq!(of(workspace, "PREFECT_API_SSL_CERT_FILE"), None);
        assert_eq!(of(workspace, "PREFECT_CLIENT_CUSTOM_HEADERS"), None);
        assert_eq!(of(workspace, "PREFECT_PROFILES_PATH").as_deref(), Some("/dev/null"));
        assert_eq!(of(workspace, "PREFECT_LOGGING_TO_API_BATCH_SIZE").as_deref(), Some("1234567"));
        assert_eq!(of(workspace, "PREFECT_LOGGING_LEVEL"), None, "a profile gives its connection only");
        assert!(workspace.prefect.client.custom_headers.is_empty());
        assert_eq!(workspace.prefect.api.key.is_some(), !key.is_empty());
    }
    let shown: Vec<String> = loaded.report().iter().filter_map(|setting| setting.value.clone()).collect();
    assert!(!shown.iter().any(|value| value.contains("key-of") || value.contains("password-of")), "{shown:?}");
    let masked = loaded.report().iter().find(|setting| setting.key == "workspace.beta.api_auth_string").unwrap();
    assert_eq!(masked.value.as_deref(), Some("********"));
    assert!(!WorkspaceSettings::may_see("prefect_api_key") && WorkspaceSettings::may_see("PATH"));
}

#[test]
fn a_pool_is_named_with_its_workspace() {
    let surroundings =
        Surroundings::new().file("home/.prefect/profiles.toml", PROFILE).file("cwd/worker.toml", WORKSPACES);
    let pools = surroundings.load().settings.pools;
    let places: Vec<String> = pools.iter().map(PoolSettings::place).collect();
    assert_eq!(places, ["acme/p", "beta/p", "p", "beta/q"]);
    assert_eq!(pools.iter().map(|pool| pool.priority.get()).collect::<Vec<_>>(), [100, 100, 100, 1]);
    let names = vec!["acme/p".to_owned(), "q".to_owned(), "beta/new".to_owned()];
    let chosen = surroundings.flag("start.pool", names, "--pool").load().settings.pools;
    assert_eq!(chosen.iter().map(PoolSettings::place).collect::<Vec<_>>(), ["acme/p", "beta/q", "beta/new"]);
    assert_eq!(limits(&chosen), [("p", Some(2)), ("q", None), ("new", None)]);
}
