//! Connections to Postgres: what a `DATABASE_URL` means, and the settings that each kind of session works under.
//!
//! Settings are sent as `SET` after connecting and not as startup parameters, which PgBouncer refuses. Behind a pooler in
//! transaction mode they hold only for the server connection that they happened to reach: plans may then be worse, no
//! result changes. The lock session (`session`) must not go through such a pooler at all.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use diesel_async::{AsyncPgConnection, SimpleAsyncConnection};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::StoreError;
use crate::tls::{Check, Roots, client_config};

/// How long a whole connection attempt may take: addresses, handshakes, settings. A server that accepts and then stays
/// silent would otherwise hold its caller for ever.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_APPLICATION_NAME: &str = "posthaste";

/// Where the database is and how to get in. Neither its `Display` (`host:port/database`) nor its `Debug` nor its parse
/// errors show the password.
#[derive(Clone)]
pub struct DatabaseUrl {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

/// An open session, as the functions of this crate take it.
pub type Connection = AsyncPgConnection;

/// What a session is for; decides its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Pools: requests of the API, duties of the scheduler. The planner decides freely; commits wait for the disk whatever
    /// the role's default says, as a success answered by the API promises.
    Pool,
    /// The deliverer's arrivals, refills and payloads. Each of its statements has one good plan, along an index, and these
    /// settings leave the planner no other. So it plans once: what it could learn from values and statistics is nothing, for
    /// the statistics of a table whose rows live for milliseconds are always wrong, and planning costs as much as running.
    Reading,
    /// The deliverer's outcomes. As `Reading`; commits wait for the disk whatever the role's default says.
    Writing,
    /// Migrations: statements may take their time, locks may not.
    Migrating,
}

/// What leaves the planner nothing but an index. Behind a pooler the deliverers' role has to have them; the operations guide says so.
const BY_INDEX: [(&str, &str); 9] = [
    ("jit", "off"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_sort", "off"),
    ("enable_incremental_sort", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("plan_cache_mode", "force_generic_plan"),
];

impl Purpose {
    /// One batch of `SET`s.
    fn settings(self) -> String {
        /// The message texts that `error` knows. Only a superuser, or a role with the right to, may choose.
        const ENGLISH: &str = "DO $$ BEGIN PERFORM set_config('lc_messages', 'C', false); \
             EXCEPTION WHEN insufficient_privilege THEN NULL; END $$; ";
        let by_index: String = BY_INDEX.iter().map(|(name, value)| format!("SET {name} = {value}; ")).collect();
        let limits = |statement: &str| {
            format!(
                "SET statement_timeout = '{statement}'; SET lock_timeout = '10s'; \
                 SET idle_in_transaction_session_timeout = '60s'; "
            )
        };
        match self {
            Purpose::Pool => format!("{ENGLISH}{}SET jit = off; SET synchronous_commit = on;", limits("30s")),
            Purpose::Reading => format!("{ENGLISH}{}{by_index}", limits("30s")),
            Purpose::Writing => format!("{ENGLISH}{}{by_index}SET synchronous_commit = on;", limits("30s")),
            Purpose::Migrating => format!("{ENGLISH}{}", limits("0")),
        }
    }
}

/// Opens a session with the settings of its purpose, at a server that takes writes.
///
/// # Errors
/// [`StoreError::Unavailable`] where no server answers in time or none takes writes, [`StoreError::Other`] where it does
/// not let us in.
pub async fn connect(url: &DatabaseUrl, purpose: Purpose) -> Result<AsyncPgConnection, StoreError> {
    let attempt = async {
        let mut conn = match &url.tls {
            None => {
                let (client, connection) = url.config.connect(tokio_postgres::NoTls).await?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            Some(tls) => {
                let (client, connection) = url.config.connect(tls.clone()).await?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        }
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        conn.batch_execute(&purpose.settings()).await?;
        Ok(conn)
    };
    match tokio::time::timeout(CONNECT_DEADLINE, attempt).await {
        Ok(result) => result.map_err(|error| about(url, error)),
        Err(_) => Err(StoreError::Unavailable(format!("{url} did not answer within {} s", CONNECT_DEADLINE.as_secs()))),
    }
}

/// Says which database it is that cannot be used: there may be several, and nobody else knows.
fn about(url: &DatabaseUrl, error: StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(text) => StoreError::Unavailable(format!("{url}: {text}")),
        StoreError::Other(text) => StoreError::Other(format!("{url}: {text}")),
        error => error,
    }
}

impl DatabaseUrl {
    /// The same database, its sessions named `name` in `pg_stat_activity` unless the URL names them already.
    #[must_use]
    pub fn for_service(mut self, name: &str) -> DatabaseUrl {
        if self.config.get_application_name() == Some(DEFAULT_APPLICATION_NAME) {
            self.config.application_name(name);
        }
        self
    }

    /// For the lock session: the parameters, and TLS where it is wanted.
    pub(crate) fn parts(&self) -> (Config, Option<MakeRustlsConnect>) {
        (self.config.clone(), self.tls.clone())
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ports = self.config.get_ports();
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            let port = ports.get(index).or(ports.first()).copied().unwrap_or(5432);
            let comma = if index > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) if name.contains(':') => write!(f, "{comma}[{name}]:{port}")?,
                Host::Tcp(name) => write!(f, "{comma}{name}:{port}")?,
                Host::Unix(path) => write!(f, "{comma}{}:{port}", path.display())?,
            }
        }
        match self.config.get_dbname() {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// Why a connection string was refused. Never shows the string itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DatabaseUrlError(String);

fn refused(problem: impl Into<String>) -> DatabaseUrlError {
    DatabaseUrlError(problem.into())
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    /// Reads `postgres://user:password@host:port/database?parameter=value`, with the parameters of libpq as far as they
    /// make sense here. Reads the file of `sslrootcert`.
    fn from_str(text: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
        let Some(rest) = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://")) else {
            return Err(refused("takes postgres://USER:PASSWORD@HOST:PORT/DATABASE"));
        };
        // An unescaped `@` in a password would make its tail a host name, and host names are shown.
        let (credentials, rest) = match rest.split_once('@') {
            Some((credentials, rest)) => (format!("{credentials}@"), rest),
            None => (String::new(), rest),
        };
        let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
        if place.contains('@') {
            return Err(refused("write an @ in the user's name or password as %40"));
        }
        let parameters = Parameters::read(query)?;
        let mut config = format!("postgres://{credentials}{place}{}", parameters.passed_on())
            .parse::<Config>()
            .map_err(|error| refused(describe(&error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(refused("names no host"));
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(refused("names no database"));
        }
        if config.get_application_name().is_none() {
            config.application_name(DEFAULT_APPLICATION_NAME);
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if !parameters.names("keepalives_idle") {
            config.keepalives_idle(Duration::from_secs(30));
        }
        if !parameters.names("keepalives_interval") {
            config.keepalives_interval(Duration::from_secs(10));
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(3);
        }
        config.tcp_user_timeout(parameters.tcp_user_timeout.unwrap_or(Duration::from_secs(10)));
        config.target_session_attrs(parameters.session);
        let only_sockets = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        // As libpq: no TLS on a Unix socket, whatever is asked.
        let check = if only_sockets && !config.get_hosts().is_empty() { None } else { parameters.check()? };
        config.ssl_mode(match check {
            None => SslMode::Disable,
            Some(_) if parameters.tls_optional() => SslMode::Prefer,
            Some(_) => SslMode::Require,
        });
        let tls = check.map(client_config).transpose().map_err(refused)?.map(MakeRustlsConnect::new);
        Ok(DatabaseUrl { config, tls })
    }
}

/// tokio-postgres puts what is wrong into the source.
fn describe(error: &tokio_postgres::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    }
}

/// The query part of a URL, sorted into what tokio-postgres does not know or means differently, and the rest.
struct Parameters<'a> {
    passed_on: Vec<(&'a str, &'a str)>,
    ssl_mode: String,
    ssl_root: Option<String>,
    session: TargetSessionAttrs,
    tcp_user_timeout: Option<Duration>,
}

impl<'a> Parameters<'a> {
    fn read(query: &'a str) -> Result<Parameters<'a>, DatabaseUrlError> {
        let mut parameters = Parameters {
            passed_on: Vec::new(),
            ssl_mode: "prefer".to_owned(),
            ssl_root: None,
            session: TargetSessionAttrs::ReadWrite,
            tcp_user_timeout: None,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| refused("a parameter has no value"))?;
            match key {
                "sslmode" => parameters.ssl_mode = decode(value)?,
                "sslrootcert" => parameters.ssl_root = Some(decode(value)?),
                "sslcert" | "sslkey" | "sslcrl" => return Err(refused(format!("{key} is not supported"))),
                "target_session_attrs" => {
                    parameters.session = match value {
                        "read-write" | "primary" => TargetSessionAttrs::ReadWrite,
                        "any" => TargetSessionAttrs::Any,
                        _ => {
                            return Err(refused("target_session_attrs takes read-write or any: Posthaste writes"));
                        }
                    }
                }
                // libpq counts milliseconds, tokio-postgres seconds.
                "tcp_user_timeout" => {
                    let millis = value.parse().map_err(|_| refused("tcp_user_timeout takes milliseconds"))?;
                    parameters.tcp_user_timeout = Some(Duration::from_millis(millis));
                }
                "keepalives_count" => parameters.passed_on.push(("keepalives_retries", value)),
                // libpq's, without a meaning here.
                "gssencmode" | "fallback_application_name" | "client_encoding" | "sslcompression" => {}
                _ => parameters.passed_on.push((key, value)),
            }
        }
        Ok(parameters)
    }

    fn names(&self, key: &str) -> bool {
        self.passed_on.iter().any(|(name, _)| *name == key)
    }

    fn passed_on(&self) -> String {
        let pairs: Vec<String> = self.passed_on.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }

    fn tls_optional(&self) -> bool {
        matches!(self.ssl_mode.as_str(), "allow" | "prefer")
    }

    /// What to verify of the server's certificate; `None` without TLS. As libpq, `require` with a root verifies the chain,
    /// and `sslrootcert=system` the name as well.
    fn check(&self) -> Result<Option<Check>, DatabaseUrlError> {
        let roots = match self.ssl_root.as_deref() {
            None => None,
            Some("system") => Some(Roots::System),
            Some(file) => Some(Roots::File(file.into())),
        };
        Ok(match (self.ssl_mode.as_str(), roots) {
            ("disable", _) => None,
            ("allow" | "prefer", _) | ("require", None) => Some(Check::Nothing),
            ("require" | "verify-ca", Some(Roots::File(file))) => Some(Check::Chain(Roots::File(file))),
            ("require" | "verify-ca", Some(Roots::System)) => Some(Check::ChainAndName(Roots::System)),
            ("verify-ca", None) => Some(Check::Chain(Roots::System)),
            ("verify-full", roots) => Some(Check::ChainAndName(roots.unwrap_or(Roots::System))),
            _ => {
                return Err(refused("sslmode takes disable, allow, prefer, require, verify-ca or verify-full"));
            }
        })
    }
}

/// Undoes percent-encoding.
fn decode(value: &str) -> Result<String, DatabaseUrlError> {
    let wrong = || refused("a parameter's percent-encoding is wrong");
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = if first == b'%' {
            let digits = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok()).ok_or_else(wrong)?;
            bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
            tail.get(2..).unwrap_or_default()
        } else {
            bytes.push(first);
            tail
        };
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests;
