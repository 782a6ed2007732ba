//! `posthaste migrate`: brings the schema of a database up to date and says what it did.
//!
//! Safe to run any number of times, and from any number of places at once.

use std::io::Write;
use std::process::ExitCode;

use posthaste_service::environment::{ConfigError, Faults, Variables, read};
use posthaste_service::parse;
use posthaste_service::run::StartError;
use posthaste_store::connect::DatabaseUrl;
use posthaste_store::migrations::{MigrateError, Migrated};
use serde::Deserialize;

/// What to migrate.
#[derive(Debug, Clone)]
pub struct Config {
    /// A direct connection: a pooler in transaction mode cannot hold the lock of the migration.
    pub database_url: DatabaseUrl,
    /// How many shards the first migration makes; must agree with the database's afterwards.
    pub shards: Option<u16>,
}

/// The variables of [`Config`].
#[derive(Deserialize)]
pub struct ConfigVariables {
    /// The database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    database_url: Option<String>,
    /// The same database without a pooler in between. Default: `DATABASE_URL`.
    lock_database_url: Option<String>,
    /// 1 to 1024. Default 64.
    shards: Option<String>,
}

impl Config {
    /// Reads the configuration from environment variables.
    ///
    /// # Errors
    /// Every fault, each with its variable.
    pub fn read(variables: &Variables) -> Result<Self, ConfigError> {
        let raw: ConfigVariables = read(variables)?;
        let mut faults = Faults::default();
        let url = str::parse::<DatabaseUrl>;
        let database =
            faults.required("DATABASE_URL", "postgres://USER:PASSWORD@HOST:PORT/DATABASE", raw.database_url, url);
        let direct = faults.optional("LOCK_DATABASE_URL", raw.lock_database_url, url);
        let shards = faults.optional("SHARDS", raw.shards, parse::integer(1..=1024));
        faults.finish(|| Some(Self { database_url: direct.or(database)?, shards }))
    }
}

/// Migrates. A number of shards that is not the database's is a fault of the configuration.
///
/// # Errors
/// The database cannot be reached, or its schema cannot be brought up to date.
pub async fn migrate(config: &Config) -> Result<Migrated, StartError> {
    posthaste_store::migrations::migrate(&config.database_url, config.shards).await.map_err(|error| match error {
        MigrateError::Shards { .. } => ConfigError::new("SHARDS", error.to_string()).into(),
        error => StartError::Database(error.to_string()),
    })
}

/// The command: says on the terminal what was applied (or nowhere, if that is gone). Status 0, or 2 for a wrong configuration, or 1.
pub fn run(variables: &Variables) -> ExitCode {
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let migrated = Config::read(variables).map_err(StartError::from).and_then(|config| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StartError::Other(error.to_string()))?;
        runtime.block_on(migrate(&config))
    });
    match migrated {
        Ok(migrated) => {
            for name in &migrated.applied {
                let _ = writeln!(out, "applied {name}");
            }
            let note = if migrated.applied.is_empty() { "up to date" } else { "now" };
            let _ = writeln!(
                out,
                "the schema is {note}: version {}, {} shards",
                migrated.schema.version, migrated.schema.shards
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            for line in error.to_string().lines() {
                let _ = writeln!(err, "posthaste migrate: {line}");
            }
            ExitCode::from(if matches!(error, StartError::Config(_)) { 2 } else { 1 })
        }
    }
}
