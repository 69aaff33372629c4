//! Loading of settings, from files in a temporary directory and an environment given as a map.

mod base_environment;
mod code;
mod credentials;
mod isolation;
mod kubernetes;
mod pools;
mod precedence;
mod prefect_values;
mod profiles;
mod reference;
mod secrets;
mod surroundings;
mod worker_toml;
