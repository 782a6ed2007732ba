//! The API service: configuration from the environment, logs, signals. Everything else is in the library.

use std::process::ExitCode;

use posthaste_api::{Config, start};
use posthaste_service::run;

fn main() -> ExitCode {
    run::main("posthaste-api", Config::PORT, Config::read, start)
}
