//! From a deployment to a native pull: the decision, which needs blocks and variables on the way.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};
use worker_core::template::{Reference, Resolution, TemplateError, TemplateProblem, references};

use super::filling::{Fetched, with_environment, with_outputs};
use super::kind::StepKind;
use super::native::{NativePull, NativeStep, add_secrets};
use super::objects::block_of;
use super::storage::StorageDraft;
use super::{DeploymentCode, EngineReason, Entrypoint, Found, RunSite, StepRecord, Upstream};
use crate::steps::Secrets;

/// Code that the worker can bring unless the blocks and variables that it takes show otherwise.
///
/// While [`pending`](Self::pending) names anything, fetch it and [`provide`](Self::provide) it; then
/// [`finish`](Self::finish). Holds secrets, which `Debug` does not print.
pub struct PullDraft {
    steps: Vec<DraftStep>,
    stage: Stage,
    fetched: Fetched,
    entrypoint: Entrypoint,
    site: RunSite,
}

impl fmt::Debug for PullDraft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PullDraft").field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// What the server is asked for first is what the inputs mention, and then the storage blocks that they name.
enum Stage {
    Inputs(Resolution),
    Filled {
        inputs: Vec<Map<String, Value>>,
        pending: Vec<Reference>,
    },
    /// There are no steps.
    Storage(Box<StorageDraft>),
}

#[derive(Debug)]
struct DraftStep {
    record: StepRecord,
    kind: StepKind,
    /// The inputs that take something from an earlier step.
    late: BTreeSet<String>,
}

/// Reads where the code of a deployment is. The error says why it is left to the SDK in the flow's process.
///
/// # Errors
///
/// See [`EngineReason`]: no failure, but the other way of bringing the code.
pub fn plan(code: &DeploymentCode<'_>) -> Result<PullDraft, EngineReason> {
    if !code.site.shares_file_system {
        return Err(EngineReason::SeparateFileSystem);
    }
    let listed = match code.pull_steps {
        None | Some(Value::Null) => &[],
        Some(Value::Array(steps)) => steps.as_slice(),
        Some(_) => return Err(EngineReason::Malformed),
    };
    if listed.is_empty() {
        return of_storage(code);
    }
    let entrypoint = Entrypoint::parse(code.entrypoint, code.site.is_here)?;
    let mut probe = Probe::default();
    let (mut steps, mut inputs) = (Vec::new(), Vec::new());
    for (index, step) in listed.iter().enumerate() {
        let step = step.as_object().ok_or(EngineReason::Malformed)?;
        // The SDK passes over an empty step.
        if !step.is_empty() {
            let (step, filled) = draft_step(index, step, &mut probe, code.site)?;
            steps.push(step);
            inputs.push(Value::Object(filled));
        }
    }
    if steps.is_empty() {
        return Err(EngineReason::Malformed);
    }
    let stage = Stage::Inputs(Resolution::new(Value::Array(inputs))?);
    let mut draft = PullDraft { steps, stage, fetched: Fetched::new(), entrypoint, site: code.site.clone() };
    draft.advance()?;
    Ok(draft)
}

fn of_storage(code: &DeploymentCode<'_>) -> Result<PullDraft, EngineReason> {
    let stage = Stage::Storage(Box::new(StorageDraft::of(code)?));
    let entrypoint = Entrypoint::parse(code.entrypoint, code.site.is_here)?;
    Ok(PullDraft { steps: Vec::new(), stage, fetched: Fetched::new(), entrypoint, site: code.site.clone() })
}

fn draft_step(
    index: usize,
    step: &Map<String, Value>,
    probe: &mut Probe,
    site: &RunSite,
) -> Result<(DraftStep, Map<String, Value>), EngineReason> {
    let (record, kind) = StepRecord::read(index, step)?;
    let inputs = record.own_inputs();
    if let Some(input) = inputs.keys().find(|input| kind.input(input).is_none()) {
        return Err(EngineReason::UnknownInput { step: record.step_name, input: input.clone() });
    }
    kind.check_site(site)?;
    if !site.is_here && inputs.values().any(|value| has_text(value, mentions_environment)) {
        return Err(EngineReason::Elsewhere { step: record.step_name });
    }
    let (filled, late) = probe.fill(&record, kind, site)?;
    let refused = |input: &String| kind.input(input).is_none_or(|input| input.stand_in.is_none());
    if let Some(input) = late.iter().find(|input| refused(input)) {
        return Err(EngineReason::FromEarlierStep { step: record.step_name, input: input.clone() });
    }
    Ok((DraftStep { record, kind, late }, filled))
}

impl PullDraft {
    /// What has to be fetched now; empty when [`finish`](Self::finish) can be called.
    pub fn pending(&self) -> &[Reference] {
        match &self.stage {
            Stage::Inputs(inputs) => inputs.pending(),
            Stage::Filled { pending, .. } => pending,
            Stage::Storage(storage) => &storage.pending,
        }
    }

    /// Takes a block document or a variable; `None` if the server answered that there is none.
    /// Ignored if it is not pending.
    ///
    /// # Errors
    ///
    /// The code is left to the SDK: a block does not exist, for instance, or cannot stand where it is mentioned.
    pub fn provide(&mut self, reference: &Reference, found: Option<Found>) -> Result<(), EngineReason> {
        if !self.pending().contains(reference) {
            return Ok(());
        }
        if let Stage::Storage(storage) = &mut self.stage {
            return storage.provide(found);
        }
        let data = found.map(|found| found.value);
        self.fetched.insert(reference.clone(), data.clone());
        match &mut self.stage {
            Stage::Inputs(inputs) => inputs.provide(reference, data)?,
            Stage::Filled { pending, .. } => pending.retain(|pending| pending != reference),
            Stage::Storage(_) => {}
        }
        self.advance()
    }

    /// Goes on to the storage blocks when the inputs are filled in.
    fn advance(&mut self) -> Result<(), EngineReason> {
        if !matches!(&self.stage, Stage::Inputs(inputs) if inputs.pending().is_empty()) {
            return Ok(());
        }
        let filled = Stage::Filled { inputs: Vec::new(), pending: Vec::new() };
        let Stage::Inputs(resolution) = std::mem::replace(&mut self.stage, filled) else { return Ok(()) };
        let Value::Array(values) = resolution.finish()? else { return Err(EngineReason::Malformed) };
        let (mut inputs, mut pending) = (Vec::new(), Vec::new());
        for (step, values) in self.steps.iter().zip(values) {
            let name = &step.record.step_name;
            if !self.site.is_here && has_text(&values, |text| text.contains("{{")) {
                return Err(EngineReason::Elsewhere { step: name.clone() });
            }
            let values = with_environment(&values, &self.site.environment)?;
            if step.kind == StepKind::PullWithBlock {
                let block = block_of(&values).map_err(|error| EngineReason::of_input(name, error.into()))?;
                if !self.fetched.contains_key(&block) && !pending.contains(&block) {
                    pending.push(block);
                }
            }
            inputs.push(values);
        }
        self.stage = Stage::Filled { inputs, pending };
        Ok(())
    }

    /// What to do, all of which the worker can.
    ///
    /// # Errors
    ///
    /// The code is left to the SDK. Also if something is pending.
    pub fn finish(self) -> Result<NativePull, EngineReason> {
        let mut secrets = Secrets::default();
        for (reference, data) in &self.fetched {
            if let (Reference::Block { .. } | Reference::BlockById(_), Some(data)) = (reference, data) {
                secrets.add(data);
            }
        }
        if let Some(reference) = self.pending().first().cloned() {
            return Err(TemplateError::from(TemplateProblem::NotProvided(reference)).into());
        }
        let (inputs, storage) = match self.stage {
            Stage::Filled { inputs, .. } => (inputs, None),
            Stage::Storage(storage) => (Vec::new(), storage.finish()),
            Stage::Inputs(_) => return Err(EngineReason::Malformed),
        };
        let mut steps = Vec::with_capacity(self.steps.len());
        for (step, mut inputs) in self.steps.into_iter().zip(inputs) {
            add_secrets(step.kind, &inputs, &mut secrets);
            stand_in(&step, &mut inputs);
            steps.push(native_step(step, &inputs, &self.fetched, &self.site)?);
        }
        mark_what_is_read(&mut steps);
        Ok(NativePull { storage, steps, entrypoint: self.entrypoint, site: self.site, fetched: self.fetched, secrets })
    }
}

fn native_step(
    step: DraftStep,
    inputs: &Map<String, Value>,
    fetched: &Fetched,
    site: &RunSite,
) -> Result<NativeStep, EngineReason> {
    let name = &step.record.step_name;
    let planned = step.kind.action(inputs, fetched).map_err(|problem| EngineReason::of_input(name, problem))?;
    if planned.leaves_this_machine(site) {
        return Err(EngineReason::Elsewhere { step: name.clone() });
    }
    let takes_secret = step.late.iter().any(|input| step.kind.input(input).is_some_and(|input| input.is_secret));
    Ok(NativeStep {
        planned,
        kind: step.kind,
        waits: !step.late.is_empty(),
        // For the moment: whether this step itself reads and takes.
        is_read: !step.late.is_empty(),
        may_print_secret: takes_secret,
        record: step.record,
    })
}

/// Tells each step what the later ones do.
fn mark_what_is_read(steps: &mut [NativeStep]) {
    let (mut is_read, mut may_print_secret) = (false, false);
    for step in steps.iter_mut().rev() {
        let (reads, takes) = (step.is_read, step.may_print_secret);
        (step.is_read, step.may_print_secret) = (is_read, may_print_secret);
        is_read |= reads;
        may_print_secret |= takes;
    }
}

/// Puts something that every step takes in the place of what an earlier step will put out.
fn stand_in(step: &DraftStep, inputs: &mut Map<String, Value>) {
    for name in &step.late {
        let stand_in = step.kind.input(name).and_then(|input| input.stand_in);
        if let (Some(stand_in), Some(value)) = (stand_in, inputs.get_mut(name))
            && value.is_string()
        {
            *value = stand_in.into();
        }
    }
}

/// Finds out what an input takes from earlier steps: it differs between two sets of outputs that have nothing in common.
#[derive(Default)]
struct Probe {
    one: Upstream,
    other: Upstream,
}

/// Longer than any position that somebody would take out of an output.
const MARKER_LENGTH: usize = 1024;

impl Probe {
    /// A step's inputs with markers in the place of outputs, and the names of the inputs that have one.
    fn fill(
        &mut self,
        record: &StepRecord,
        kind: StepKind,
        site: &RunSite,
    ) -> Result<(Map<String, Value>, BTreeSet<String>), EngineReason> {
        let one = with_outputs(record.own_inputs(), &self.one, &site.environment)?;
        let other = with_outputs(record.own_inputs(), &self.other, &site.environment)?;
        let late = one.iter().filter(|(input, value)| other.get(*input) != Some(*value));
        let late = late.map(|(input, _)| input.clone()).collect();
        let one_references = references(&Value::Object(one.clone()))?;
        if one_references != references(&Value::Object(other))? {
            return Err(EngineReason::BuiltReference { step: record.step_name.clone() });
        }
        for (upstream, mark) in [(&mut self.one, "A"), (&mut self.other, "B")] {
            let outputs = kind.outputs().iter();
            let outputs = outputs.map(|output| ((*output).to_owned(), Value::String(mark.repeat(MARKER_LENGTH))));
            upstream.add(record.id.as_deref(), outputs.collect());
        }
        Ok((one, late))
    }
}

/// `{{ $NAME }}`.
fn mentions_environment(text: &str) -> bool {
    text.split("{{").skip(1).any(|rest| rest.trim_start().starts_with('$'))
}

fn has_text(value: &Value, is_meant: fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => is_meant(text),
        Value::Array(values) => values.iter().any(|value| has_text(value, is_meant)),
        Value::Object(entries) => entries.values().any(|value| has_text(value, is_meant)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
