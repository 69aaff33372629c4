//! From the manifest of a job configuration to the Job that is asked of the API server, in Prefect's order. Pure.

mod command;
mod env;
mod generate_name;
mod labels;
mod misplaced;
mod native_code;
mod parts;
mod references;
pub(crate) mod secrets;
pub(crate) mod slug;
mod validate;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use worker_core::policy::Requested;
use worker_core::spec::RunSpec;
use worker_core::texts::collect_texts;

use crate::fields::{DEFAULT_NAMESPACE, KubernetesFields};
use crate::marks::Marks;
use crate::plan_error::PlanError;
use crate::rbac::is_namespace_name;
use crate::requested;
use crate::settings::KubernetesSettings;
pub(crate) use command::is_default as is_default_command;
use env::Variable;
use native_code::NativeCode;
use secrets::{PlannedSecret, SharedSecret};

/// Shorter texts of a block occur elsewhere by chance.
const SHORTEST_TELLING: usize = 6;
/// Of the block that describes the cluster only tokens and certificates tell something: the rest are names and addresses.
const SHORTEST_TELLING_OF_CLUSTER: usize = 16;

/// Texts that are in the Job of every run.
const EVERY_JOB: [&str; 5] = ["prefect-job", "prefecthq/prefect", "flow-run", "execute", "IfNotPresent"];

/// A Job and what is made with it. Holds secrets.
pub(crate) struct Manifest {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) job: Value,
    pub(crate) secret: Option<PlannedSecret>,
    pub(crate) shared_api_key: Option<SharedSecret>,
    /// What of it a policy may restrict.
    pub(crate) requested: Requested,
    pub(crate) warnings: Vec<String>,
}

/// The Job of a run. `marks` is told whether Prefect's supervisor runs in the container and whether the Job has a Secret, and
/// decides whether Kubernetes removes the Job by itself.
pub(crate) fn make(
    settings: &KubernetesSettings,
    fields: &KubernetesFields,
    default_image: &str,
    spec: &RunSpec,
    marks: impl FnOnce(Removal<'_>, bool, bool) -> Marks,
) -> Result<(Manifest, Marks), PlanError> {
    let mut job = fields.job_manifest.clone();
    validate::complete(&mut job, &fields.namespace)?;
    let namespace = namespace(&mut job, &fields.namespace)?;
    let mut variables = environment(&mut job, spec)?;
    let code = NativeCode::of(settings, fields, spec)?;
    let container = parts::container(&mut job)?;
    if container.get("image").is_none_or(is_nothing) {
        container.insert("image".to_owned(), Value::from(default_image));
    }
    let is_default = command::set_args(container, spec.command.as_deref(), code.is_some())?;
    if let Some(code) = code.as_ref().filter(|_| is_default) {
        code.say_to_the_engine(&mut variables);
    }
    let cancels_itself = command::cancels_itself(container);
    let telling = telling_texts(spec, fields);
    let mut warnings: Vec<String> = told_by_manifest(&job, &fields.annotations, &telling).into_iter().collect();

    let (labels, annotations) = (labels::of_run(&spec.labels), &fields.annotations);
    let metadata = parts::metadata(&mut job)?;
    labels::merge_labels(parts::object(metadata, "labels", "/metadata/labels")?, &labels);
    labels::merge_annotations(parts::object(metadata, "annotations", "/metadata/annotations")?, annotations);
    let annotations = labels::annotations_of(metadata);
    let name = name(metadata, spec);
    label_pod(&mut job, &labels, &annotations)?;
    misplaced::correct(&mut job)?;

    if fields.native_code && code.is_none() {
        warnings.push(native_code::NOTHING_TO_BRING.to_owned());
    }
    if misplaced::executes_often(&job) {
        warnings.push("the manifest asks for more than one pod: each of them executes the run".to_owned());
    }
    // Before what the worker adds itself.
    let mut requested = requested::of_job(&job);
    requested.namespaces.insert(namespace.clone());
    requested.environment.extend(names_of_users(&variables, spec));
    requested::of_run(&mut requested, &variables.iter().filter_map(Variable::elsewhere).collect::<Vec<_>>(), fields);
    requested::mask_commands(&mut requested, &telling);
    let secret_name = secrets::secret_name(&spec.key);
    let hidden = secrets::hide(settings, spec, &telling, variables, &secret_name)?;
    warnings.extend(hidden.warnings);
    let has_secret = !hidden.secret.is_empty();
    put_environment(&mut job, hidden.variables, hidden.takes_all.then_some(secret_name.as_str()))?;
    if let Some(code) = code {
        code.put(&mut job)?;
    }
    let marks = marks(Removal(parts::job_spec(&mut job)?), cancels_itself, has_secret);
    warnings.extend(removed_at_once(parts::job_spec(&mut job)?));
    mark(&mut job, settings, &marks)?;

    let labels = || [labels::managed_by()].into_iter().chain(marks.labels(settings.owner.mark())).collect();
    let secret = (!hidden.secret.is_empty()).then(|| PlannedSecret {
        name: secret_name.clone(),
        labels: labels(),
        variables: hidden.secret,
    });
    let shared_api_key = hidden.shared_api_key;
    let manifest = Manifest { namespace, name, job: Value::Object(job), secret, shared_api_key, requested, warnings };
    Ok((manifest, marks))
}

/// The names of variables that the configuration or the manifest has, and the worker not by itself.
fn names_of_users<'v>(variables: &'v [Variable], spec: &RunSpec) -> impl Iterator<Item = String> + use<'v> {
    let own: BTreeSet<String> = spec.env.keys().filter(|name| !spec.configured_env.contains(*name)).cloned().collect();
    let is_users = move |name: &&String| !own.contains(*name) && !env::OF_THE_WORKER.contains(&name.as_str());
    variables.iter().map(|variable| &variable.name).filter(is_users).cloned()
}

/// How Kubernetes removes a Job that is over.
pub(crate) struct Removal<'j>(&'j mut Map<String, Value>);

impl Removal<'_> {
    const TTL: &'static str = "ttlSecondsAfterFinished";

    /// Whether the manifest says that Kubernetes removes it.
    pub(crate) fn is_set(&self) -> bool {
        self.0.get(Self::TTL).is_some_and(|ttl| !ttl.is_null())
    }

    /// Has Kubernetes remove it after this time.
    pub(crate) fn set(&mut self, seconds: u64) {
        self.0.insert(Self::TTL.to_owned(), Value::from(seconds));
    }
}

fn removed_at_once(job_spec: &Map<String, Value>) -> Option<String> {
    (job_spec.get(Removal::TTL)?.as_u64()? == 0).then(|| {
        "with a `finished_job_ttl` of 0 Kubernetes removes the Job as soon as it is over: how it ended may stay unknown"
            .to_owned()
    })
}

/// A namespace written into the manifest counts where the job variable says nothing. It becomes a part of paths, so it is one.
fn namespace(job: &mut Map<String, Value>, variable: &str) -> Result<String, PlanError> {
    let metadata = parts::metadata(job)?;
    let of_manifest = metadata.get("namespace").and_then(Value::as_str).filter(|namespace| !namespace.is_empty());
    let namespace = match of_manifest {
        Some(manifest) if manifest == variable || variable == DEFAULT_NAMESPACE => manifest.to_owned(),
        Some(manifest) => {
            let (manifest, variable) = (manifest.to_owned(), variable.to_owned());
            return Err(PlanError::Namespaces { manifest, variable });
        }
        None => variable.to_owned(),
    };
    if !is_namespace_name(&namespace) {
        let expected = "a name of lower-case letters, digits and dashes, of 63 characters at most";
        return Err(PlanError::Field { field: "namespace", expected });
    }
    metadata.insert("namespace".to_owned(), Value::from(namespace.as_str()));
    Ok(namespace)
}

fn environment(job: &mut Map<String, Value>, spec: &RunSpec) -> Result<Vec<Variable>, PlanError> {
    let of_manifest = parts::container(job)?.remove("env");
    Ok(env::variables(spec, parts::job_spec(job)?, of_manifest.as_ref()))
}

fn name(metadata: &mut Map<String, Value>, spec: &RunSpec) -> String {
    let name = generate_name::job_name(&generate_name::base(metadata, &spec.name), &spec.key);
    metadata.shift_remove("generateName");
    metadata.insert("name".to_owned(), Value::from(name.as_str()));
    name
}

fn label_pod(
    job: &mut Map<String, Value>,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> Result<(), PlanError> {
    let metadata = parts::pod_metadata(job)?;
    labels::merge_labels(parts::object(metadata, "labels", "/spec/template/metadata/labels")?, labels);
    if !annotations.is_empty() || metadata.contains_key("annotations") {
        let of_pod = parts::object(metadata, "annotations", "/spec/template/metadata/annotations")?;
        labels::merge_annotations(of_pod, annotations);
    }
    Ok(())
}

/// Over whatever users say: by these the worker finds the Job again.
fn mark(job: &mut Map<String, Value>, settings: &KubernetesSettings, marks: &Marks) -> Result<(), PlanError> {
    let labels = marks.labels(settings.owner.mark());
    let (annotation, text) = marks.annotation().map_err(PlanError::Unreadable)?;
    let metadata = parts::metadata(job)?;
    labels::merge_labels(parts::object(metadata, "labels", "/metadata/labels")?, &labels);
    parts::object(metadata, "annotations", "/metadata/annotations")?.insert(annotation, Value::from(text));
    labels::merge_labels(
        parts::object(parts::pod_metadata(job)?, "labels", "/spec/template/metadata/labels")?,
        &labels,
    );
    Ok(())
}

fn put_environment(
    job: &mut Map<String, Value>,
    variables: Vec<Variable>,
    all_of: Option<&str>,
) -> Result<(), PlanError> {
    let container = parts::container(job)?;
    container.insert("env".to_owned(), variables.into_iter().map(Variable::into_entry).collect());
    let Some(secret) = all_of else { return Ok(()) };
    let reference = json!({ "secretRef": { "name": secret } });
    match container.get_mut("envFrom") {
        Some(Value::Array(sources)) => sources.push(reference),
        _ => drop(container.insert("envFrom".to_owned(), json!([reference]))),
    }
    Ok(())
}

/// Texts of blocks whose appearance somewhere is no chance.
pub(crate) fn telling_texts<'s>(spec: &'s RunSpec, fields: &KubernetesFields) -> BTreeSet<&'s str> {
    let mut of_cluster = BTreeSet::new();
    if let Some(cluster) = &fields.cluster_config {
        of_cluster.insert(cluster.context_name.as_str());
        collect_texts(&cluster.config, &mut of_cluster);
    }
    let tells = |text: &&str| {
        let shortest = if of_cluster.contains(text) { SHORTEST_TELLING_OF_CLUSTER } else { SHORTEST_TELLING };
        text.len() >= shortest
    };
    spec.block_texts.iter().map(String::as_str).filter(tells).collect()
}

/// Texts of blocks that the API server shows because they are no variables of the flow's container.
fn told_by_manifest(
    job: &Map<String, Value>,
    annotations: &BTreeMap<String, String>,
    telling: &BTreeSet<&str>,
) -> Option<String> {
    let mut texts: BTreeSet<&str> = annotations.values().map(String::as_str).collect();
    job.values().for_each(|part| collect_texts(part, &mut texts));
    let tells = |secret: &&str| !is_of_every_job(secret) && texts.iter().any(|text| text.contains(*secret));
    telling.iter().find(|secret| tells(secret)).map(|_| {
        "the manifest holds text of a block outside the environment of the flow's container: `kubectl get job` shows it. \
         Hand it over in `env` instead"
            .to_owned()
    })
}

/// Whether a text is in every Job anyway: a block may well say `prefect`.
pub(crate) fn is_of_every_job(text: &str) -> bool {
    EVERY_JOB.iter().any(|of_job| of_job.contains(text))
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("")
}
