//! The scheduler's settings.

use std::time::Duration;

use posthaste_core::seal::Keys;
use posthaste_service::environment::{ConfigError, Faults, Variables, read};
use posthaste_service::metrics::most_queues;
use posthaste_service::parse;
use posthaste_store::connect::DatabaseUrl;
use serde::Deserialize;

/// What a scheduler is started with.
#[derive(Debug, Clone)]
pub struct Config {
    pub database_url: DatabaseUrl,
    /// A direct connection: a pooler in transaction mode can hold neither the leader's lock nor LISTEN.
    pub lock_database_url: DatabaseUrl,
    /// Where the health listener is bound.
    pub host: String,
    /// `None`: no health listener (the all-in-one answers for it).
    pub health_port: Option<u16>,
    /// What queues' secrets are encrypted with.
    pub secrets: Option<Keys>,
    /// How long messages that have ended are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// Queues with metrics of their own, at most.
    pub metrics_queues: usize,
    /// How many shards the deployment believes the database to have.
    pub shards: Option<u16>,
}

/// The variables of [`Config`].
#[derive(Deserialize)]
pub struct ConfigVariables {
    /// The database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    database_url: Option<String>,
    /// The same database without a pooler in between. Default: `DATABASE_URL`.
    lock_database_url: Option<String>,
    /// Default 0.0.0.0.
    host: Option<String>,
    /// Default 3043.
    port: Option<String>,
    /// Base64 of 32 random bytes; several separated by commas, the newest first.
    secrets_key: Option<String>,
    /// 0 to 3650; 0 keeps messages for ever. Default 30.
    retention_days: Option<String>,
    /// 0 to 10,000. Default 100.
    metrics_queues: Option<String>,
    /// 1 to 1024; if it is given and not the database's, the scheduler does not start.
    shards: Option<String>,
}

impl Config {
    /// Where it listens unless `PORT` says otherwise.
    pub const PORT: u16 = 3043;

    /// Reads the configuration from environment variables.
    ///
    /// # Errors
    /// Every fault, each with its variable.
    pub fn read(variables: &Variables) -> Result<Config, ConfigError> {
        let raw: ConfigVariables = read(variables)?;
        let mut faults = Faults::default();
        let url = str::parse::<DatabaseUrl>;
        let database = faults.required("DATABASE_URL", "postgres://…", raw.database_url, url);
        let lock_database = faults.optional("LOCK_DATABASE_URL", raw.lock_database_url, url);
        let host = faults.or("HOST", "0.0.0.0".to_owned(), raw.host, parse::host);
        let port = faults.or("PORT", Config::PORT, raw.port, parse::port);
        let secrets = faults.optional("SECRETS_KEY", raw.secrets_key, Keys::parse);
        let days = faults.or("RETENTION_DAYS", 30, raw.retention_days, parse::integer(0..=3650));
        let metrics_queues = most_queues(&mut faults, raw.metrics_queues);
        let shards = faults.optional("SHARDS", raw.shards, parse::integer(1..=1024));
        faults.finish(|| {
            let database_url = database?;
            Some(Config {
                lock_database_url: lock_database.unwrap_or_else(|| database_url.clone()),
                database_url,
                host,
                health_port: Some(port),
                secrets,
                retention: (days > 0).then(|| Duration::from_secs(days * 86_400)),
                metrics_queues,
                shards,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(&pairs.iter().copied().collect())
    }

    #[test]
    fn a_database_is_enough() {
        let config = config(&[("DATABASE_URL", "postgres://me@db:6000/app"), ("SHARDS", "")]).unwrap();
        assert_eq!(config.lock_database_url.to_string(), "db:6000/app");
        assert_eq!((config.host.as_str(), config.health_port), ("0.0.0.0", Some(3043)));
        assert_eq!(config.shards, None);
    }

    #[test]
    fn all_faults_are_told_without_the_password() {
        let error = config(&[
            ("LOCK_DATABASE_URL", "mysql://me:hunter2@db/app"),
            ("HOST", "http://here"),
            ("PORT", "x"),
            ("SHARDS", "1025"),
        ])
        .unwrap_err();
        let variables: Vec<&str> = error.faults().iter().map(|fault| fault.variable.as_str()).collect();
        assert_eq!(variables, ["DATABASE_URL", "LOCK_DATABASE_URL", "HOST", "PORT", "SHARDS"]);
        assert!(!error.to_string().contains("hunter2"));
    }
}
