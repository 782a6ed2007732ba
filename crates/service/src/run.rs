//! From the start of a process to its end: configuration, logs, work, signals, exit status.
//!
//! | status | when |
//! | --- | --- |
//! | 0 | SIGTERM or SIGINT, and everything was drained |
//! | 1 | it could not start, or failed while it worked |
//! | 2 | the configuration is wrong; stderr has one line per fault |
//! | 130, 143 | a second SIGINT or SIGTERM: at once, without draining |

use std::net::SocketAddr;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::environment::{ConfigError, Variables};
use crate::metrics::{Metrics, MetricsError};
use crate::probe;
use crate::telemetry::{self, LogConfig, LogFormat, Telemetry};
use crate::traces::TraceConfig;

/// A service that serves.
#[derive(Debug)]
pub struct Running {
    /// Where its listener is bound, if it has one.
    pub address: Option<SocketAddr>,
    /// Resolves after the service was stopped and has drained, or when it failed, with a sentence that says why.
    pub finished: JoinHandle<Result<(), String>>,
}

/// Why a service did not start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong, or contradicts the database's.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The listener could not be bound.
    #[error("{variable}: {problem}")]
    Bind {
        /// `HOST` or `PORT`.
        variable: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The database cannot be reached or used.
    #[error("DATABASE_URL: {0}")]
    Database(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<MetricsError> for StartError {
    fn from(error: MetricsError) -> StartError {
        StartError::Other(error.to_string())
    }
}

impl StartError {
    fn status(&self) -> u8 {
        match self {
            StartError::Config(_) => 2,
            StartError::Bind { .. } | StartError::Database(_) | StartError::Other(_) => 1,
        }
    }
}

/// The `main` of a service's own program: with no argument it is the service; with `health` it asks how the one is that runs
/// ([`probe`]), on `port` unless `PORT` says otherwise.
pub fn main<C, F, Fut>(name: &str, port: u16, read: fn(&Variables) -> Result<C, ConfigError>, start: F) -> ExitCode
where
    F: FnOnce(C, Telemetry, CancellationToken) -> Fut,
    Fut: Future<Output = Result<Running, StartError>>,
{
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run_service(name, read, start),
        ["health"] => probe::run(name, port, &Variables::from_env()),
        _ => cannot_start(name, &StartError::Other("takes no argument, or health".to_owned())),
    }
}

/// A service: reads its configuration from the environment, logs (JSON unless `LOG_FORMAT` says otherwise),
/// starts it and stops it on a signal. `start` gets what it tells of itself by, and a token that is cancelled when the service is to
/// drain.
pub fn run_service<C, F, Fut>(name: &str, read: fn(&Variables) -> Result<C, ConfigError>, start: F) -> ExitCode
where
    F: FnOnce(C, Telemetry, CancellationToken) -> Fut,
    Fut: Future<Output = Result<Running, StartError>>,
{
    run(name, &Variables::from_env(), LogFormat::Json, read, start)
}

/// As [`run_service`], for a program with its own defaults: `variables` as it wants them, and its format of logs.
pub fn run<C, F, Fut>(
    name: &str,
    variables: &Variables,
    format: LogFormat,
    read: impl FnOnce(&Variables) -> Result<C, ConfigError>,
    start: F,
) -> ExitCode
where
    F: FnOnce(C, Telemetry, CancellationToken) -> Fut,
    Fut: Future<Output = Result<Running, StartError>>,
{
    let telling = ConfigError::both(LogConfig::read(variables, format), TraceConfig::read(variables));
    let ((log, traces), config) = match ConfigError::both(telling, read(variables)) {
        Ok(all) => all,
        Err(error) => return cannot_start(name, &error.into()),
    };
    telemetry::init(&log);
    raise_file_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return cannot_start(name, &StartError::Other(format!("no threads: {error}"))),
    };
    let telemetry = Telemetry { metrics: Metrics::default(), traces };
    let status = runtime.block_on(async {
        match Signals::new() {
            Ok(signals) => supervise(name, signals, |stop| start(config, telemetry, stop)).await,
            Err(error) => Outcome::NotStarted(StartError::Other(format!("no signals: {error}"))),
        }
    });
    // What still runs now was told to stop and did not, or is not waited for: a second signal.
    runtime.shutdown_background();
    match status {
        Outcome::NotStarted(error) => cannot_start(name, &error),
        Outcome::Ended(status) => ExitCode::from(status),
    }
}

/// Every connection is an open file, and a deliverer may have thousands; the usual limit of 1,024 is for programs that use
/// `select`. Left as it is where the system refuses: then connections fail one by one, and are retried.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, limit = limit.current, "the number of open files stays limited");
    }
}

/// Tells the person at the terminal, as a service that does not start is looked at first there.
fn cannot_start(name: &str, error: &StartError) -> ExitCode {
    tracing::error!(service = name, %error, "cannot start");
    #[allow(clippy::print_stderr, reason = "a person reads it; logs may be filtered, or not set up yet")]
    for line in error.to_string().lines() {
        eprintln!("{name}: {line}");
    }
    ExitCode::from(error.status())
}

#[derive(Debug, PartialEq)]
enum Outcome {
    NotStarted(StartError),
    Ended(u8),
}

/// Where requests to stop come from.
trait Interrupts {
    /// The next one, as the exit status that it has if it is not the first.
    async fn next(&mut self) -> u8;
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Signals> {
        Ok(Signals { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }
}

impl Interrupts for Signals {
    async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 143,
            _ = self.interrupt.recv() => 130,
        }
    }
}

/// Starts, waits for the end, and stops on the first interrupt. One that comes during the start is heard, too: the start
/// goes on with its token cancelled, so that whatever it has set up is torn down in order.
async fn supervise<F, Fut>(name: &str, mut interrupts: impl Interrupts, start: F) -> Outcome
where
    F: FnOnce(CancellationToken) -> Fut,
    Fut: Future<Output = Result<Running, StartError>>,
{
    let stop = CancellationToken::new();
    let work = async {
        let running = match start(stop.clone()).await {
            Ok(running) => running,
            Err(error) => return Outcome::NotStarted(error),
        };
        match running.address {
            Some(address) => tracing::info!(service = name, %address, "started"),
            None => tracing::info!(service = name, "started"),
        }
        match running.finished.await {
            Ok(Ok(())) => Outcome::Ended(0),
            Ok(Err(error)) => {
                tracing::error!(service = name, error, "failed");
                Outcome::Ended(1)
            }
            Err(error) => {
                tracing::error!(service = name, %error, "failed");
                Outcome::Ended(1)
            }
        }
    };
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            outcome = &mut work => return outcome,
            status = interrupts.next() => {
                if stop.is_cancelled() {
                    return Outcome::Ended(status);
                }
                tracing::info!(service = name, "stopping");
                stop.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    impl Interrupts for mpsc::UnboundedReceiver<u8> {
        async fn next(&mut self) -> u8 {
            match self.recv().await {
                Some(status) => status,
                None => std::future::pending().await,
            }
        }
    }

    fn running(work: impl Future<Output = Result<(), String>> + Send + 'static) -> Running {
        Running { address: None, finished: tokio::spawn(work) }
    }

    fn interrupts(statuses: &[u8]) -> mpsc::UnboundedReceiver<u8> {
        let (send, receive) = mpsc::unbounded_channel();
        for status in statuses {
            send.send(*status).unwrap();
        }
        receive
    }

    #[tokio::test]
    async fn the_first_signal_drains() {
        let outcome = supervise("x", interrupts(&[143]), async |stop| {
            Ok(running(async move {
                stop.cancelled().await;
                Ok(())
            }))
        });
        assert_eq!(outcome.await, Outcome::Ended(0));
    }

    #[tokio::test]
    async fn the_second_signal_does_not_wait() {
        for status in [130, 143] {
            let outcome = supervise("x", interrupts(&[143, status]), async |_| Ok(running(std::future::pending())));
            assert_eq!(outcome.await, Outcome::Ended(status));
        }
    }

    #[tokio::test]
    async fn a_service_that_ends_by_itself_with_an_error_failed() {
        let outcome = supervise("x", interrupts(&[]), async |_| Ok(running(async { Err("gone".to_owned()) })));
        assert_eq!(outcome.await, Outcome::Ended(1));
        let outcome = supervise("x", interrupts(&[]), async |_| Ok(running(async { panic!("gone") })));
        assert_eq!(outcome.await, Outcome::Ended(1));
    }

    #[tokio::test]
    async fn a_signal_during_the_start_is_heard() {
        let outcome = supervise("x", interrupts(&[143]), async |stop| {
            stop.cancelled().await;
            Ok(running(async { Ok(()) }))
        });
        assert_eq!(outcome.await, Outcome::Ended(0));
    }

    #[test]
    fn a_wrong_configuration_is_told_from_other_failures() {
        assert_eq!(StartError::from(ConfigError::new("PORT", "x")).status(), 2);
        assert_eq!(StartError::Database("x".to_owned()).status(), 1);
    }
}
