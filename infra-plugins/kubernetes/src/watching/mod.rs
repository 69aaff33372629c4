//! What the cluster has of our Jobs and their pods, kept up to date by watches that all runs share.
//!
//! A [`Scope`] (all namespaces, or one) has three watches: Jobs, pods, and warnings about them. They feed one [`Store`]; whoever
//! takes care of a run waits for changes of its Job there. What is missing in the store proves nothing: the caller asks the
//! server itself.

mod feed;
mod scopes;
mod store;

pub(crate) use scopes::{Scope, Scopes};
pub(crate) use store::{JobKey, Subscription, View};
