//! From merged values to [`WorkerSettings`] and the pools.

use std::{num::NonZeroUsize, time::Duration};

use camino::{Utf8Path, Utf8PathBuf};

use super::{
    file::NamedTable,
    forms,
    keys::{self, Key},
    otlp,
    pool::{self, ForEveryPool, Given},
    run_api_key, sandbox,
    types::{
        AdmissionSettings, AuditSettings, ClientCertificate, CodeSettings, DockerCleanup, DockerSecrets,
        DockerSettings, HoldSlots, KubernetesCleanup, KubernetesSecrets, KubernetesSettings, LogFormat, LogSettings,
        PoolSettings, ProcessEnvironmentMode, ProcessSettings, RunsAtStop, SandboxChoice, SandboxProfile,
        SandboxSettings, ShutdownSettings, StartSettings, WarmStarts, WorkerSettings,
    },
    workspace::WorkspaceSettings,
};
use crate::{
    Origin,
    raw::Raw,
    reading::Reading,
    value::{self, Refusal},
};

/// What the place of the state directory depends on, besides its setting.
pub(crate) struct StateDirectory<'a> {
    /// `STATE_DIRECTORY`, which systemd sets; several are separated by colons.
    pub(crate) systemd: Option<&'a str>,
    pub(crate) xdg_state_home: Option<&'a str>,
    pub(crate) home_directory: Option<&'a Utf8Path>,
}

impl StateDirectory<'_> {
    fn default(&self) -> Utf8PathBuf {
        let absolute = |path: Option<&str>| path.map(Utf8PathBuf::from).filter(|path| path.is_absolute());
        let systemd = self.systemd.and_then(|directories| directories.split(':').next());
        absolute(systemd)
            .or_else(|| absolute(self.xdg_state_home).map(|state| state.join("worker")))
            .or_else(|| self.home_directory.map(|home| home.join(".local/state/worker")))
            .unwrap_or_else(|| Utf8PathBuf::from("/var/lib/worker"))
    }
}

/// Reads this daemon's own settings.
pub(crate) struct WorkerReading<'r, 'a> {
    pub(crate) reading: &'r mut Reading<'a>,
    pub(crate) state_directory: StateDirectory<'r>,
    /// `CREDENTIALS_DIRECTORY`, which systemd sets.
    pub(crate) credentials_directory: Option<&'r str>,
    /// `PREFECT_WORKER_PREFETCH_SECONDS`, in force where no pool says otherwise.
    pub(crate) default_prefetch: Duration,
    /// The workspaces that pools can be in.
    pub(crate) workspaces: &'r [WorkspaceSettings],
}

impl WorkerReading<'_, '_> {
    pub(crate) fn read(
        &mut self,
        tables: &[NamedTable],
        sandboxes: &[NamedTable],
    ) -> (WorkerSettings, Vec<PoolSettings>) {
        let sandbox = self.sandbox();
        let sandbox_profiles = sandbox::profiles(sandboxes, &sandbox, self.reading);
        let mut settings = WorkerSettings {
            process: self.process(),
            sandbox,
            sandbox_profiles,
            docker: self.docker(),
            kubernetes: self.kubernetes(),
            code: self.code(),
            shutdown: self.shutdown(),
            admission: self.admission(),
            wait_for_api: self.boolean(&keys::WAIT_FOR_API, false),
            client_certificate: self.client_certificate(),
            run_api_key: run_api_key::read(self.reading, self.credentials_directory),
            policy_file: self.path(&keys::POLICY_FILE),
            audit: AuditSettings {
                file: self.path(&keys::AUDIT_FILE),
                required: self.boolean(&keys::AUDIT_REQUIRED, false),
            },
            cancellation_poll: self.or(
                &keys::CANCELLATION_POLL,
                value::interval,
                Duration::from_secs(10),
                seconds_text,
            ),
            state_dir: self.state_dir(),
            log: LogSettings {
                format: self.or(&keys::LOG_FORMAT, forms::log_format, LogFormat::Auto, |format| {
                    format!("{format:?}").to_ascii_lowercase()
                }),
                level: self.optional(&keys::LOG_LEVEL, forms::log_level),
            },
            monitoring: self.monitoring(),
            otlp: otlp::read(self.reading),
            start: StartSettings {
                name: None,
                run_once: false,
                with_healthcheck: false,
                sandbox: SandboxChoice::default(),
            },
        };
        let pools = self.start(&mut settings.start, &settings.sandbox_profiles, tables);
        (settings, pools)
    }

    fn process(&mut self) -> ProcessSettings {
        ProcessSettings {
            python: self.python(),
            kill_grace: self.or(&keys::KILL_GRACE, value::seconds, Duration::from_secs(30), seconds_text),
            environment: self.or(&keys::ENVIRONMENT, forms::environment, ProcessEnvironmentMode::Clean, |mode| {
                format!("{mode:?}").to_ascii_lowercase()
            }),
            environment_allow: self.optional_list(&keys::ENVIRONMENT_ALLOW, forms::variables),
            warm: self.or(&keys::WARM, forms::warm, WarmStarts::Off, |warm| match warm {
                WarmStarts::Kept(most) => most.to_string(),
                WarmStarts::Off => "off".to_owned(),
                WarmStarts::Auto => "auto".to_owned(),
            }),
        }
    }

    fn sandbox(&mut self) -> SandboxSettings {
        SandboxSettings {
            user: self.optional(&keys::SANDBOX_USER, value::not_empty),
            max_memory: self.optional(&keys::SANDBOX_MEMORY, forms::memory),
            max_cpu_percent: self.optional(&keys::SANDBOX_CPU, forms::count),
            max_processes: self.optional(&keys::SANDBOX_PROCESSES, forms::count),
            max_open_files: self.optional(&keys::SANDBOX_FILES, forms::count),
            time_limit: self.optional(&keys::SANDBOX_TIME, forms::count),
            private_tmp: self.boolean(&keys::SANDBOX_TMP, false),
            no_new_privileges: self.boolean(&keys::SANDBOX_PRIVILEGES, false),
        }
    }

    fn docker(&mut self) -> DockerSettings {
        DockerSettings {
            host: self.optional(&keys::DOCKER_HOST, value::not_empty),
            cleanup: self.or(&keys::DOCKER_CLEANUP, forms::docker_cleanup, DockerCleanup::Ttl, |cleanup| {
                format!("{cleanup:?}").to_ascii_lowercase()
            }),
            cleanup_ttl: self.or(
                &keys::DOCKER_CLEANUP_TTL,
                forms::whole_seconds,
                Duration::from_hours(1),
                seconds_text,
            ),
            secrets: self.or(&keys::DOCKER_SECRETS, forms::docker_secrets, DockerSecrets::File, |secrets| {
                format!("{secrets:?}").to_ascii_lowercase()
            }),
            image_pull_deadline: self.or(
                &keys::DOCKER_PULL_DEADLINE,
                value::interval,
                Duration::from_mins(5),
                seconds_text,
            ),
        }
    }

    fn kubernetes(&mut self) -> KubernetesSettings {
        let ttl = Duration::from_hours(1);
        let hold_slots = |held: &HoldSlots| match held {
            HoldSlots::UntilEnd => "until_end".to_owned(),
            HoldSlots::UntilSubmitted => "until_submitted".to_owned(),
        };
        KubernetesSettings {
            kubeconfig: self.path(&keys::KUBECONFIG),
            context: self.optional(&keys::KUBERNETES_CONTEXT, value::not_empty),
            secrets: self.or(
                &keys::KUBERNETES_SECRETS_AS,
                forms::kubernetes_secrets,
                KubernetesSecrets::Secret,
                |secrets| format!("{secrets:?}").to_ascii_lowercase(),
            ),
            create_deadline: self.or(&keys::CREATE_DEADLINE, value::seconds, Duration::from_mins(5), seconds_text),
            image_pull_deadline: self.or(
                &keys::KUBERNETES_PULL_DEADLINE,
                value::interval,
                Duration::from_mins(5),
                seconds_text,
            ),
            start_deadline: self.optional_interval(&keys::START_DEADLINE),
            cleanup: self.or(
                &keys::KUBERNETES_CLEANUP,
                forms::kubernetes_cleanup,
                KubernetesCleanup::Keep,
                |cleanup| format!("{cleanup:?}").to_ascii_lowercase(),
            ),
            cleanup_ttl: self.or(&keys::KUBERNETES_CLEANUP_TTL, forms::whole_seconds, ttl, seconds_text),
            hold_slots: self.or(&keys::KUBERNETES_HOLD_SLOTS, forms::hold_slots, HoldSlots::UntilEnd, hold_slots),
            init_image: self.optional(&keys::INIT_IMAGE, value::not_empty),
        }
    }

    fn optional_interval(&mut self, key: &'static Key) -> Option<Duration> {
        self.reading.optional(key.into(), |raw| value::interval(raw).map(Some), seconds_text)
    }

    fn monitoring(&mut self) -> Option<(String, u16)> {
        let parse = |raw: &Raw| forms::address(raw).map(Some);
        self.reading.optional((&keys::MONITORING_LISTEN).into(), parse, |(host, port)| format!("{host}:{port}"))
    }

    fn shutdown(&mut self) -> ShutdownSettings {
        ShutdownSettings {
            runs: self.or(&keys::SHUTDOWN_RUNS, forms::runs_at_stop, RunsAtStop::Auto, |runs| {
                format!("{runs:?}").to_ascii_lowercase()
            }),
            drain_timeout: self.or(&keys::DRAIN_TIMEOUT, value::seconds, Duration::from_secs(15), seconds_text),
            grace: self.or(&keys::SHUTDOWN_GRACE, value::seconds, Duration::from_secs(10), seconds_text),
        }
    }

    fn code(&mut self) -> CodeSettings {
        CodeSettings {
            cache: self.boolean(&keys::CODE_CACHE, true),
            cache_size_mib: self.count(&keys::CODE_CACHE_SIZE, const { NonZeroUsize::new(10 * 1024).unwrap() }),
            cache_age: self.or(
                &keys::CODE_CACHE_AGE,
                forms::whole_seconds,
                Duration::from_hours(30 * 24),
                seconds_text,
            ),
            offline_fallback: self.boolean(&keys::CODE_OFFLINE, false),
            timeout: self.or(&keys::CODE_TIMEOUT, value::interval, Duration::from_mins(30), seconds_text),
        }
    }

    fn admission(&mut self) -> AdmissionSettings {
        AdmissionSettings {
            enabled: self.boolean(&keys::ADMISSION, true),
            max_memory_percent: self.count(&keys::ADMISSION_MEMORY, const { NonZeroUsize::new(90).unwrap() }),
            max_runnable_per_core: self.count(&keys::ADMISSION_RUNNABLE, const { NonZeroUsize::new(4).unwrap() }),
            starts_per_second: self.optional(&keys::STARTS_PER_SECOND, forms::count),
            max_runs: self.optional(&keys::MAX_RUNS, forms::count),
        }
    }

    fn count(&mut self, key: &'static Key, default: NonZeroUsize) -> NonZeroUsize {
        self.or(key, forms::count, default, NonZeroUsize::to_string)
    }

    fn start(
        &mut self,
        start: &mut StartSettings,
        profiles: &[SandboxProfile],
        tables: &[NamedTable],
    ) -> Vec<PoolSettings> {
        let named = self.optional_list(&keys::POOL, forms::places);
        start.name = self.optional(&keys::NAME, forms::name);
        let work_queues = self.names(&keys::WORK_QUEUE);
        let worker_type = self.optional(&keys::TYPE, value::not_empty);
        let prefetch = self.whole_seconds(&keys::PREFETCH);
        let pick_up_events = self.boolean(&keys::PICK_UP_EVENTS, true);
        start.run_once = self.boolean(&keys::RUN_ONCE, false);
        let limit = self.optional(&keys::LIMIT, forms::count);
        start.with_healthcheck = self.boolean(&keys::WITH_HEALTHCHECK, false);
        self.or(&keys::INSTALL_POLICY, forms::install_policy, "prompt".to_owned(), String::clone);
        let base_job_template = self.path(&keys::BASE_JOB_TEMPLATE);
        let create_if_not_found = self.boolean(&keys::CREATE_POOL, true);
        let rerun_on = self.optional_list(&keys::RERUN_ON, forms::rerun_causes);
        let rerun_max = self.count(&keys::RERUN_MAX, NonZeroUsize::MIN);
        let late_policy = self.or(&keys::LATE_POLICY, forms::late_policy, "all".to_owned(), String::clone);
        let late_seconds = self.whole_seconds(&keys::LATE_SECONDS);
        let one = |raw: &Raw| forms::sandbox(raw, profiles);
        start.sandbox.default = self.optional(&keys::POOL_SANDBOX, one);
        start.sandbox.allow = self.optional_list(&keys::POOL_SANDBOX_ALLOW, |raw| forms::sandboxes(raw, profiles));
        let all = ForEveryPool {
            profiles,
            sandbox: self.given(&keys::POOL_SANDBOX, start.sandbox.default.clone()),
            sandbox_allow: self.given(&keys::POOL_SANDBOX_ALLOW, start.sandbox.allow.clone()),
            late_policy: self.given(&keys::LATE_POLICY, late_policy),
            late_seconds: self.given(&keys::LATE_SECONDS, late_seconds),
            worker_type: self.given(&keys::TYPE, worker_type),
            limit: self.given(&keys::LIMIT, limit),
            work_queues: self.given(&keys::WORK_QUEUE, work_queues),
            prefetch: self.given(&keys::PREFETCH, prefetch.unwrap_or(self.default_prefetch)),
            pick_up_events: self.given(&keys::PICK_UP_EVENTS, pick_up_events),
            base_job_template: self.given(&keys::BASE_JOB_TEMPLATE, base_job_template),
            create_if_not_found: self.given(&keys::CREATE_POOL, create_if_not_found),
            rerun_on: self.given(&keys::RERUN_ON, rerun_on),
            rerun_max: self.given(&keys::RERUN_MAX, rerun_max),
        };
        pool::pools(&named, tables, &all, self.workspaces, self.reading)
    }

    fn whole_seconds(&mut self, key: &'static Key) -> Option<Duration> {
        let parse = |raw: &Raw| forms::whole_seconds(raw).map(Some);
        self.reading.optional(key.into(), parse, seconds_text)
    }

    /// A name stays one; what has a `/` is a path, relative to the file that holds it.
    fn python(&mut self) -> Option<String> {
        let key = &keys::PYTHON;
        if self.reading.text(key.variable).is_some_and(|python| python.contains('/')) {
            return self.path(key).map(Utf8PathBuf::into_string);
        }
        self.optional(key, value::not_empty)
    }

    fn client_certificate(&mut self) -> Option<ClientCertificate> {
        let certificate = self.path(&keys::CLIENT_CERT);
        let key = self.path(&keys::CLIENT_KEY);
        match (certificate, key) {
            (Some(certificate), Some(key)) => Some(ClientCertificate { certificate, key }),
            (None, None) => None,
            (Some(_), None) => self.half_a_certificate(&keys::CLIENT_CERT, &keys::CLIENT_KEY),
            (None, Some(_)) => self.half_a_certificate(&keys::CLIENT_KEY, &keys::CLIENT_CERT),
        }
    }

    fn half_a_certificate(&mut self, given: &Key, missing: &Key) -> Option<ClientCertificate> {
        let origin = self.reading.origin(given.variable).cloned().unwrap_or(Origin::Default);
        let reason = format!("needs `{}` as well", missing.dotted);
        self.reading.refuse(given.dotted, origin, reason);
        None
    }

    fn state_dir(&mut self) -> Utf8PathBuf {
        let key = &keys::STATE_DIR;
        if self.reading.text(key.variable).is_some_and(|path| !path.is_empty())
            && let Some(path) = self.path(key)
        {
            return path;
        }
        let default = self.state_directory.default();
        self.reading.list(key.into(), Some(default.to_string()), Origin::Default);
        default
    }

    fn names(&mut self, key: &'static Key) -> Vec<String> {
        self.optional_list(key, forms::names)
    }

    fn optional_list(
        &mut self,
        key: &'static Key,
        parse: impl Fn(&Raw) -> Result<Vec<String>, Refusal>,
    ) -> Vec<String> {
        let parse = |raw: &Raw| {
            let names = parse(raw)?;
            Ok(Some(names).filter(|names| !names.is_empty()))
        };
        let names = self.reading.optional(key.into(), parse, |names| names.join(","));
        names.unwrap_or_default()
    }

    fn boolean(&mut self, key: &'static Key, default: bool) -> bool {
        self.or(key, value::boolean, default, bool::to_string)
    }

    fn path(&mut self, key: &'static Key) -> Option<Utf8PathBuf> {
        self.reading.path(key.into())
    }

    fn or<T>(
        &mut self,
        key: &'static Key,
        parse: impl FnOnce(&Raw) -> Result<T, Refusal>,
        default: T,
        show: impl FnOnce(&T) -> String,
    ) -> T {
        self.reading.or(key.into(), default, parse, show)
    }

    fn optional<T: ToString>(
        &mut self,
        key: &'static Key,
        parse: impl FnOnce(&Raw) -> Result<T, Refusal>,
    ) -> Option<T> {
        self.reading.optional(key.into(), |raw| parse(raw).map(Some), T::to_string)
    }

    fn given<T>(&self, key: &Key, value: T) -> Given<T> {
        let origin = self.reading.origin(key.variable);
        Given { value, is_above_files: origin.is_some_and(Origin::is_above_files) }
    }
}

fn seconds_text(duration: &Duration) -> String {
    duration.as_secs_f64().to_string()
}
