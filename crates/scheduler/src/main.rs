//! The scheduler as a process of its own.

use std::process::ExitCode;

use posthaste_scheduler::{Config, start};

fn main() -> ExitCode {
    posthaste_service::run::main("posthaste-scheduler", Config::PORT, Config::read, start)
}
