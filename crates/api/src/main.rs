//! The API service: configuration from the environment, logs, signals. Everything else is in the library.

use std::process::ExitCode;

use posthaste_api::{Config, start};
use posthaste_service::run_service;

fn main() -> ExitCode {
    run_service("posthaste-api", Config::read, start)
}
