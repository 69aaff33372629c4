use super::*;

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| Pattern::new(*text)).collect()
}

fn allowing(topic: Topic, allowed: &[&str]) -> Rule {
    let list = List { allow: Some(patterns(allowed)), deny: Vec::new() };
    Rule { name: "only".to_owned(), lists: [(topic, list)].into(), ..Rule::default() }
}

fn denying(topic: Topic, denied: &[&str]) -> Rule {
    let list = List { allow: None, deny: patterns(denied) };
    Rule { name: "none".to_owned(), lists: [(topic, list)].into(), ..Rule::default() }
}

fn subject() -> Subject {
    Subject { kind: "docker".to_owned(), pool: "prod-a".to_owned(), deployment: Some("etl/daily".to_owned()) }
}

fn judge(rule: Rule, requested: &Requested) -> Option<String> {
    let policy = Policy { rules: vec![rule] };
    policy.judge(&subject(), Request::Infrastructure(requested)).refused.map(|objection| objection.why)
}

fn judge_step(rule: Rule, step: &str, source: CodeSource) -> Option<String> {
    let steps = [CodeStep { step: step.to_owned(), source, is_verifiable: false }];
    let policy = Policy { rules: vec![rule] };
    policy.judge(&subject(), Request::Code(&steps)).refused.map(|objection| objection.why)
}

fn set(texts: &[&str]) -> std::collections::BTreeSet<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn what_no_rule_restricts_is_allowed() {
    let requested = Requested { privileges: set(&["privileged"]), ..Requested::default() };
    assert_eq!(Policy::default().judge(&subject(), Request::Infrastructure(&requested)), Judgement::default());
    assert_eq!(judge(allowing(Topic::Images, &["r.test/*"]), &requested), None);
}

#[test]
fn every_image_of_a_run_has_to_be_allowed() {
    let requested = Requested { images: set(&["r.test/a", "r.test/b", "evil.test/c"]), ..Requested::default() };
    let why = judge(allowing(Topic::Images, &["r.test/*"]), &requested).unwrap();
    assert_eq!(why, "the image `evil.test/c` is not among `images.allow`");
    assert_eq!(judge(allowing(Topic::Images, &["r.test/*", "evil.test/c"]), &requested), None);
}

#[test]
fn an_image_has_to_have_its_digest_where_that_is_asked_for() {
    let rule = Rule { name: "pinned".to_owned(), images_by_digest: true, ..Rule::default() };
    let requested = Requested { images: set(&["r.test/a:v1"]), ..Requested::default() };
    assert!(judge(rule, &requested).unwrap().contains("by its digest"));
}

#[test]
fn denied_is_denied_although_it_is_allowed_too() {
    let mut rule = allowing(Topic::Environment, &["*"]);
    rule.lists.get_mut(&Topic::Environment).unwrap().deny = patterns(&["LD_*"]);
    let requested = Requested { environment: set(&["A", "LD_PRELOAD"]), ..Requested::default() };
    let why = judge(rule, &requested).unwrap();
    assert_eq!(why, "the environment variable `LD_PRELOAD` is denied by `LD_*` in `environment.deny`");
}

#[test]
fn an_empty_list_allows_nothing_and_of_a_command_only_the_program_is_told() {
    let requested = Requested { commands: set(&["curl -H token https://x"]), ..Requested::default() };
    let why = judge(allowing(Topic::Commands, &[]), &requested).unwrap();
    assert_eq!(why, "the command `curl ...` is not allowed, because `commands.allow` is empty");
    assert_eq!(judge(allowing(Topic::Commands, &[]), &Requested::default()), None, "the default command is none");
}

#[test]
fn what_has_no_limit_is_beyond_every_bound() {
    let bounds = Bounds { cpu_millis: Some(2000), memory_bytes: Some(8 << 30), run_time_seconds: None };
    let rule = Rule { name: "small".to_owned(), bounds, ..Rule::default() };
    let within = Requested { cpu_millis: Some(2000), memory_bytes: Some(1 << 30), ..Requested::default() };
    assert_eq!(judge(rule.clone(), &within), None);
    let beyond = Requested { memory_bytes: Some(9 << 30), ..within.clone() };
    let why = judge(rule.clone(), &beyond).unwrap();
    assert_eq!(why, "its limit of memory is 9 GiB, and `resources.max_memory` is 8 GiB");
    let unlimited = Requested { cpu_millis: None, ..within };
    assert_eq!(judge(rule, &unlimited).unwrap(), "nothing limits its processors, and `resources.max_cpu` is 2");
}

#[test]
fn a_rule_is_about_the_runs_in_its_scope_and_having_no_deployment_lets_nobody_off() {
    let requested = Requested { privileges: set(&["privileged"]), ..Requested::default() };
    let refused = |scope: Scope, subject: &Subject| {
        let rule = Rule { scope, ..allowing(Topic::Privileges, &[]) };
        Policy { rules: vec![rule] }.judge(subject, Request::Infrastructure(&requested)).refused.is_some()
    };
    let scoped = |kinds: &[&str], pools: &[&str], deployments: &[&str], except: &[&str]| Scope {
        kinds: patterns(kinds),
        pools: patterns(pools),
        deployments: patterns(deployments),
        except_deployments: patterns(except),
    };
    let without = Subject { deployment: None, ..subject() };
    for (scope, of_deployment, of_none) in [
        (scoped(&[], &[], &[], &[]), true, true),
        (scoped(&["kubernetes"], &[], &[], &[]), false, false),
        (scoped(&["docker"], &["prod-*"], &["etl/*"], &[]), true, true),
        (scoped(&[], &["dev-*"], &[], &[]), false, false),
        (scoped(&[], &[], &["other/*"], &[]), false, true),
        (scoped(&[], &[], &[], &["etl/daily"]), false, true),
    ] {
        assert_eq!(refused(scope.clone(), &subject()), of_deployment, "{scope:?}");
        assert_eq!(refused(scope.clone(), &without), of_none, "{scope:?} without a deployment");
    }
}

#[test]
fn code_comes_from_where_it_may_in_any_of_its_spellings() {
    let known = |texts: &[&str]| CodeSource::Known(texts.iter().map(|text| (*text).to_owned()).collect());
    let ours = known(&["https://g.test/ours/r", "g.test/ours/r"]);
    let rule = allowing(Topic::Repositories, &["g.test/ours/*"]);
    assert_eq!(judge_step(rule.clone(), "git_clone", ours), None);
    let why = judge_step(rule.clone(), "git_clone", known(&["https://g.test/evil/r", "g.test/evil/r"])).unwrap();
    assert_eq!(why, "the code's source `https://g.test/evil/r` is not among `repositories.allow`");
    assert_eq!(judge_step(rule, "set_working_directory", CodeSource::None), None);
}

#[test]
fn a_step_that_may_bring_anything_is_allowed_only_by_its_name() {
    let mut rule = allowing(Topic::Repositories, &["g.test/ours/*"]);
    assert!(judge_step(rule.clone(), "steps.script", CodeSource::Unknown).unwrap().contains("from anywhere"));
    let steps = List { allow: Some(patterns(&["steps.script"])), deny: Vec::new() };
    rule.lists.insert(Topic::PullSteps, steps);
    assert_eq!(judge_step(rule.clone(), "steps.script", CodeSource::Unknown), None);
    assert!(judge_step(rule, "evil.step", CodeSource::Unknown).unwrap().contains("`pull_steps.allow`"));
    assert!(judge_step(denying(Topic::PullSteps, &["steps.*"]), "steps.script", CodeSource::Unknown).is_some());
}

#[test]
fn the_first_rule_of_the_file_is_named_and_one_that_only_reports_refuses_nothing() {
    let requested = Requested { privileges: set(&["host_pid"]), ..Requested::default() };
    let named = |name: &str, only_reports: bool| Rule {
        name: name.to_owned(),
        only_reports,
        help: Some("Ask them.".to_owned()),
        ..allowing(Topic::Privileges, &[])
    };
    let policy = Policy { rules: vec![named("a", true), named("b", false), named("c", false)] };
    let judgement = policy.judge(&subject(), Request::Infrastructure(&requested));
    assert_eq!(judgement.reported.iter().map(|objection| objection.rule.as_str()).collect::<Vec<_>>(), ["a"]);
    let refused = judgement.refused.unwrap();
    assert_eq!(
        refused.for_people(),
        "the worker's policy refuses it by the rule `b`: the privilege `host_pid` is not allowed, because \
         `privileges.allow` is empty. Ask them."
    );
}

#[test]
fn code_that_has_to_be_signed_is_code_whose_signature_the_worker_sees() {
    let by = Signers { ssh_allowed_signers: Some("/etc/worker/signers".into()), gpg_keyring: None };
    let rule = Rule { name: "reviewed".to_owned(), signed_by: Some(by.clone()), ..Rule::default() };
    let policy = |rule: &Rule| Policy { rules: vec![rule.clone()] };
    let judge = |rule: &Rule, step: &str, source: CodeSource, is_verifiable: bool| {
        let steps = [CodeStep { step: step.to_owned(), source, is_verifiable }];
        policy(rule).judge(&subject(), Request::Code(&steps)).refused.map(|objection| objection.why)
    };
    let known = || CodeSource::Known(vec!["https://g.test/o/r".to_owned()]);
    let clone = "prefect.deployments.steps.git_clone";
    let script = "prefect.deployments.steps.run_shell_script";
    assert_eq!(judge(&rule, clone, known(), true), None);
    assert_eq!(judge(&rule, "prefect.deployments.steps.set_working_directory", CodeSource::None, false), None);
    let why = judge(&rule, clone, known(), false).unwrap();
    assert!(why.contains("cannot be verified") && why.contains(clone), "{why}");
    assert!(judge(&rule, script, CodeSource::Unknown, false).is_some());

    let list = List { allow: Some(patterns(&["*"])), deny: Vec::new() };
    let naming = Rule { lists: [(Topic::PullSteps, list)].into(), ..rule.clone() };
    assert_eq!(judge(&naming, script, CodeSource::Unknown, false), None, "the rule names the step");
    assert!(judge(&naming, clone, CodeSource::Unknown, false).is_some(), "a clone from nobody knows where");
    assert!(judge(&naming, "prefect_aws.deployments.steps.pull_from_s3", known(), false).is_some());

    let [required] = policy(&rule).signatures(&subject()).try_into().unwrap();
    assert_eq!((required.rule.as_str(), required.only_reports, required.by), ("reviewed", false, by));
    let elsewhere = Rule { scope: Scope { pools: patterns(&["dev-*"]), ..Scope::default() }, ..rule };
    assert!(policy(&elsewhere).signatures(&subject()).is_empty());
}
