//! The scheduler as a process of its own.

use std::process::ExitCode;

use posthaste_scheduler::{Config, start};

fn main() -> ExitCode {
    posthaste_service::run_service("posthaste-scheduler", Config::read, start)
}
