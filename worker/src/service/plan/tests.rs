use super::*;

fn install() -> Install {
    Install {
        root: None,
        executable: "/usr/local/bin/worker".into(),
        pools: vec!["reports".to_owned()],
        user: None,
        api_url: None,
        start: true,
    }
}

fn titles(steps: &[Step]) -> Vec<String> {
    steps.iter().map(Step::title).collect()
}

const ACCOUNT_IS_MADE: &str =
    "run systemd-sysusers --inline 'u worker - \"Worker for Prefect work pools\" /var/lib/worker /usr/sbin/nologin'";

#[test]
fn a_machine_gets_the_account_the_units_the_settings_and_a_running_service() {
    let steps = install().steps(&Present::default()).unwrap();
    let wanted = [
        ACCOUNT_IS_MADE,
        "write /etc/systemd/system/worker.service",
        "write /etc/systemd/system/worker@.service",
        "write /etc/worker/worker.toml",
        "write /etc/worker/worker.env",
        "run systemctl daemon-reload",
        "run systemctl enable worker.service",
        "run systemctl restart worker.service",
    ];
    assert_eq!(titles(&steps), wanted);
    let modes: Vec<u32> =
        steps.iter().filter_map(|step| if let Step::Write { mode, .. } = step { Some(*mode) } else { None }).collect();
    assert_eq!(modes, [0o644, 0o644, 0o644, 0o600]);
}

#[test]
fn settings_that_are_there_stay_as_they_are() {
    let [_, _, settings, variables] = Install::files(None);
    let present = Present { files: vec![settings, variables.clone()], ..Present::default() };
    let steps = install().steps(&present).unwrap();
    assert!(titles(&steps).iter().all(|title| !title.contains("/etc/worker/")), "{steps:?}");

    let with_url = Install { api_url: Some("http://h/api".to_owned()), ..install() };
    let refused = with_url.steps(&present).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "/etc/worker/worker.env is there already; write PREFECT_API_URL=http://h/api into it"
    );
    let written = with_url.steps(&Present::default()).unwrap();
    let is_written = |step: &Step| matches!(step, Step::Write { path, text, .. } if *path == variables && text.ends_with("\nPREFECT_API_URL=http://h/api\n"));
    assert!(written.iter().any(is_written), "{written:?}");
}

#[test]
fn an_image_of_a_machine_is_prepared_and_nothing_is_started() {
    let root = Some(Utf8PathBuf::from("/image"));
    let steps =
        Install { root: root.clone(), user: Some("ada".to_owned()), ..install() }.steps(&Present::default()).unwrap();
    let commands: Vec<String> = titles(&steps).into_iter().filter(|title| title.starts_with("run")).collect();
    assert_eq!(commands, ["run systemctl --root=/image enable worker.service"]);
    assert!(titles(&steps).contains(&"write /image/etc/systemd/system/worker.service".to_owned()));

    let present = Present {
        files: Install::files(root.as_deref()).to_vec(),
        instances: vec!["worker@a.service".to_owned()],
        ..Present::default()
    };
    let wanted = [
        "run systemctl --root=/image disable worker.service worker@a.service",
        "remove /image/etc/systemd/system/worker.service",
        "remove /image/etc/systemd/system/worker@.service",
    ];
    assert_eq!(titles(&Uninstall { root }.steps(&present).unwrap()), wanted);
}

#[test]
fn a_machine_is_left_with_its_settings_and_its_runs() {
    let present = Present { files: Install::files(None).to_vec(), ..Present::default() };
    let wanted = [
        "run systemctl stop worker.service 'worker@*.service'",
        "run systemctl disable worker.service",
        "remove /etc/systemd/system/worker.service",
        "remove /etc/systemd/system/worker@.service",
        "run systemctl daemon-reload",
    ];
    assert_eq!(titles(&Uninstall { root: None }.steps(&present).unwrap()), wanted);
    let refused = Uninstall { root: None }.steps(&Present::default()).unwrap_err().to_string();
    assert!(refused.starts_with("there is no /etc/systemd/system/worker.service"), "{refused}");
}

#[test]
fn what_a_package_installed_is_left_to_it() {
    let unit = Utf8PathBuf::from("/usr/lib/systemd/system/worker.service");
    let refused = install().steps(&Present { packaged_unit: Some(unit.clone()), ..Present::default() }).unwrap_err();
    assert_eq!(refused, Refusal::Packaged { unit });
}

#[test]
fn names_that_would_break_a_unit_are_refused() {
    let broken = [
        Install { pools: vec!["a\nUser=root".to_owned()], ..install() },
        Install { pools: vec![String::new()], ..install() },
        Install { user: Some("a b".to_owned()), ..install() },
        Install { api_url: Some("http://h/api\nX=1".to_owned()), ..install() },
    ];
    for asked_for in broken {
        assert!(matches!(asked_for.steps(&Present::default()), Err(Refusal::Name { .. })), "{asked_for:?}");
    }
}
