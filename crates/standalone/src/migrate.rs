//! `posthaste migrate`: brings the schema of a database up to date and says what it did; with `--wait`, waits until another has.
//!
//! Safe to run any number of times, and from any number of places at once.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use posthaste_service::environment::{ConfigError, Faults, Variables, read};
use posthaste_service::parse;
use posthaste_service::run::StartError;
use posthaste_store::connect::{DatabaseUrl, Purpose, connect};
use posthaste_store::migrations::{MigrateError, Migrated, SchemaError, SchemaInfo, check_schema};
use serde::Deserialize;

/// How often a schema that is waited for is looked at.
const LOOK: Duration = Duration::from_secs(1);

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

/// Waits until the database is there and its schema is one that this program can work with; `tell` hears each reason to wait once.
///
/// # Errors
/// Waiting is in vain: the schema is too new for this program, or the server too old.
pub async fn wait(config: &Config, mut tell: impl FnMut(&str)) -> Result<SchemaInfo, StartError> {
    let mut told = String::new();
    loop {
        let looked = match connect(&config.database_url, Purpose::Pool).await {
            Ok(mut conn) => check_schema(&mut conn).await,
            Err(error) => Err(error.into()),
        };
        let reason = match looked {
            Ok(schema) => return Ok(schema),
            Err(error @ (SchemaError::Missing | SchemaError::TooOld { .. } | SchemaError::Store(_))) => {
                error.to_string()
            }
            Err(error) => return Err(StartError::Database(error.to_string())),
        };
        if reason != told {
            tell(&reason);
            told = reason;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// The command `migrate --wait`. Status as for [`run`].
pub fn run_wait(variables: &Variables) -> ExitCode {
    command(variables, async |config| {
        let schema = wait(&config, |reason| say(&mut std::io::stdout(), &format!("waiting: {reason}"))).await?;
        say(&mut std::io::stdout(), &format!("the schema has version {}, {} shards", schema.version, schema.shards));
        Ok(())
    })
}

/// The command: says on the terminal what was applied (or nowhere, if that is gone). Status 0, or 2 for a wrong configuration, or 1.
pub fn run(variables: &Variables) -> ExitCode {
    command(variables, async |config| {
        let (migrated, mut out) = (migrate(&config).await?, std::io::stdout());
        for name in &migrated.applied {
            say(&mut out, &format!("applied {name}"));
        }
        let note = if migrated.applied.is_empty() { "up to date" } else { "now" };
        let SchemaInfo { version, shards } = migrated.schema;
        say(&mut out, &format!("the schema is {note}: version {version}, {shards} shards"));
        Ok(())
    })
}

fn command(variables: &Variables, work: impl AsyncFnOnce(Config) -> Result<(), StartError>) -> ExitCode {
    let done = Config::read(variables).map_err(StartError::from).and_then(|config| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|error| StartError::Other(error.to_string()))?.block_on(work(config))
    });
    let Err(error) = done else { return ExitCode::SUCCESS };
    for line in error.to_string().lines() {
        say(&mut std::io::stderr(), &format!("posthaste migrate: {line}"));
    }
    ExitCode::from(if matches!(error, StartError::Config(_)) { 2 } else { 1 })
}

/// A terminal that is gone is no reason to fail.
fn say(to: &mut impl Write, line: &str) {
    let _ = writeln!(to, "{line}");
}
