//! The plugin on an API server that fails in all the ways that API servers, networks and clusters have.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod calling;
mod ending;
mod hiding;
mod launching;
mod observing;
mod stopping;
mod watching;
