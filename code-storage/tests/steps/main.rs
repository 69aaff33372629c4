//! Pull steps that start programs, run for real, and beside them the same steps in the Prefect SDK.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a fixture that fails ends the test")]

mod bed;
mod pip;
mod scripts;
mod sdk;
mod storage;
