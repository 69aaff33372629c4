//! Repositories, by way of the `git` program.
//!
//! A program rather than a library, because it is what the SDK uses: proxies, certificates, `insteadOf` rules, LFS and
//! partial clones behave as the operator has configured them.

mod command;
mod explain;
mod failure;
mod lock;
mod output;
mod placement;
mod source;
mod worktree;

pub use source::GitSource;
