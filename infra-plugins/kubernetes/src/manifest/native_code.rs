//! Code that an init container brings, in the pod of a run.

use serde_json::{Map, Value, json};
use worker_core::job_configuration::lenient::kind_of;
use worker_core::spec::RunSpec;

use super::env::Variable;
use super::parts;
use crate::fields::KubernetesFields;
use crate::plan_error::PlanError;
use crate::settings::KubernetesSettings;

const VOLUME: &str = "worker-code";
const CONTAINER: &str = "worker-pull";
/// Where the volume is mounted, in both containers.
const FOLDER: &str = "/opt/prefect/worker-code";
/// Where `worker pull` has the code.
const CODE: &str = "/opt/prefect/worker-code/code";
/// The variable by which the engine in the container finds its flow without pulling anything.
pub(super) const FLOW_ENTRYPOINT: &str = "PREFECT__FLOW_ENTRYPOINT";
/// What the container that brings the code has in common with the one that runs it. The limits and rules of a namespace are
/// the same for both.
const SHARED: [&str; 4] = ["env", "envFrom", "resources", "securityContext"];

/// Said where the job variable is set in vain.
pub(crate) const NOTHING_TO_BRING: &str = "`native_code` is set, and the flow's own container runs the pull steps: the worker brings \
                                           code only by steps that it knows, and by none that goes to an absolute directory";

/// What brings the code of a run.
pub(crate) struct NativeCode<'s> {
    image: &'s str,
    run: String,
    entrypoint: &'s str,
}

impl<'s> NativeCode<'s> {
    /// `None` leaves the code to the flow's container.
    pub(crate) fn of(
        settings: &'s KubernetesSettings,
        fields: &KubernetesFields,
        spec: &'s RunSpec,
    ) -> Result<Option<Self>, PlanError> {
        if !fields.native_code {
            return Ok(None);
        }
        let image = settings.init_image.as_deref().ok_or(PlanError::InitImage)?;
        let code = |entrypoint| Self { image, run: spec.key.run.to_string(), entrypoint };
        Ok(spec.entrypoint.as_deref().map(code))
    }

    /// Has the engine load the flow from there.
    pub(crate) fn say_to_the_engine(&self, variables: &mut Vec<Variable>) {
        variables.retain(|variable| variable.name != FLOW_ENTRYPOINT);
        variables.push(Variable::plain(FLOW_ENTRYPOINT, format!("{CODE}/{}", self.entrypoint)));
    }

    /// Puts volume and container into the pod. The flow's container has its environment already.
    pub(crate) fn put(&self, job: &mut Map<String, Value>) -> Result<(), PlanError> {
        let container = parts::container(job)?;
        let mut pull = Map::from_iter([
            ("name".to_owned(), json!(CONTAINER)),
            ("image".to_owned(), json!(self.image)),
            ("command".to_owned(), json!(["worker", "pull", "--flow-run", self.run, "--into", FOLDER])),
            ("volumeMounts".to_owned(), json!([{"name": VOLUME, "mountPath": FOLDER}])),
        ]);
        let shared = SHARED.iter().filter_map(|part| Some(((*part).to_owned(), container.get(*part)?.clone())));
        pull.extend(shared);
        container.insert("workingDir".to_owned(), json!(CODE));
        list(container, "volumeMounts", "/spec/template/spec/containers/0/volumeMounts")?
            .push(json!({"name": VOLUME, "mountPath": FOLDER, "readOnly": true}));
        let pod = parts::pod_spec(job)?;
        list(pod, "volumes", "/spec/template/spec/volumes")?.push(json!({"name": VOLUME, "emptyDir": {}}));
        // Before those of the pool, which may want to see the code.
        list(pod, "initContainers", "/spec/template/spec/initContainers")?.insert(0, Value::Object(pull));
        Ok(())
    }
}

/// A list in an object; made if it is not there.
fn list<'o>(of: &'o mut Map<String, Value>, key: &str, path: &'static str) -> Result<&'o mut Vec<Value>, PlanError> {
    let value = of.entry(key).or_insert(Value::Null);
    if value.is_null() {
        *value = Value::Array(Vec::new());
    }
    let found = kind_of(value);
    value.as_array_mut().ok_or(PlanError::Shape { path, expected: "a list", found })
}
