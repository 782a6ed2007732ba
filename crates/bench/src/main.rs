//! `posthaste-bench`: a load generator and an HTTP sink, in scenarios that measure Posthaste and check that it kept its
//! promises meanwhile.
//!
//! Every scenario runs real service processes on a fresh database and ends with the same questions: did every accepted
//! message arrive, exactly once, and is it recorded as delivered? If not, the exit status is 1, however fast it was.

mod balancer;
mod body;
mod cpu;
mod database;
mod load;
mod processes;
mod report;
mod responder;
mod scenario;
mod server;
mod sink;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use processes::Programs;
use report::{Machine, Report, Scenario};
use scenario::cron::CronArgs;
use scenario::drain::DrainArgs;
use scenario::flow::FlowArgs;
use scenario::horizon::HorizonArgs;
use scenario::latency::LatencyArgs;
use scenario::list::ListArgs;
use scenario::neighbour::NeighbourArgs;
use scenario::raw::RawArgs;
use scenario::rolling::RollingArgs;
use scenario::{Bench, Setup, cron, drain, flow, horizon, latency, list, neighbour, raw, rolling};
use server::Server;
use sink::Sink;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Measures Posthaste: real service processes, a real Postgres, every message accounted for
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Common {
    /// A Postgres server, as postgres://…; databases are made on it and dropped again [default: an embedded server]
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Deliverer processes
    #[arg(long, global = true, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    deliverers: u16,
    /// Delivering threads in each [default: one per core]
    #[arg(long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    workers: Option<u16>,
    /// Size of a message's body
    #[arg(long, global = true, value_name = "BYTES", default_value_t = 200, value_parser = body_bytes)]
    body_bytes: usize,
    /// Fewer messages, less time: shows that everything works, its figures are coarse
    #[arg(long, global = true)]
    short: bool,
    /// Fail if a figure is beyond its bound, too
    #[arg(long, global = true)]
    check: bool,
    /// Write the report to this file as JSON
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The HTTP client's own limit: no database
    Raw(RawArgs),
    /// Deliver a backlog of due messages, beside the raw limit
    Drain(DrainArgs),
    /// Post over HTTP as fast as is accepted, while delivering
    Flow(FlowArgs),
    /// Post at a steady rate, measure POST to arrival
    Latency(LatencyArgs),
    /// Store and deliver while another session holds a transaction open
    Horizon(HorizonArgs),
    /// Many quiet queues beside some in trouble; takes minutes, and is not among `all`
    Neighbour(NeighbourArgs),
    /// Ask for lists of ten million messages; takes minutes and some 10 GB, and is not among `all`
    List(ListArgs),
    /// Bursts of crons at the same instant, and a million that are idle; takes minutes, and is not among `all`
    Cron(CronArgs),
    /// Replace every process one by one and scale deliverers while messages flow; needs haproxy, and is not among `all`
    Rolling(RollingArgs),
    /// All of these but `list`, `neighbour`, `cron` and `rolling`, with their defaults
    All,
    /// The receiver alone, until standard input ends; the other commands start it by themselves
    Sink {
        /// Port on the loopback interface; 0: any free one
        #[arg(long, default_value_t = 0)]
        port: u16,
    },
}

fn body_bytes(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size) if (body::SMALLEST..=1_000_000).contains(&size) => Ok(size),
        _ => Err(format!("from {} to 1000000", body::SMALLEST)),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Sink { port } => sink::run(port).map(|()| true),
        command => actix_rt::System::new().block_on(measure(&cli.common, &command)),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing can be done about a closed terminal.
            let _ = writeln!(std::io::stderr(), "posthaste-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the scenarios and reports; false where a promise was broken, or a bound with `--check`.
async fn measure(common: &Common, command: &Command) -> anyhow::Result<bool> {
    let interrupted = CancellationToken::new();
    actix_rt::spawn(cancel_on_signal(interrupted.clone())?);
    let server = match &common.database_url {
        Some(url) => Server::given(url)?,
        None => Server::embedded(&interrupted).await?,
    };
    let bench = Bench {
        server,
        sink: Sink::start().await?,
        programs: Programs::find()?,
        http: awc::Client::builder().timeout(Duration::from_secs(10)).disable_redirects().finish(),
        setup: Setup {
            deliverers: common.deliverers,
            workers: common.workers,
            body_bytes: common.body_bytes,
            short: common.short,
        },
        interrupted,
    };
    let outcome = run(&bench, common, command).await;
    bench.sink.stop().await?;
    bench.server.stop().await?;
    outcome
}

/// Ctrl-C and SIGTERM end a run in order: processes and databases of ours do not outlive it.
fn cancel_on_signal(interrupted: CancellationToken) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        interrupted.cancel();
    })
}

async fn run(bench: &Bench, common: &Common, command: &Command) -> anyhow::Result<bool> {
    let mut report =
        Report { machine: Machine::this(), postgres: bench.server.describe().await?, scenarios: Vec::new() };
    report.write_header(&mut std::io::stdout())?;
    match command {
        Command::Raw(args) => add(&mut report, [raw::run(bench, args).await?])?,
        Command::Drain(args) => add(&mut report, [drain::run(bench, args).await?])?,
        Command::Flow(args) => add(&mut report, [flow::run(bench, args).await?])?,
        Command::Latency(args) => add(&mut report, latency::run(bench, args).await?)?,
        Command::Horizon(args) => add(&mut report, horizon::run(bench, args).await?)?,
        Command::Neighbour(args) => add(&mut report, [neighbour::run(bench, args).await?])?,
        Command::List(args) => add(&mut report, [list::run(bench, args).await?])?,
        Command::Cron(args) => add(&mut report, cron::run(bench, args).await?)?,
        Command::Rolling(args) => add(&mut report, [rolling::run(bench, args).await?])?,
        Command::All => {
            add(&mut report, [raw::run(bench, &RawArgs::default()).await?])?;
            add(&mut report, [drain::run(bench, &DrainArgs::default()).await?])?;
            add(&mut report, [flow::run(bench, &FlowArgs::default()).await?])?;
            add(&mut report, latency::run(bench, &LatencyArgs::default()).await?)?;
            add(&mut report, horizon::run(bench, &HorizonArgs::default()).await?)?;
        }
        Command::Sink { .. } => {}
    }
    if let Some(file) = &common.json {
        let json = serde_json::to_vec_pretty(&report)?;
        std::fs::write(file, json).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(report.is_good(common.check))
}

/// Prints scenarios as soon as they have ended, and keeps them.
fn add(report: &mut Report, scenarios: impl IntoIterator<Item = Scenario>) -> anyhow::Result<()> {
    for scenario in scenarios {
        scenario.write(&mut std::io::stdout())?;
        report.scenarios.push(scenario);
    }
    Ok(())
}
