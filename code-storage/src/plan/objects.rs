//! The inputs of the steps that fetch from object stores, and storage blocks.

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde_json::{Map, Value};
use worker_core::template::Reference;

use super::filling::Fetched;
use super::inputs::{InputError, InputProblem, StepInputs};
use crate::objects::{AwsCredentials, AzureCredentials, GcpCredentials, ObjectPull, Placement, Store, Unreadable};

/// A folder of an object store or a directory of this machine, and where its files go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectFetch {
    /// What to fetch.
    pub pull: ObjectPull,
    /// The directory of the working directory to bring it to, if not the working directory itself.
    pub into: Option<Utf8PathBuf>,
    /// What the step puts out besides its directory.
    pub(crate) outputs: Map<String, Value>,
}

impl ObjectFetch {
    pub(super) fn of_s3(inputs: &Map<String, Value>) -> Result<Self, InputProblem> {
        Ok(Self::beside(ObjectPull::of_s3_step(inputs)?, inputs, ["bucket", "folder"]))
    }

    pub(super) fn of_gcs(inputs: &Map<String, Value>) -> Result<Self, InputProblem> {
        Ok(Self::beside(ObjectPull::of_gcs_step(inputs)?, inputs, ["bucket", "folder"]))
    }

    pub(super) fn of_azure(inputs: &Map<String, Value>) -> Result<Self, InputProblem> {
        Ok(Self::beside(ObjectPull::of_azure_step(inputs)?, inputs, ["container", "folder"]))
    }

    /// Into the working directory.
    pub(super) fn here(pull: ObjectPull) -> Self {
        Self { pull, into: None, outputs: Map::new() }
    }

    /// The step puts out some of its inputs.
    fn beside(pull: ObjectPull, inputs: &Map<String, Value>, put_out: [&str; 2]) -> Self {
        let outputs = put_out.iter().filter_map(|name| Some(((*name).to_owned(), inputs.get(*name)?.clone())));
        Self { pull, into: None, outputs: outputs.collect() }
    }

    pub(super) fn of_url(inputs: &Map<String, Value>) -> Result<Self, InputProblem> {
        let url = StepInputs(inputs).required_text("url")?;
        let settings = inputs.iter().filter(|(name, _)| *name != "url");
        let settings = settings.map(|(name, value)| (name.clone(), value.clone())).collect();
        let (pull, into) = ObjectPull::of_url(url, &settings)?;
        Ok(Self { pull, into: Some(into), outputs: Map::new() })
    }

    /// The block has to be among what was fetched: see [`block_of`].
    pub(super) fn of_named_block(inputs: &Map<String, Value>, fetched: &Fetched) -> Result<Self, InputProblem> {
        let reference = block_of(inputs)?;
        let Some(Some(Value::Object(data))) = fetched.get(&reference) else {
            return Err(InputError::new("block_document_name", "is not the name of a block").into());
        };
        let Reference::Block { type_slug, name } = &reference else {
            return Err(Unreadable("its block has no name").into());
        };
        let into = format!("{type_slug}-{name}");
        let mut components = Utf8Path::new(&into).components();
        if !matches!((components.next(), components.next()), (Some(Utf8Component::Normal(only)), None) if only == into)
        {
            return Err(InputError::new("block_document_name", "is not a plain name").into());
        }
        let pull = ObjectPull { placement: Placement::Replace, ..ObjectPull::of_block(type_slug, data, None)? };
        Ok(Self { pull, into: Some(into.into()), outputs: Map::new() })
    }

    /// Whether it depends on the machine: its files, or credentials that the machine has.
    pub(super) fn is_of_the_machine(&self) -> bool {
        match &self.pull.store {
            Store::S3(s3) => matches!(s3.credentials, AwsCredentials::Ambient | AwsCredentials::Profile(_)),
            Store::Gcs(gcs) => matches!(gcs.credentials, GcpCredentials::Ambient | GcpCredentials::File(_)),
            Store::Azure(azure) => matches!(azure.credentials, AzureCredentials::Ambient),
            Store::Local(_) => true,
        }
    }
}

/// The block that `pull_with_block` names.
pub(super) fn block_of(inputs: &Map<String, Value>) -> Result<Reference, InputError> {
    let inputs = StepInputs(inputs);
    let word = |input| inputs.word(input)?.ok_or_else(|| InputError::new(input, "is missing"));
    let (type_slug, name) = (word("block_type_slug")?, word("block_document_name")?);
    Ok(Reference::Block { type_slug: type_slug.to_owned(), name: name.to_owned() })
}
