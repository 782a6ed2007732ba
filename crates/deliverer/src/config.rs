//! The deliverer's settings.

use std::num::NonZeroUsize;
use std::thread::available_parallelism;
use std::time::Duration;

use posthaste_core::address::{Egress, EgressError, EgressSettings};
use posthaste_core::backoff::Backoff;
use posthaste_core::seal::Keys;
use posthaste_service::environment::{ConfigError, Faults, Variables, read};
use posthaste_service::metrics::most_queues;
use posthaste_service::parse;
use posthaste_store::connect::DatabaseUrl;

use crate::dispatch::Proxy;

/// What a deliverer is started with.
#[derive(Debug, Clone)]
pub struct Config {
    pub database_url: DatabaseUrl,
    /// A direct connection: a transaction-mode pooler cannot hold advisory locks or LISTEN.
    pub lock_database_url: DatabaseUrl,
    pub host: String,
    /// `None`: no listener (the all-in-one answers for it).
    pub health_port: Option<u16>,
    pub egress: Egress,
    /// Through which every connection to a receiver goes; `None`: directly.
    pub proxy: Option<Proxy>,
    pub delivery: DeliveryDefaults,
    /// What queues' secrets and credentials are opened with.
    pub secrets: Option<Keys>,
    /// After a stop, how long deliveries under way are waited for; those that last longer are made again.
    pub drain: Duration,
    /// Worker threads.
    pub workers: usize,
    /// What the deployment believes the number of shards to be.
    pub shards: Option<u16>,
    /// Queues with metrics of their own, at most.
    pub metrics_queues: usize,
    /// Written beside each attempt: which process made it.
    pub name: String,
}

/// How a delivery is made where neither queue nor message says so.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryDefaults {
    pub backoff: Backoff,
    /// Until there is a connection, TLS included.
    pub connect_timeout: Duration,
    /// Until the answer's head is complete.
    pub total_timeout: Duration,
    /// How many bytes of an answer's body the attempt log keeps.
    pub kept_body: usize,
}

/// The variables of [`Config`].
#[derive(serde::Deserialize)]
pub struct ConfigVariables {
    /// The database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`.
    database_url: Option<String>,
    /// The same database without a pooler in between. Default: `DATABASE_URL`.
    lock_database_url: Option<String>,
    /// Default 0.0.0.0.
    host: Option<String>,
    /// Default 3044.
    port: Option<String>,
    /// Addresses and CIDRs that may be called although they are not public.
    egress_allow: Option<String>,
    /// Addresses and CIDRs that may not be called, whatever else holds.
    egress_deny: Option<String>,
    /// The ports that may be called, such as `80,443,8000-8999`. Default: all.
    egress_ports: Option<String>,
    /// `http`, `https` or both. Default: both.
    egress_schemes: Option<String>,
    /// A forward proxy: `http://[USER:PASSWORD@]HOST:PORT`.
    egress_proxy: Option<String>,
    /// Whether the proxy resolves names; their addresses are then not checked here. Default false.
    egress_proxy_resolves: Option<String>,
    /// The waits between attempts of queues that do not say. Default `fast`.
    retry_policy: Option<String>,
    /// 1 to 60,000. Default 5,000.
    connect_timeout_ms: Option<String>,
    /// 1 to 900,000. Default 30,000.
    timeout_ms: Option<String>,
    /// How much of an answer's body is kept, 0 to 65,536. Default 4,096.
    attempt_body_bytes: Option<String>,
    /// Base64 of 32 random bytes; several separated by commas, the newest first.
    secrets_key: Option<String>,
    /// 0 to 3600. Default 45: as long as the default of `TIMEOUT_MS`, and time to write what came of it.
    drain_seconds: Option<String>,
    /// 0 to 10,000. Default 100.
    metrics_queues: Option<String>,
    /// 1 to 256. Default: the cores.
    workers: Option<String>,
    /// 1 to 1024; if it is given and not the database's, the deliverer does not start.
    shards: Option<String>,
}

impl Config {
    /// Where it listens unless `PORT` says otherwise.
    pub const PORT: u16 = 3044;

    /// Reads the configuration from environment variables.
    ///
    /// # Errors
    /// Every fault, each with its variable.
    pub fn read(variables: &Variables) -> Result<Config, ConfigError> {
        let raw: ConfigVariables = read(variables)?;
        let mut faults = Faults::default();
        let url = |value: &str| value.parse::<DatabaseUrl>();
        let database_url = faults.required("DATABASE_URL", "a PostgreSQL database", raw.database_url, url);
        let lock_database_url = faults.optional("LOCK_DATABASE_URL", raw.lock_database_url, url);
        let host = faults.or("HOST", "0.0.0.0".to_owned(), raw.host, parse::host);
        let health_port = faults.or("PORT", Config::PORT, raw.port, parse::port);
        let settings = EgressSettings {
            allow: raw.egress_allow.as_deref().unwrap_or_default(),
            deny: raw.egress_deny.as_deref().unwrap_or_default(),
            ports: raw.egress_ports.as_deref().unwrap_or_default(),
            schemes: raw.egress_schemes.as_deref().unwrap_or_default(),
        };
        let egress = egress(&mut faults, &settings);
        let proxy = faults.optional("EGRESS_PROXY", raw.egress_proxy, Proxy::parse);
        let proxy_resolves = faults.or("EGRESS_PROXY_RESOLVES", false, raw.egress_proxy_resolves, parse::boolean);
        let backoff = faults.or("RETRY_POLICY", Backoff::fast(), raw.retry_policy, |text| text.parse::<Backoff>());
        let connect_ms = parse::integer(1..=60_000);
        let connect_timeout = faults.or("CONNECT_TIMEOUT_MS", 5_000, raw.connect_timeout_ms, connect_ms);
        let total_timeout = faults.or("TIMEOUT_MS", 30_000, raw.timeout_ms, parse::integer(1..=900_000));
        let metrics_queues = most_queues(&mut faults, raw.metrics_queues);
        let kept_body = faults.or("ATTEMPT_BODY_BYTES", 4_096, raw.attempt_body_bytes, parse::integer(0..=65_536));
        let secrets = faults.optional("SECRETS_KEY", raw.secrets_key, Keys::parse);
        let drain = faults.or("DRAIN_SECONDS", 45, raw.drain_seconds, parse::integer(0..=3600));
        let cores = available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = faults.or("WORKERS", cores, raw.workers, parse::integer(1..=256));
        let shards = faults.optional("SHARDS", raw.shards, parse::integer(1..=1024));
        faults.finish(|| {
            let database_url = database_url?;
            Some(Config {
                lock_database_url: lock_database_url.unwrap_or_else(|| database_url.clone()),
                database_url: database_url.for_service("posthaste-deliverer"),
                host,
                health_port: Some(health_port),
                egress: egress?,
                proxy: proxy.map(|proxy| proxy.resolving(proxy_resolves)),
                delivery: DeliveryDefaults {
                    backoff,
                    connect_timeout: Duration::from_millis(connect_timeout),
                    total_timeout: Duration::from_millis(total_timeout),
                    kept_body,
                },
                secrets,
                drain: Duration::from_secs(drain),
                metrics_queues,
                workers,
                shards,
                name: name(),
            })
        })
    }
}

/// The same four variables as the API's, which refuses beforehand what would be blocked here.
fn egress(faults: &mut Faults, settings: &EgressSettings<'_>) -> Option<Egress> {
    let tell = |errors: Vec<EgressError>| {
        errors.iter().for_each(|error| faults.add(error.setting.variable(), error.to_string()));
    };
    Egress::parse(settings).map_err(tell).ok()
}

/// Where this process runs and which one it is there, such as `deliverer-7d9f:1`.
fn name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}:{}", std::process::id())
}
