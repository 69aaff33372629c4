//! Fetches from servers that are started on the spot: a real one for S3, and ones that answer as they are told.

#![expect(clippy::unwrap_used, reason = "a fixture that fails ends the test")]

mod aws_roles;
mod kept_objects;
mod local_directories;
mod other_clouds;
mod s3_failures;
mod s3_fetches;
mod server;
