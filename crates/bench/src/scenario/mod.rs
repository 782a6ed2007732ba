//! The scenarios, and what they share: a fresh database each, real services, one sink, the same questions at the end.

pub mod cron;
pub mod drain;
pub mod flow;
pub mod horizon;
pub mod latency;
pub mod list;
pub mod neighbour;
pub mod raw;
pub mod rolling;

use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio_util::sync::CancellationToken;

use crate::database::Database;
use crate::processes::{Kind, Programs, Service};
use crate::report::Scenario;
use crate::server::Server;
use crate::sink::{Sink, Stats};

/// A run in which nothing arrives for so long has come to its end; takeover after a fault takes at most 15 s.
const PATIENCE: Duration = Duration::from_secs(30);

/// What every scenario needs.
pub struct Bench {
    pub server: Server,
    pub sink: Sink,
    pub programs: Programs,
    pub http: awc::Client,
    pub setup: Setup,
    /// Cancelled by Ctrl-C or SIGTERM.
    pub interrupted: CancellationToken,
}

/// What the command line says for all scenarios.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Deliverer processes.
    pub deliverers: u16,
    /// Threads of each; `None`: its own default, one per core.
    pub workers: Option<u16>,
    pub body_bytes: usize,
    /// A quick run that shows that everything works: its figures are coarse.
    pub short: bool,
}

impl Setup {
    fn describe(&self) -> String {
        let workers = self.workers.map_or("one per core".to_owned(), |workers| workers.to_string());
        format!("{}-byte bodies, {} deliverer(s), workers {workers}", self.body_bytes, self.deliverers)
    }

    /// `given`, or else the default of a short or a full run.
    fn or_default<T>(&self, given: Option<T>, full: T, short: T) -> T {
        given.unwrap_or(if self.short { short } else { full })
    }
}

impl Bench {
    /// Runs `scenario` on a fresh database, and drops that afterwards, also after an error or when interrupted.
    async fn with_database<T>(&self, scenario: impl AsyncFnOnce(&Database) -> anyhow::Result<T>) -> anyhow::Result<T> {
        let database = self.server.fresh().await?;
        let outcome = self.unless_interrupted(scenario(&database)).await;
        let closed = database.close().await;
        let outcome = outcome?;
        closed?;
        Ok(outcome)
    }

    /// The work's outcome, or an error as soon as the run is interrupted.
    async fn unless_interrupted<T>(&self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::select! {
            outcome = work => outcome,
            () = self.interrupted.cancelled() => Err(anyhow!("interrupted")),
        }
    }

    /// Starts the deliverers without waiting for them.
    fn start_deliverers(&self, database: &Database) -> anyhow::Result<Services> {
        let start = |_| self.programs.start(Kind::Deliverer, &database.url, self.setup.workers);
        Ok(Services((0..self.setup.deliverers).map(start).collect::<Result<_, _>>()?))
    }

    /// Starts one API, one scheduler and the deliverers, and waits until all are ready.
    async fn start_all(&self, database: &Database) -> anyhow::Result<Services> {
        let mut services = self.start_deliverers(database)?;
        services.0.push(self.programs.start(Kind::Scheduler, &database.url, None)?);
        services.0.push(self.programs.start(Kind::Api, &database.url, None)?);
        services.ready(&self.http).await?;
        Ok(services)
    }

    /// Makes a queue over HTTP; returns its id as the API writes it.
    async fn post_queue(&self, api: &str, callback_url: &str) -> anyhow::Result<String> {
        let queue =
            serde_json::json!({ "name": "bench", "callbackUrl": callback_url, "method": "POST", "maxRetries": 5 });
        let mut response = self
            .http
            .post(format!("{api}/queues"))
            .send_json(&queue)
            .await
            .map_err(|error| anyhow!("the API does not answer: {error}"))?;
        let body = response.body().await?;
        if !response.status().is_success() {
            return Err(anyhow!("the API made no queue: {} {}", response.status(), String::from_utf8_lossy(&body)));
        }
        let made: serde_json::Value = serde_json::from_slice(&body)?;
        let id = made.get("id").context("the new queue has no id")?;
        Ok(id.as_str().map_or_else(|| id.to_string(), str::to_owned))
    }

    /// Waits until `expected` messages have arrived and all outcomes are stored, or until nothing moves any more.
    async fn wait_until_done(&self, database: &Database, expected: u64) -> anyhow::Result<()> {
        if self.sink.wait_for(expected, PATIENCE).await? >= expected {
            database.settled(PATIENCE).await?;
        }
        Ok(())
    }

    /// Looks, once the services have stopped and nothing can arrive any more, whether every one of the messages 0, …,
    /// `expected - 1` arrived exactly once and is recorded as delivered; writes what is wrong into `scenario`.
    /// `unnumbered`: messages delivered before the sink's ledger was cleared.
    async fn verify(
        &self,
        database: &Database,
        scenario: &mut Scenario,
        expected: u64,
        unnumbered: u64,
    ) -> anyhow::Result<Stats> {
        let stats = self.sink.stats(expected).await?;
        let attempts = database.attempts().await?;
        let mut fault = |text: String| scenario.faults.push(text);
        if !stats.missing.is_empty() || stats.distinct < expected {
            fault(format!(
                "{} of {expected} messages did not arrive, such as {:?}",
                expected.saturating_sub(stats.distinct),
                stats.missing
            ));
        }
        if stats.distinct > expected {
            fault(format!("{} messages arrived, but only {expected} were accepted", stats.distinct));
        }
        if stats.duplicates > 0 {
            fault(format!("{} duplicate deliveries, such as of {:?}", stats.duplicates, stats.duplicated));
        }
        if stats.foreign > 0 {
            fault(format!("{} requests that belong to no message of this run", stats.foreign));
        }
        if u64::try_from(attempts.delivered)? != expected + unnumbered {
            fault(format!("{} messages are recorded as delivered, not {}", attempts.delivered, expected + unnumbered));
        }
        if attempts.others > 0 {
            fault(format!("{} attempts failed, though the receiver always answers 200", attempts.others));
        }
        if !database.settled(Duration::ZERO).await? {
            fault("messages are still pending".to_owned());
        }
        scenario.add("lost", "", as_f64(expected.saturating_sub(stats.distinct)));
        scenario.add("duplicates", "", as_f64(stats.duplicates));
        Ok(stats)
    }
}

/// The services of one scenario; dropping them kills them.
struct Services(Vec<Service>);

impl Services {
    async fn ready(&mut self, http: &awc::Client) -> anyhow::Result<()> {
        for service in &mut self.0 {
            service.ready(http).await?;
        }
        Ok(())
    }

    fn of(&self, kind: Kind) -> impl Iterator<Item = &Service> {
        self.0.iter().filter(move |service| service.kind == kind)
    }

    fn api(&self) -> anyhow::Result<String> {
        Ok(self.of(Kind::Api).next().context("no API was started")?.url())
    }

    /// CPU time of all services of a kind.
    fn cpu(&self, kind: Kind) -> Option<Duration> {
        self.of(kind).map(Service::cpu).sum()
    }

    /// Peak memory of the largest service of a kind, in MiB.
    fn peak_memory(&self, kind: Kind) -> Option<f64> {
        self.of(kind).filter_map(Service::peak_memory).max().map(|bytes| as_f64(bytes) / 1024.0 / 1024.0)
    }

    async fn stop(self) -> anyhow::Result<()> {
        futures_util::future::try_join_all(self.0.into_iter().map(Service::stop)).await?;
        Ok(())
    }
}

/// CPU times of all that take part.
#[derive(Debug, Clone, Copy)]
struct Cpu {
    deliverer: Option<Duration>,
    api: Option<Duration>,
    postgres: Option<Duration>,
    sink: Option<Duration>,
    load: Option<Duration>,
}

impl Cpu {
    fn now(bench: &Bench, database: &Database, services: &Services) -> Cpu {
        Cpu {
            deliverer: services.cpu(Kind::Deliverer),
            api: services.cpu(Kind::Api),
            postgres: database.cpu(),
            sink: crate::cpu::of_tree(bench.sink.pid()),
            load: crate::cpu::of_this_process(),
        }
    }

    /// Adds what `messages` have cost since `self`, per thousand of them.
    fn add_costs_until(&self, later: &Cpu, messages: u64, scenario: &mut Scenario) {
        let thousands = as_f64(messages) / 1000.0;
        let parts = [
            ("deliverer", self.deliverer, later.deliverer),
            ("API", self.api, later.api),
            ("Postgres", self.postgres, later.postgres),
            ("sink", self.sink, later.sink),
            ("load generator", self.load, later.load),
        ];
        for (part, before, after) in parts {
            let spent = after.zip(before).map(|(after, before)| after.saturating_sub(before));
            if let Some(spent) = spent.filter(|spent| !spent.is_zero()) {
                scenario.add(&format!("CPU per 1,000: {part}"), "ms", spent.as_secs_f64() * 1000.0 / thousands);
            }
        }
    }
}

/// Counts here stay far below 2^53.
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// `count` per second between two instants in nanoseconds; 0 where no time lies between them.
fn per_second(count: u64, from: u64, to: u64) -> f64 {
    if to <= from { 0.0 } else { as_f64(count) * 1e9 / as_f64(to - from) }
}

/// Microseconds as milliseconds.
fn ms(microseconds: u64) -> f64 {
    as_f64(microseconds) / 1000.0
}
