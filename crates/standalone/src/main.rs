//! The `posthaste` binary. What each command does is in the library, and in the services.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use posthaste_service::Variables;
use posthaste_service::run::run;
use posthaste_service::run_service;
use posthaste_service::telemetry::LogFormat;
use posthaste_standalone::{dev, migrate};

/// A webhook and HTTP-callback queue that lives in PostgreSQL.
///
/// Settings come from environment variables; the README lists them.
#[derive(Parser)]
#[command(name = "posthaste", version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything in one process, on an embedded PostgreSQL unless DATABASE_URL is set (the default)
    Dev,
    /// Bring the schema of DATABASE_URL up to date
    Migrate {
        /// Change nothing: wait until the schema serves this version, which another migration brings it to
        #[arg(long)]
        wait: bool,
    },
    /// Run the API
    Api,
    /// Run the scheduler
    Scheduler,
    /// Run the deliverer
    Deliverer,
}

fn main() -> ExitCode {
    match Arguments::parse().command.unwrap_or(Command::Dev) {
        Command::Dev => {
            let variables = dev::with_defaults(Variables::from_env());
            run("posthaste", &variables, LogFormat::Pretty, dev::Config::read, dev::start)
        }
        Command::Migrate { wait: false } => migrate::run(&Variables::from_env()),
        Command::Migrate { wait: true } => migrate::run_wait(&Variables::from_env()),
        Command::Api => run_service("posthaste-api", posthaste_api::Config::read, posthaste_api::start),
        Command::Scheduler => {
            run_service("posthaste-scheduler", posthaste_scheduler::Config::read, posthaste_scheduler::start)
        }
        Command::Deliverer => {
            run_service("posthaste-deliverer", posthaste_deliverer::Config::read, posthaste_deliverer::start)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
