//! Real Kubernetes for tests: the machine's cluster, simulated nodes, and control planes that a test may kill.
//!
//! * [`Cluster`]: what `scripts/kubernetes-bed` has prepared: one node whose kubelet runs real pods. All tests use it at once,
//!   so each has [a namespace of its own](Server::namespace).
//! * [`FakeNode`]: a node without a machine, for thousands of pods and for what a real kubelet does not do when it is told to.
//! * [`PrivateControlPlane`]: an API server of its own, without a kubelet, for tests in which it goes away.
//!
//! Both servers are a [`Server`], which has what a test needs of one.
//!
//! What is missing makes a test fail, it is never skipped. What is started ends with the value that stands for it. Everything
//! has a bound.
//!
//! The version is 1.20, the last one that can be had without container images. What newer servers say differently has to be
//! written down by the tests.

#![expect(clippy::panic, clippy::missing_panics_doc, reason = "a test that cannot go on has failed")]

mod account;
mod node;
mod plane;
mod pods;
mod process;
mod script;
mod server;
mod wait;

pub use docker_images::{BUSYBOX, FLOWS};
pub use node::FakeNode;
pub use plane::{Component, PrivateControlPlane};
pub use script::{ON_DELETE, SCRIPT};
pub use server::{Cluster, Namespace, Server};
pub use wait::until;

/// The images that `scripts/docker-bed` makes; the node has them, and pulls nothing.
mod docker_images {
    /// An image with a static busybox under all its names.
    pub const BUSYBOX: &str = "worker-test/busybox:1";
    /// An image with Python and the locked Prefect SDK.
    pub const FLOWS: &str = "worker-test/flows:1";
}
