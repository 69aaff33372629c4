use std::time::Duration;

use worker_config::{ClientCertificate, LogFormat};

use crate::surroundings::{Surroundings, shown};

#[test]
fn defaults_are_those_of_the_table() {
    let surroundings = Surroundings::new();
    let loaded = surroundings.load();
    let worker = &loaded.settings.worker;
    assert_eq!(worker.process.python, None);
    assert_eq!(worker.process.kill_grace, Duration::from_secs(30));
    assert_eq!(worker.shutdown.grace, Duration::from_secs(10));
    assert_eq!(worker.cancellation_poll, Duration::from_secs(10));
    assert_eq!(worker.log.format, LogFormat::Auto);
    assert!(worker.client_certificate.is_none() && !worker.wait_for_api);
    assert!(worker.start.name.is_none() && !worker.start.run_once && !worker.start.with_healthcheck);
    assert!(loaded.settings.pools.is_empty());
    for key in worker_config::KEYS.iter().filter(|key| key.dotted != "state.dir") {
        let default = key.default.map(|default| default.trim_matches('"').to_owned());
        assert_eq!(shown(&loaded, key.dotted), default, "{}", key.dotted);
    }
}

#[test]
fn what_a_file_may_not_hold_is_refused_with_its_line() {
    let cases = [
        ("[process]\npyton = 'x'\n", ":2: unknown key `process.pyton`, did you mean `process.python`?"),
        ("\n[shutdwn]\n", ":2: unknown key `shutdwn`, did you mean `shutdown`?"),
        ("[zzz]\n", ":1: unknown key `zzz`"),
        ("x = 1\n[zzz.y]\n", "unknown key `x`"),
        ("process = 5\n", ":1: `process` must be a table"),
        ("[[pool]]\nname = 'a'\nlimt = 3\n", ":3: unknown key `pool.limt`, did you mean `pool.limit`?"),
        ("pool = 'a'\n", ":1: `pool` must be tables, written `[[pool]]`"),
        (
            "[process]\nkill_grace_seconds = '30'\n",
            ":2: `process.kill_grace_seconds` must be a number of seconds, not a string",
        ),
        (
            "[process]\n\nkill_grace_seconds = -1\n",
            ":3: `process.kill_grace_seconds` must be a number of seconds, not negative, not `-1`",
        ),
        ("[cancellation]\npoll_seconds = 0\n", ":2: `cancellation.poll_seconds` must be more than 0 seconds"),
        ("[start]\nlimit = 0\n", ":2: `start.limit` must be at least 1, not `0`"),
        ("[start]\nlimit = 1.5\n", ":2: `start.limit` must be a whole number, not a number with a fraction"),
        ("[start]\npool = 'a'\n", ":2: `start.pool` must be an array of strings, not a string"),
        (
            "[start]\npool = ['a/b/c']\n",
            ":2: `start.pool` must hold names without `/` and `%`, or WORKSPACE/NAME, not `a/b/c`",
        ),
        (
            "[start]\npool = ['a/b']\n",
            ":2: `start.pool` names a workspace that has no `[[workspace]]` table: `a`. In `a/b` the slash",
        ),
        ("[start]\nname = '50%'\n", ":2: `start.name` must not contain `/` or `%`, not `50%`"),
        ("[start]\nrun_once = 'yes'\n", ":2: `start.run_once` must be a boolean, not a string"),
        ("[shutdown]\nruns = 'keep'\n", ":2: `shutdown.runs` must be one of auto, leave, wait, stop, not `keep`"),
        ("[start]\nrerun_on = ['bug']\n", ":2: `start.rerun_on` must hold words of preempted, oom"),
        ("[admission]\nstarts_per_second = 0\n", ":2: `admission.starts_per_second` must be at least 1"),
        ("[log]\nformat = 'xml'\n", ":2: `log.format` must be one of auto, human, json, not `xml`"),
        ("[log]\nlevel = 'info,x=loud'\n", ":2: `log.level` must be error, warn"),
        ("[api]\nclient_cert = 'c.pem'\n", ":2: `api.client_cert` needs `api.client_key` as well"),
        ("[start\n", ":1: not valid TOML"),
    ];
    for (text, message) in cases {
        let surroundings = Surroundings::new().file("cwd/worker.toml", text);
        let errors = surroundings.try_load().unwrap_err().to_string();
        let path = surroundings.path("cwd/worker.toml");
        assert!(errors.starts_with(path.as_str()), "{errors}");
        assert!(errors.contains(message), "{errors}");
    }
}

#[test]
fn a_variable_that_cannot_be_used_is_refused_by_name() {
    let problem = Surroundings::new().env("WORKER_START_LIMIT", "-3").problem();
    assert_eq!(problem, "environment WORKER_START_LIMIT: `start.limit` must be at least 1, not `-3`");
    let problem = Surroundings::new().flag("start.limit", "many", "--limit").problem();
    assert_eq!(problem, "--limit: `start.limit` must be a whole number, not `many`");
    let problem = Surroundings::new().flag("start.lmt", "1", "--limit").problem();
    assert_eq!(problem, "--limit: there is no setting `start.lmt`");
}

#[test]
fn a_misspelt_variable_is_a_warning_and_foreign_ones_are_left_alone() {
    let loaded = Surroundings::new()
        .env("WORKER_START_LIMT", "3")
        .env("WORKER_SERVICE_HOST", "10.0.0.1")
        .env("WORKER_PORT_8080_TCP", "tcp://10.0.0.1:8080")
        .load();
    assert_eq!(
        loaded.warnings,
        ["environment WORKER_START_LIMT: `WORKER_START_LIMT` is no setting, did you mean `WORKER_START_LIMIT`?"]
    );
}

#[test]
fn a_relative_path_counts_from_its_file_or_from_the_working_directory() {
    let surroundings = Surroundings::new().file(
        "etc/worker/worker.toml",
        "[api]\nclient_cert = 'tls/c.pem'\nclient_key = '~/c.key'\n[process]\npython = 'venv/bin/python'\n",
    );
    let worker = surroundings.load().settings.worker;
    let expected = ClientCertificate {
        certificate: surroundings.path("etc/worker/tls/c.pem"),
        key: surroundings.path("home/c.key"),
    };
    assert_eq!(worker.client_certificate, Some(expected));
    assert_eq!(worker.process.python.unwrap(), surroundings.path("etc/worker/venv/bin/python").as_str());

    let surroundings = surroundings.env("WORKER_PROCESS_PYTHON", "python3.12").env("WORKER_STATE_DIR", "state");
    let worker = surroundings.load().settings.worker;
    assert_eq!(worker.process.python.as_deref(), Some("python3.12"));
    assert_eq!(worker.state_dir, surroundings.path("cwd/state"));
}

#[test]
fn the_state_directory_is_systemds_or_xdgs_or_below_home() {
    let mut surroundings = Surroundings::new();
    let state_dir = |s: &Surroundings| s.load().settings.worker.state_dir;
    assert_eq!(state_dir(&surroundings), surroundings.path("home/.local/state/worker"));
    surroundings = surroundings.env("XDG_STATE_HOME", "/xdg");
    assert_eq!(state_dir(&surroundings), "/xdg/worker");
    surroundings = surroundings.env("STATE_DIRECTORY", "/var/lib/one:/var/lib/two");
    assert_eq!(state_dir(&surroundings), "/var/lib/one");

    let mut homeless = Surroundings::new();
    homeless.from.home_directory = None;
    assert_eq!(state_dir(&homeless), "/var/lib/worker");
}
