//! The placeholder language of work pools, job variables and pull steps, without I/O.
//!
//! A template is any JSON value whose strings may hold placeholders: `{{ name }}` (a value), `{{ $NAME }}` (an
//! environment variable of the worker), `{{ prefect.blocks.<slug>.<name> }}` and `{{ prefect.variables.<name> }}`.
//! They are filled in three passes, in Prefect's order: [`substitute`] does the first two kinds from values at hand;
//! [`Resolution`] then does blocks and variables, whose data the caller fetches.
//!
//! A pass never scans what it has just put in. Later passes do, so a job variable may hold a block placeholder and a
//! block's data may hold a variable placeholder, but nothing can expand without end.

mod blocks;
mod error;
mod mentions;
mod nesting;
mod path;
mod placeholder;
mod python;
mod reference;
mod resolution;
mod substitute;
mod text;
mod variables;

pub use error::{TemplateError, TemplateProblem};
pub use nesting::MAX_DEPTH;
pub use python::python_str;
pub use reference::{Reference, references};
pub use resolution::Resolution;
pub use substitute::substitute;

pub(crate) use mentions::{Mention, mentions, whole_value};
pub(crate) use nesting::within_bound;
pub(crate) use path::split as split_path;
pub(crate) use python::python_truth;

#[cfg(test)]
mod tests;
