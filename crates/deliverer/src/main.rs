//! `posthaste-deliverer`: owns shards of the pending work and delivers what is due in them.

use std::process::ExitCode;

use posthaste_deliverer::{Config, start};

fn main() -> ExitCode {
    posthaste_service::run::main("posthaste-deliverer", Config::PORT, Config::read, start)
}
