//! `worker kubernetes`: what a cluster has to be told of the worker.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use worker_config::{KubernetesSecrets, Settings};

use super::settings::Source;
use crate::console;
use crate::registry::kubernetes::{Grant, is_account_name, is_namespace_name};

#[derive(Debug, Subcommand)]
pub(super) enum KubernetesCommand {
    /// Print the roles that a worker needs in a cluster, for `kubectl apply -f -`
    Rbac(RbacArgs),
}

#[derive(Debug, Args)]
pub(super) struct RbacArgs {
    /// Namespace that runs are started in; repeat it for several [default: those the settings watch, else `default`]
    #[arg(long, short = 'n', value_name = "NAMESPACE", value_parser = namespace)]
    namespace: Vec<String>,
    /// Let the worker watch all namespaces, and start runs in any if none is named
    #[arg(long)]
    cluster_wide: bool,
    /// The worker's service account: NAME, or NAMESPACE/NAME if it is not in the first namespace
    #[arg(long, value_name = "NAME", default_value = "worker", value_parser = account)]
    service_account: Account,
    /// The worker keeps secrets in Secrets, which is the default of kubernetes.secrets
    #[arg(long, overrides_with = "without_secrets")]
    with_secrets: bool,
    /// It does not
    #[arg(long)]
    without_secrets: bool,
}

/// A service account as it was named.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Account {
    namespace: Option<String>,
    name: String,
}

/// Used where no namespace is named anywhere, as by `kubectl`.
const DEFAULT_NAMESPACE: &str = "default";

fn namespace(text: &str) -> Result<String, String> {
    let wanted = "a namespace has lower-case letters, digits and `-`";
    is_namespace_name(text).then(|| text.to_owned()).ok_or_else(|| wanted.to_owned())
}

fn account(text: &str) -> Result<Account, String> {
    let (home, name) = match text.split_once('/') {
        Some((home, name)) => (Some(namespace(home)?), name),
        None => (None, text),
    };
    let wanted = "a service account has lower-case letters, digits, `-` and `.`";
    is_account_name(name).then(|| Account { namespace: home, name: name.to_owned() }).ok_or_else(|| wanted.to_owned())
}

pub(super) fn run(command: KubernetesCommand, from: Source) -> ExitCode {
    let KubernetesCommand::Rbac(args) = command;
    let loaded = match from.load(Vec::new()) {
        Ok((loaded, _)) => loaded,
        Err(errors) => {
            errors.complain();
            return ExitCode::FAILURE;
        }
    };
    let grant = grant(args, &loaded.settings);
    console::line(&format!("{}{}", advice(&grant), grant.manifests().trim_end()));
    ExitCode::SUCCESS
}

fn grant(args: RbacArgs, settings: &Settings) -> Grant {
    let watched = &settings.prefect.kubernetes.namespaces;
    let namespaces = match args.namespace {
        named if !named.is_empty() => distinct(named),
        _ if args.cluster_wide => Vec::new(),
        _ if !watched.is_empty() => watched.clone(),
        _ => vec![DEFAULT_NAMESPACE.to_owned()],
    };
    let first = namespaces.first().map_or(DEFAULT_NAMESPACE, String::as_str);
    Grant {
        account_namespace: args.service_account.namespace.unwrap_or_else(|| first.to_owned()),
        service_account: args.service_account.name,
        needs_secrets: args.with_secrets || (!args.without_secrets && keeps_secrets(settings)),
        cluster_wide: args.cluster_wide,
        namespaces,
    }
}

fn keeps_secrets(settings: &Settings) -> bool {
    let prefect = &settings.prefect.kubernetes;
    let own = settings.worker.kubernetes.secrets == KubernetesSecrets::Secret;
    own || prefect.create_secret_for_api_key || prefect.store_env_as_secret
}

fn distinct(names: Vec<String>) -> Vec<String> {
    let mut distinct = Vec::new();
    for name in names {
        if !distinct.contains(&name) {
            distinct.push(name);
        }
    }
    distinct
}

/// Without rights in the whole cluster the worker must not be left to watch it, which is Prefect's default.
fn advice(grant: &Grant) -> String {
    if grant.cluster_wide {
        return String::new();
    }
    format!(
        "# Set this for the worker, which may watch no other namespaces:\n# {}={}\n",
        "PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES",
        grant.namespaces.join(",")
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Cli, Command};
    use super::*;

    fn args(arguments: &str) -> RbacArgs {
        let all = ["worker", "kubernetes", "rbac"].into_iter().chain(arguments.split_whitespace());
        let Command::Kubernetes(KubernetesCommand::Rbac(args)) = Cli::try_parse_from(all).unwrap().command else {
            panic!("another command");
        };
        args
    }

    fn granted(arguments: &str, variables: &[(&str, &str)]) -> Grant {
        let directory = tempfile::tempdir().unwrap();
        let path = camino::Utf8Path::from_path(directory.path()).unwrap().to_owned();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let process = worker_config::ProcessEnvironment { variables, working_directory: path, home_directory: None };
        let loaded = Settings::load(&worker_config::LoadFrom::process(process)).unwrap();
        grant(args(arguments), &loaded.settings)
    }

    #[test]
    fn what_is_not_said_comes_from_the_settings() {
        let plain = granted("", &[]);
        assert_eq!((plain.namespaces.as_slice(), plain.needs_secrets), (["default".to_owned()].as_slice(), true));
        assert_eq!((plain.account_namespace.as_str(), plain.service_account.as_str()), ("default", "worker"));

        let watched = ("PREFECT_INTEGRATIONS_KUBERNETES_OBSERVER_NAMESPACES", "a,b");
        let set = granted("", &[watched, ("WORKER_KUBERNETES_SECRETS", "environment")]);
        assert_eq!(set.namespaces, ["a", "b"]);
        assert!(!set.needs_secrets && set.account_namespace == "a");
        assert!(granted("--cluster-wide", &[watched]).namespaces.is_empty());
    }

    #[test]
    fn what_is_said_goes_before_the_settings() {
        let said = granted("-n x -n x --namespace y --service-account ops/me --without-secrets", &[]);
        assert_eq!(said.namespaces, ["x", "y"]);
        assert_eq!((said.account_namespace.as_str(), said.service_account.as_str()), ("ops", "me"));
        assert!(!said.needs_secrets);
        assert!(granted("--with-secrets", &[("WORKER_KUBERNETES_SECRETS", "environment")]).needs_secrets);
    }

    #[test]
    fn names_that_a_cluster_would_refuse_are_refused() {
        for wrong in ["--namespace=A", "--namespace=a b", "--service-account=a/b/c", "--service-account=X/y"] {
            assert!(Cli::try_parse_from(["worker", "kubernetes", "rbac", wrong]).is_err(), "{wrong}");
        }
    }
}
