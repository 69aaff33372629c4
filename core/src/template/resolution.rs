//! Blocks and variables without I/O: says what to fetch, is given it, says what to fetch next.

use std::collections::HashMap;
use std::fmt;

use serde_json::Value;

use super::blocks::resolve_blocks;
use super::reference::variable_references;
use super::variables::resolve_variables;
use super::{Reference, TemplateError, TemplateProblem, references, within_bound};

/// What was fetched; `None` for what the server does not have.
pub(super) type Fetched = HashMap<Reference, Option<Value>>;

/// The block and variable passes over one value.
///
/// While [`pending`](Self::pending) names anything, fetch it and [`provide`](Self::provide) it; then
/// [`finish`](Self::finish). A second round of `pending` comes when a block's data mentions variables. Each reference is
/// asked for once, however often it is mentioned.
///
/// Holds secrets: `Debug` shows only what is pending.
pub struct Resolution {
    value: Value,
    blocks_resolved: bool,
    pending: Vec<Reference>,
    fetched: Fetched,
}

impl Resolution {
    /// Looks for references in `value`.
    ///
    /// # Errors
    /// A malformed reference, or a value that nests too deep.
    pub fn new(value: Value) -> Result<Self, TemplateError> {
        let pending = references(&value)?;
        let blocks_resolved = pending.iter().all(is_variable);
        Ok(Self { value, blocks_resolved, pending, fetched: Fetched::new() })
    }

    /// The value as far as it is filled in.
    pub(crate) fn value(&self) -> &Value {
        &self.value
    }

    /// What has to be fetched now; empty when [`finish`](Self::finish) can be called.
    pub fn pending(&self) -> &[Reference] {
        &self.pending
    }

    /// Takes the data of a block document or the value of a variable; `None` if the server answered that there is none.
    /// Ignored if it is not pending.
    ///
    /// # Errors
    /// A block that does not exist or that cannot stand where it is mentioned (reported once the last pending block is
    /// provided), or data that nests too deep.
    pub fn provide(&mut self, reference: &Reference, data: Option<Value>) -> Result<(), TemplateError> {
        let Some(position) = self.pending.iter().position(|pending| pending == reference) else { return Ok(()) };
        if !data.as_ref().is_none_or(within_bound) {
            return Err(TemplateProblem::TooDeep.into());
        }
        self.fetched.insert(self.pending.remove(position), data);
        if !self.blocks_resolved && self.pending.iter().all(is_variable) {
            self.resolve_blocks()?;
        }
        Ok(())
    }

    /// The value with every block and variable placeholder replaced.
    ///
    /// # Errors
    /// Something is still pending, or the result nests too deep.
    pub fn finish(self) -> Result<Value, TemplateError> {
        if let Some(reference) = self.pending.into_iter().next() {
            return Err(TemplateProblem::NotProvided(reference).into());
        }
        let resolved = resolve_variables(&self.value, &self.fetched);
        if within_bound(&resolved) { Ok(resolved) } else { Err(TemplateProblem::TooDeep.into()) }
    }

    fn resolve_blocks(&mut self) -> Result<(), TemplateError> {
        self.value = resolve_blocks(&self.value, &self.fetched)?;
        self.blocks_resolved = true;
        // A block placeholder inside a block's data is text: it stays, and asks for nothing.
        self.pending = variable_references(&self.value)?;
        self.pending.retain(|reference| !self.fetched.contains_key(reference));
        Ok(())
    }
}

impl fmt::Debug for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolution").field("pending", &self.pending).finish_non_exhaustive()
    }
}

fn is_variable(reference: &Reference) -> bool {
    matches!(reference, Reference::Variable(_))
}
