//! Repositories, by way of the `git` program.
//!
//! A program rather than a library, because it is what the SDK uses: proxies, certificates, `insteadOf` rules, LFS and
//! partial clones behave as the operator has configured them.

mod cached;
mod command;
mod explain;
mod failure;
mod lfs;
mod lock;
mod login;
mod mirror;
mod output;
mod placement;
mod repository;
mod request;
mod signature;
mod source;
mod tip;
mod trim;
mod verify;
mod worktree;

pub use login::Login;
pub use repository::Repository;
pub use request::{GitClone, Revision};
pub use source::GitSource;
pub(crate) use tip::Lookups;
