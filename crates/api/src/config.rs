//! The API's settings.

mod authorization;

use std::net::IpAddr;
use std::time::Duration;

use posthaste_core::address::{Egress, EgressError, EgressSettings};
use posthaste_core::seal::Keys;
use posthaste_service::environment::{ConfigError, Faults, Variables, read};
use posthaste_service::metrics::most_queues;
use posthaste_service::parse;
use posthaste_store::connect::DatabaseUrl;
use serde::Deserialize;

use crate::cors::Origins;
use crate::wire::output::IdStyle;

pub use authorization::{AuthorizationConfig, AuthorizationVariables};

/// What an API is started with.
#[derive(Debug, Clone)]
pub struct Config {
    pub database_url: DatabaseUrl,
    pub host: String,
    /// 0 takes a free one.
    pub port: u16,
    /// Where `/metrics` is served without credentials; `None`: nowhere.
    pub metrics_port: Option<u16>,
    /// Queues with metrics of their own, at most.
    pub metrics_queues: usize,
    /// Who may use it.
    pub authorization: AuthorizationConfig,
    /// Connections to the database, at most.
    pub pool_size: u32,
    /// The largest request body, and the largest message of a batch, in bytes.
    pub max_body_bytes: usize,
    /// How answers write ids.
    pub ids: IdStyle,
    /// The largest request body of a batch, in bytes.
    pub max_batch_bytes: usize,
    /// With so many messages pending no more are taken.
    pub max_backlog: Option<i64>,
    /// How long an idempotency key is remembered.
    pub idempotency_ttl: Duration,
    /// How long a connection may be idle between two requests.
    pub keep_alive: Duration,
    /// Whose pages may use the API.
    pub cors: Origins,
    /// Where callbacks may go, as the deliverers' is.
    pub egress: Egress,
    /// What secrets and credentials are sealed with.
    pub secrets: Option<Keys>,
    /// What the deployment believes the number of shards to be.
    pub shards: Option<u16>,
}

/// The variables of [`Config`].
#[derive(Debug, Deserialize)]
pub struct ConfigVariables {
    database_url: Option<String>,
    host: Option<String>,
    port: Option<String>,
    metrics_port: Option<String>,
    metrics_queues: Option<String>,
    allow_anonymous: Option<String>,
    pool_size: Option<String>,
    max_body_bytes: Option<String>,
    api_ids: Option<String>,
    max_batch_bytes: Option<String>,
    max_backlog: Option<String>,
    idempotency_ttl_seconds: Option<String>,
    keep_alive_seconds: Option<String>,
    cors_origins: Option<String>,
    egress_allow: Option<String>,
    egress_deny: Option<String>,
    egress_ports: Option<String>,
    egress_schemes: Option<String>,
    secrets_key: Option<String>,
    shards: Option<String>,
}

impl Config {
    /// Where it listens unless `PORT` says otherwise.
    pub const PORT: u16 = 3042;

    /// Reads the variables named by [`ConfigVariables`] and [`AuthorizationVariables`].
    ///
    /// Where nothing keeps strangers out, `HOST` must be a loopback address, unless `ALLOW_ANONYMOUS` is `true`.
    ///
    /// # Errors
    /// Every fault, each with its variable.
    pub fn read(variables: &Variables) -> Result<Config, ConfigError> {
        let raw: ConfigVariables = read(variables)?;
        let mut faults = Faults::default();
        let url = |value: &str| value.parse::<DatabaseUrl>();
        let database_url = faults.required("DATABASE_URL", "a PostgreSQL database", raw.database_url, url);
        let host = faults.optional("HOST", raw.host.or_else(|| Some("0.0.0.0".to_owned())), parse::host);
        let port = faults.or("PORT", Config::PORT, raw.port, parse::port);
        let metrics_port = faults.optional("METRICS_PORT", raw.metrics_port, parse::port);
        let metrics_queues = most_queues(&mut faults, raw.metrics_queues);
        let anonymous = faults.or("ALLOW_ANONYMOUS", false, raw.allow_anonymous, parse::boolean);
        let pool_size = faults.or("POOL_SIZE", 10, raw.pool_size, parse::integer(1..=1000));
        let max_body_bytes = faults.or("MAX_BODY_BYTES", 1 << 20, raw.max_body_bytes, parse::integer(1..=100 << 20));
        let ids = faults.or("API_IDS", IdStyle::Text, raw.api_ids, id_style);
        // No more than may wait in memory at all.
        let max_batch_bytes = faults.or("MAX_BATCH_BYTES", 32 << 20, raw.max_batch_bytes, parse::integer(1..=64 << 20));
        let max_backlog = faults.optional("MAX_BACKLOG", raw.max_backlog, parse::integer(1..=1_000_000_000));
        let ttl = parse::integer(60..=30 * 86_400);
        let idempotency_ttl = faults.or("IDEMPOTENCY_TTL_SECONDS", 86_400, raw.idempotency_ttl_seconds, ttl);
        let keep_alive = faults.or("KEEP_ALIVE_SECONDS", 75, raw.keep_alive_seconds, parse::integer(1..=3600));
        let cors = faults.or("CORS_ORIGINS", Origins::Some(Vec::new()), raw.cors_origins, Origins::parse);
        let settings = EgressSettings {
            allow: raw.egress_allow.as_deref().unwrap_or_default(),
            deny: raw.egress_deny.as_deref().unwrap_or_default(),
            ports: raw.egress_ports.as_deref().unwrap_or_default(),
            schemes: raw.egress_schemes.as_deref().unwrap_or_default(),
        };
        let egress = egress(&mut faults, &settings);
        let secrets = faults.optional("SECRETS_KEY", raw.secrets_key, Keys::parse);
        let shards = faults.optional("SHARDS", raw.shards, parse::integer(1..=1024));
        let authorization = AuthorizationConfig::read(variables, &mut faults)?;
        if let Some(host) = &host
            && !authorization.tells_strangers()
            && !anonymous
            && !is_loopback(host)
        {
            faults.add(
                "ADMIN_SECRET",
                format!(
                    "is required to listen on {host}, where others reach the API: set it, or AUTH_RULES with JWT_SECRET, \
                     JWT_PUBLIC_KEY, JWT_JWKS_URL or AUTH_WEBHOOK_URL, or HOST=127.0.0.1, or ALLOW_ANONYMOUS=true to let \
                     everyone do what no rule denies"
                ),
            );
        }
        faults.finish(|| {
            Some(Config {
                database_url: database_url?.for_service("posthaste-api"),
                host: host?,
                port,
                metrics_port,
                metrics_queues,
                authorization,
                pool_size,
                max_body_bytes,
                ids,
                max_batch_bytes,
                max_backlog,
                idempotency_ttl: Duration::from_secs(idempotency_ttl),
                keep_alive: Duration::from_secs(keep_alive),
                cors,
                egress: egress?,
                secrets,
                shards,
            })
        })
    }
}

/// The same four variables as the deliverers': what they would block is refused beforehand, where it can be known.
fn egress(faults: &mut Faults, settings: &EgressSettings<'_>) -> Option<Egress> {
    let tell = |errors: Vec<EgressError>| {
        errors.iter().for_each(|error| faults.add(error.setting.variable(), error.to_string()));
    };
    Egress::parse(settings).map_err(tell).ok()
}

fn id_style(value: &str) -> Result<IdStyle, &'static str> {
    match value {
        "string" => Ok(IdStyle::Text),
        "number" => Ok(IdStyle::Number),
        _ => Err("takes string or number"),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://me:hunter2@db/app");

    fn config(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(&pairs.iter().copied().collect())
    }

    fn at_fault(pairs: &[(&str, &str)]) -> Vec<String> {
        config(pairs).unwrap_err().faults().iter().map(|fault| fault.variable.clone()).collect()
    }

    #[test]
    fn defaults() {
        let config = config(&[DATABASE, ("ADMIN_SECRET", "hunter2")]).unwrap();
        assert_eq!((config.host.as_str(), config.port), ("0.0.0.0", 3042));
        assert_eq!((config.pool_size, config.max_body_bytes, config.shards), (10, 1_048_576, None));
        assert_eq!((config.max_batch_bytes, config.idempotency_ttl), (33_554_432, Duration::from_secs(86_400)));
        assert_eq!(config.keep_alive, Duration::from_secs(75));
        assert!(config.cors.is_none());
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn all_faults_are_told() {
        let given = [
            ("PORT", "x"),
            ("METRICS_PORT", "65536"),
            ("METRICS_QUEUES", "10001"),
            ("POOL_SIZE", "0"),
            ("MAX_BODY_BYTES", "1k"),
            ("API_IDS", "roman"),
            ("MAX_BATCH_BYTES", "67108865"),
            ("MAX_BACKLOG", "0"),
            ("IDEMPOTENCY_TTL_SECONDS", "59"),
            ("KEEP_ALIVE_SECONDS", "0"),
            ("CORS_ORIGINS", "here"),
            ("EGRESS_ALLOW", "everything"),
            ("EGRESS_DENY", "10.0.0.0/33"),
            ("EGRESS_PORTS", "0"),
            ("EGRESS_SCHEMES", "ftp"),
            ("SECRETS_KEY", "hunter2"),
            ("SHARDS", "1025"),
        ];
        let all = ["DATABASE_URL"].into_iter().chain(given.map(|(name, _)| name)).chain(["ADMIN_SECRET"]);
        assert_eq!(at_fault(&given), all.collect::<Vec<_>>());
    }

    #[test]
    fn a_host_that_cannot_be_used_is_one_fault() {
        assert_eq!(at_fault(&[DATABASE, ("HOST", "http://here")]), ["HOST"]);
    }

    #[test]
    fn everyone_is_let_in_only_where_it_is_wanted() {
        for host in ["127.0.0.1", "127.9.9.9", "localhost", "::1"] {
            assert!(config(&[DATABASE, ("HOST", host)]).is_ok(), "{host}");
        }
        for host in ["0.0.0.0", "::", "10.0.0.1", "api.example"] {
            assert_eq!(at_fault(&[DATABASE, ("HOST", host)]), ["ADMIN_SECRET"], "{host}");
            assert!(config(&[DATABASE, ("HOST", host), ("ALLOW_ANONYMOUS", "true")]).is_ok(), "{host}");
            assert!(config(&[DATABASE, ("HOST", host), ("ADMIN_SECRET", "x")]).is_ok(), "{host}");
        }
    }
}
