//! The services under test: real processes of the binaries that were built together with this one.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::cpu;

const START_WITHIN: Duration = Duration::from_secs(30);
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// Settings of the caller's environment that would change what is measured: they are taken away, and set as needed.
const SETTINGS: [&str; 16] = [
    "DATABASE_URL",
    "LOCK_DATABASE_URL",
    "HOST",
    "PORT",
    "ADMIN_SECRET",
    "ALLOW_ANONYMOUS",
    "EGRESS_ALLOW",
    "EGRESS_DENY",
    "EGRESS_PORTS",
    "EGRESS_SCHEMES",
    "WORKERS",
    "SHARDS",
    "LOG",
    "LOG_FORMAT",
    "POOL_SIZE",
    "MAX_BODY_BYTES",
];

/// One of the three services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Api,
    Scheduler,
    Deliverer,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Api => "api",
            Kind::Scheduler => "scheduler",
            Kind::Deliverer => "deliverer",
        }
    }
}

/// Where the binaries are, and where the services' logs go.
pub struct Programs {
    folder: PathBuf,
    logs: TempDir,
}

impl Programs {
    /// The binaries beside this one.
    pub fn find() -> anyhow::Result<Programs> {
        let own = std::env::current_exe()?;
        let folder = own.parent().context("this program has no folder")?.to_owned();
        Ok(Programs { folder, logs: tempfile::tempdir()? })
    }

    /// The command line for a service: `posthaste KIND`, or else `posthaste-KIND`.
    fn command(&self, kind: Kind) -> anyhow::Result<Command> {
        let all_in_one = self.folder.join("posthaste");
        if all_in_one.is_file() {
            let mut command = Command::new(all_in_one);
            command.arg(kind.name());
            return Ok(command);
        }
        let own = self.folder.join(format!("posthaste-{}", kind.name()));
        if !own.is_file() {
            bail!(
                "found neither `posthaste` nor `posthaste-{}` in {}: build them first, with `cargo build --workspace` \
                 and the same profile",
                kind.name(),
                self.folder.display()
            );
        }
        Ok(Command::new(own))
    }

    /// Starts a service against `database_url`, without waiting for it. `workers`: delivering threads, where it delivers.
    pub fn start(&self, kind: Kind, database_url: &str, workers: Option<u16>) -> anyhow::Result<Service> {
        self.start_on(kind, free_port()?, database_url, workers)
    }

    /// The same, on this port.
    pub fn start_on(&self, kind: Kind, port: u16, database_url: &str, workers: Option<u16>) -> anyhow::Result<Service> {
        let log = self.logs.path().join(format!("{}-{port}.log", kind.name()));
        let output = File::create(&log)?;
        let mut command = self.command(kind)?;
        for setting in SETTINGS {
            command.env_remove(setting);
        }
        command
            .env("DATABASE_URL", database_url)
            .env("HOST", "127.0.0.1")
            .env("PORT", port.to_string())
            .env("ALLOW_ANONYMOUS", "true")
            .env("EGRESS_ALLOW", "127.0.0.0/8")
            .env("LOG", "warn");
        if let Some(workers) = workers {
            command.env("WORKERS", workers.to_string());
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start the {}", kind.name()))?;
        let pid = process.id().context("it has ended already")?;
        Ok(Service { kind, process, pid, port, log })
    }
}

/// A running service; dropping it kills it.
pub struct Service {
    pub kind: Kind,
    process: Child,
    pid: u32,
    port: u16,
    log: PathBuf,
}

impl Service {
    /// The base URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// CPU time since its start.
    pub fn cpu(&self) -> Option<Duration> {
        cpu::of_tree(self.pid)
    }

    /// Bytes.
    pub fn peak_memory(&self) -> Option<u64> {
        cpu::peak_memory(self.pid)
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self, http: &awc::Client) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("the {} ended ({status}): {}", self.kind.name(), self.last_words());
            }
            if let Ok(response) = http.get(format!("{}/readyz", self.url())).send().await
                && response.status().is_success()
            {
                return Ok(());
            }
            if since.elapsed() > START_WITHIN {
                bail!("the {} is not ready after {START_WITHIN:?}: {}", self.kind.name(), self.last_words());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Asks it to stop, and waits until it has; an error if it does not, or not cleanly.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw).context("a process id out of range")?;
        if let Some(status) = self.process.try_wait()? {
            bail!("the {} ended by itself ({status}): {}", self.kind.name(), self.last_words());
        }
        kill_process(pid, Signal::TERM)?;
        match tokio::time::timeout(STOP_WITHIN, self.process.wait()).await {
            Ok(status) => {
                let status = status?;
                if !status.success() {
                    bail!("the {} ended with {status}: {}", self.kind.name(), self.last_words());
                }
                Ok(())
            }
            Err(_) => bail!("the {} did not stop within {STOP_WITHIN:?}: {}", self.kind.name(), self.last_words()),
        }
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(20)..).unwrap_or_default();
        if last.is_empty() { "it logged nothing".to_owned() } else { last.join("\n") }
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
