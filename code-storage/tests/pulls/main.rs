//! Pulls of real repositories, made on the spot, with the real `git`.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a fixture that fails ends the test")]

mod body;
mod boundaries;
mod cached;
mod existing_clone;
mod failures;
mod kept;
mod killed;
mod logins;
mod new_clone;
mod origin;
mod server;
mod signed;
mod ssh;
