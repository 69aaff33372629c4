//! A Kubernetes cluster: the calls that are made to its API server.

mod access;
mod call;
mod calls;
mod known;

pub(crate) use access::AccessError;
pub(crate) use call::{CallError, chain};
pub(crate) use calls::{Cluster, Deletion};
pub(crate) use known::Clusters;
