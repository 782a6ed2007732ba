//! `posthaste dev`: everything in one process, on the given database or an embedded server.
//!
//! The services share nothing but the process: each has its own configuration, connections and token to stop by, as if it
//! were alone. On a signal the API ends first, so that nothing new comes in; then the scheduler; then the deliverer, which
//! finishes what it is sending; then the server. Killed instead, everything accepted is in the database, and the next start
//! goes on from there.

use std::io::Write;
use std::path::PathBuf;

use posthaste_service::environment::{ConfigError, Faults, Variables, read};
use posthaste_service::{Running, StartError, Telemetry};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::announcement::{Announcement, DatabasePlace};
use crate::embedded::{Embedded, EmbeddedError, NAME, Restart, Search, Settings, default_folder};
use crate::migrate;
use crate::secrets_key;

/// Receivers under development run on the same machine.
const LOOPBACK: &str = "127.0.0.0/8,::1/128";

/// Stands for the embedded server's URL while the other settings are checked, before that server is started.
const NOT_YET: &str = "postgres://posthaste@127.0.0.1/posthaste";

/// What the all-in-one is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// All variables; the services read theirs once the database is known.
    variables: Variables,
    /// The server to start; `None` where `DATABASE_URL` is set.
    embedded: Option<Settings>,
}

/// The variables of [`Config`], over and above those of the services.
#[derive(serde::Deserialize)]
pub struct ConfigVariables {
    /// Where the embedded server keeps its data. Default: `$XDG_DATA_HOME/posthaste`, else `~/.local/share/posthaste`;
    /// for root `/var/lib/posthaste`.
    data_dir: Option<String>,
    /// The folder of `initdb` and `postgres`. Default: the first usable one in `PATH` and the usual places.
    postgres_bin: Option<String>,
    /// Where it is set, no server is started.
    database_url: Option<String>,
    lock_database_url: Option<String>,
}

/// The defaults that differ from those of the services on their own.
pub fn with_defaults(mut variables: Variables) -> Variables {
    variables.default_to("HOST", "127.0.0.1");
    variables.default_to("EGRESS_ALLOW", LOOPBACK);
    variables
}

impl Config {
    /// Reads the configuration and checks that of every service, too.
    ///
    /// # Errors
    /// Every fault, each with its variable.
    pub fn read(variables: &Variables) -> Result<Self, ConfigError> {
        let raw: ConfigVariables = read(variables)?;
        let mut faults = Faults::default();
        let folder = faults.optional("DATA_DIR", raw.data_dir, absolute);
        let binaries = faults.optional("POSTGRES_BIN", raw.postgres_bin, |value| match absolute(value) {
            Ok(folder) if !folder.join("postgres").is_file() || !folder.join("initdb").is_file() => {
                Err(format!("takes the folder that holds initdb and postgres; {value} does not"))
            }
            result => result,
        });
        let embedded = if raw.database_url.is_some() {
            None
        } else {
            if raw.lock_database_url.is_some() {
                faults.add("LOCK_DATABASE_URL", "is of use only together with DATABASE_URL, which is not set");
            }
            let folder = match folder {
                Some(folder) => Some(folder),
                None => default_folder().map_err(|error| faults.add("DATA_DIR", error.to_string())).ok(),
            };
            folder.map(|folder| Settings {
                folder,
                search: binaries.map_or_else(Search::usual, Search::only),
                parameters: Vec::new(),
                restart: Restart::Always,
                discard: false,
            })
        };
        let mut for_services = variables.clone();
        for_services.default_to("DATABASE_URL", NOT_YET);
        let own = faults.finish(|| Some(Self { variables: variables.clone(), embedded }));
        ConfigError::both(own, Services::read(&for_services)).map(|(config, _)| config).map_err(each_once)
    }
}

/// Several services read the same variable; one fault of it is enough.
fn each_once(error: ConfigError) -> ConfigError {
    let mut told = Vec::new();
    let mut faults = Faults::default();
    for fault in error.faults() {
        if !told.contains(&&fault.variable) {
            told.push(&fault.variable);
            faults.add(&fault.variable, &fault.problem);
        }
    }
    faults.finish(|| None::<()>).err().unwrap_or(error)
}

/// The services' configurations.
struct Services {
    migration: migrate::Config,
    api: posthaste_api::Config,
    scheduler: posthaste_scheduler::Config,
    deliverer: posthaste_deliverer::Config,
}

impl Services {
    fn read(variables: &Variables) -> Result<Self, ConfigError> {
        // PORT is the API's here.
        let mut portless = variables.clone();
        portless.set("PORT", "");
        let migration = migrate::Config::read(&portless);
        let api = posthaste_api::Config::read(variables);
        let scheduler = posthaste_scheduler::Config::read(&portless);
        let deliverer = posthaste_deliverer::Config::read(&portless);
        let ((migration, api), (scheduler, deliverer)) =
            ConfigError::both(ConfigError::both(migration, api), ConfigError::both(scheduler, deliverer))?;
        // The API's health stands for all.
        let scheduler = posthaste_scheduler::Config { health_port: None, ..scheduler };
        let deliverer = posthaste_deliverer::Config { health_port: None, ..deliverer };
        Ok(Self { migration, api, scheduler, deliverer })
    }
}

fn absolute(value: &str) -> Result<PathBuf, String> {
    std::path::absolute(value).map_err(|error| format!("takes a folder: {error}"))
}

/// Starts the server if there is to be one, migrates, starts the services, and prints the addresses. Cancelling `stop` drains
/// and stops all of it, and then resolves `finished`.
///
/// # Errors
/// One of them does not start; those that were started are stopped again.
pub async fn start(config: Config, telemetry: Telemetry, stop: CancellationToken) -> Result<Running, StartError> {
    let Config { mut variables, embedded } = config;
    let server = match embedded {
        Some(settings) => {
            let chosen = variables.get("POSTGRES_BIN").is_some();
            match start_server(settings, chosen, stop.clone()).await? {
                Some(server) => Some(server),
                None => return Ok(Running { address: None, finished: tokio::spawn(async { Ok(()) }) }),
            }
        }
        None => None,
    };
    if let Some(server) = &server {
        variables.set("DATABASE_URL", &server.url(NAME));
        let key = secrets_key::read_or_make(server.folder());
        let key = key.map_err(|error| StartError::Other(format!("the key of the data folder: {error}")))?;
        variables.default_to("SECRETS_KEY", &key);
    }
    let mut parts = Parts { services: Vec::new(), server };
    match start_services(&variables, &telemetry, &mut parts).await {
        Ok(announcement) => {
            // A terminal that is gone is no reason to stop.
            let _ = writeln!(std::io::stdout(), "{announcement}");
            let address = Some(announcement.api);
            Ok(Running { address, finished: tokio::spawn(parts.run(stop)) })
        }
        Err(error) => {
            // What it has to say about its own end matters less than why it must end.
            let _ = parts.end().await;
            Err(error)
        }
    }
}

/// `None` if `stop` was cancelled meanwhile. `chosen`: the binaries were chosen by `POSTGRES_BIN`, which is then to blame if
/// they do not do.
async fn start_server(
    settings: Settings,
    chosen: bool,
    stop: CancellationToken,
) -> Result<Option<Embedded>, StartError> {
    let started = tokio::task::spawn_blocking(move || Embedded::start(settings, &stop)).await;
    match started.map_err(|error| StartError::Other(error.to_string()))? {
        Ok(server) => Ok(Some(server)),
        Err(EmbeddedError::Abandoned) => Ok(None),
        Err(EmbeddedError::Setting { setting, message }) => Err(ConfigError::new(setting, message).into()),
        Err(EmbeddedError::NoBinaries(nothing)) if chosen => {
            Err(ConfigError::new("POSTGRES_BIN", nothing.unusable.join("; ")).into())
        }
        Err(error) => Err(StartError::Other(error.to_string())),
    }
}

async fn start_services(
    variables: &Variables,
    telemetry: &Telemetry,
    parts: &mut Parts,
) -> Result<Announcement, StartError> {
    let services = Services::read(variables)?;
    let given = services.api.database_url.to_string();
    let migrated = migrate::migrate(&services.migration).await?;
    for name in &migrated.applied {
        tracing::info!(name, "applied a migration");
    }
    // The API last: once it answers, all that it stands for runs.
    let token = CancellationToken::new();
    let deliverer = posthaste_deliverer::start(services.deliverer, telemetry.clone(), token.clone()).await?;
    parts.put_first("deliverer", token, deliverer);
    let token = CancellationToken::new();
    let scheduler = posthaste_scheduler::start(services.scheduler, telemetry.clone(), token.clone()).await?;
    parts.put_first("scheduler", token, scheduler);
    let token = CancellationToken::new();
    let api = posthaste_api::start(services.api, telemetry.clone(), token.clone()).await?;
    let address = api.address;
    parts.put_first("api", token, api);

    Ok(Announcement {
        api: address.ok_or_else(|| StartError::Other("the API has no listener".to_owned()))?,
        database: match &parts.server {
            None => DatabasePlace::Given(given),
            Some(server) => DatabasePlace::Embedded {
                folder: server.folder().to_owned(),
                sockets: server.sockets().to_owned(),
                port: server.port(),
            },
        },
        secret: variables.get("ADMIN_SECRET").is_some(),
    })
}

/// A service that was started.
struct Part {
    name: &'static str,
    stop: CancellationToken,
    finished: JoinHandle<Result<(), String>>,
}

/// All that runs, in the order in which it ends.
struct Parts {
    services: Vec<Part>,
    server: Option<Embedded>,
}

impl Parts {
    /// Adds one that is to end before all that were added earlier.
    fn put_first(&mut self, name: &'static str, stop: CancellationToken, running: Running) {
        self.services.insert(0, Part { name, stop, finished: running.finished });
    }

    /// Until `stop`, or until a service ends by itself, which ends the others, too.
    async fn run(mut self, stop: CancellationToken) -> Result<(), String> {
        let ended = {
            let finished = futures_util::future::select_all(self.services.iter_mut().map(|part| &mut part.finished));
            tokio::select! {
                () = stop.cancelled() => None,
                (result, index, _) = finished => Some((index, result)),
            }
        };
        let mut problems = Vec::new();
        if let Some((index, result)) = ended {
            let part = self.services.remove(index);
            problems.push(match result {
                Ok(Ok(())) => format!("the {} ended by itself", part.name),
                Ok(Err(error)) => format!("the {} failed: {error}", part.name),
                Err(error) => format!("the {} failed: {error}", part.name),
            });
        }
        problems.extend(self.end().await);
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// Ends one after the other. Returns what went wrong.
    async fn end(self) -> Vec<String> {
        let mut problems = Vec::new();
        for part in self.services {
            part.stop.cancel();
            match part.finished.await {
                Ok(Ok(())) => tracing::info!(service = part.name, "stopped"),
                Ok(Err(error)) => problems.push(format!("the {} failed: {error}", part.name)),
                Err(error) => problems.push(format!("the {} failed: {error}", part.name)),
            }
        }
        if let Some(server) = self.server {
            match tokio::task::spawn_blocking(|| server.stop()).await {
                Ok(()) => tracing::info!("PostgreSQL is stopped"),
                Err(error) => problems.push(format!("PostgreSQL: {error}")),
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::read(&with_defaults(pairs.iter().copied().collect()))
    }

    fn faulty(pairs: &[(&str, &str)]) -> Vec<String> {
        config(pairs).unwrap_err().faults().iter().map(|fault| fault.variable.clone()).collect()
    }

    #[test]
    fn a_database_that_is_given_is_used() {
        let config = config(&[("DATABASE_URL", "postgres://me@db/app")]).unwrap();
        assert!(config.embedded.is_none());
    }

    #[test]
    fn without_one_a_server_is_started_in_the_data_folder() {
        let settings = config(&[("DATA_DIR", "/data/posthaste")]).unwrap().embedded.unwrap();
        assert_eq!(settings.folder, PathBuf::from("/data/posthaste"));
        assert_eq!(settings.restart, Restart::Always);
        assert!(!settings.discard);
    }

    #[test]
    fn faults_are_found_before_anything_is_started() {
        assert_eq!(faulty(&[("DATA_DIR", "/d"), ("POSTGRES_BIN", "/nowhere")]), ["POSTGRES_BIN"]);
        assert_eq!(faulty(&[("DATA_DIR", "/d"), ("LOCK_DATABASE_URL", "postgres://db/app")]), ["LOCK_DATABASE_URL"]);
        assert_eq!(faulty(&[("DATA_DIR", "/d"), ("PORT", "x")]), ["PORT"], "it is the API's alone");
        assert_eq!(faulty(&[("DATA_DIR", "/d"), ("SHARDS", "0")]), ["SHARDS"], "read by all, told once");
    }
}
