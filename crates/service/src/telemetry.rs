//! Logs: one line per event on stderr, as JSON for machines or as text for people.

use std::io::IsTerminal;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

use crate::environment::{ConfigError, Faults, Variables, read};
use crate::metrics::Metrics;
use crate::traces::TraceConfig;

/// What a service tells of itself besides its logs.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    /// Where it keeps its metrics.
    pub metrics: Metrics,
    /// Where its spans go.
    pub traces: TraceConfig,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// Text, coloured on a terminal.
    Pretty,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    filter: String,
    format: LogFormat,
}

/// The variables of [`LogConfig`].
#[derive(Debug, Deserialize)]
pub struct LogVariables {
    /// Filter directives of tracing: a level, or `target=level`, comma-separated. Default `info`.
    log: Option<String>,
    /// `json` or `pretty`; the default is the program's.
    log_format: Option<String>,
}

impl LogConfig {
    /// Reads `LOG` and `LOG_FORMAT`.
    ///
    /// # Errors
    /// Their faults.
    pub fn read(variables: &Variables, default: LogFormat) -> Result<LogConfig, ConfigError> {
        let raw: LogVariables = read(variables)?;
        let mut faults = Faults::default();
        let filter = faults.or("LOG", "info".to_owned(), raw.log, filter);
        let format = faults.or("LOG_FORMAT", default, raw.log_format, |value| match value {
            "json" => Ok(LogFormat::Json),
            "pretty" => Ok(LogFormat::Pretty),
            _ => Err(format!("takes json or pretty, not {value:?}")),
        });
        faults.finish(|| Some(LogConfig { filter, format }))
    }
}

/// tracing takes a misspelt level for the name of a target, and then logs nothing; so a directive without `=` must be a
/// level here.
fn filter(value: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let known = |directive: &str| directive.contains(['=', '[']) || LEVELS.contains(&directive.to_lowercase().as_str());
    if value.split(',').map(str::trim).all(known) && EnvFilter::try_new(value).is_ok() {
        Ok(value.to_owned())
    } else {
        Err(format!("takes {} or TARGET=LEVEL, comma-separated, not {value:?}", LEVELS.join(", ")))
    }
}

/// The filter, without what may not be logged. Below `info` these libraries log what passes through them: bound values,
/// headers, whole requests, and with them bodies and secrets. The last directive for a target counts.
fn bounded(filter: &str) -> String {
    const LIBRARIES: [&str; 10] = [
        "tokio_postgres",
        "postgres_protocol",
        "actix_http",
        "actix_web",
        "awc",
        "h2",
        "hyper",
        "hyper_util",
        "reqwest",
        "rustls",
    ];
    // What they say at `info` is about themselves.
    const CHATTY: [&str; 2] = ["actix_server", "tokio_cron_scheduler"];
    let limited = LIBRARIES.map(|library| format!("{library}=info")).join(",");
    let quiet = CHATTY.map(|library| format!("{library}=warn")).join(",");
    match filter {
        "off" | "error" => filter.to_owned(),
        // Whoever sends malformed HTTP would be logged as an error of ours.
        _ => format!("{quiet},{filter},{limited},actix_http::h1::dispatcher=off"),
    }
}

/// Sends this process's logs to stderr. The first call counts; there is one subscriber per process, and a second service
/// in it shares the first one's.
pub fn init(config: &LogConfig) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(bounded(&config.filter)))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let _ = match config.format {
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
        LogFormat::Pretty => builder.try_init(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libraries_log_of_requests_cannot_be_asked_for() {
        for wish in ["trace", "debug,tokio_postgres=trace"] {
            let filter = bounded(wish);
            assert!(EnvFilter::try_new(&filter).is_ok(), "{filter}");
            assert!(filter.rfind("tokio_postgres=info") > filter.rfind("tokio_postgres=trace"), "{filter}");
        }
    }

    fn log(pairs: &[(&str, &str)]) -> Result<LogConfig, ConfigError> {
        LogConfig::read(&pairs.iter().copied().collect(), LogFormat::Json)
    }

    #[test]
    fn defaults() {
        assert_eq!(log(&[]), Ok(LogConfig { filter: "info".to_owned(), format: LogFormat::Json }));
    }

    #[test]
    fn filters() {
        assert!(log(&[("LOG", "warn,posthaste_deliverer=debug"), ("LOG_FORMAT", "pretty")]).is_ok());
        for wrong in ["debgu", "info,nonsense", "posthaste=loud", "a=b=c"] {
            let error = log(&[("LOG", wrong)]).unwrap_err();
            assert_eq!(error.faults().first().map(|fault| fault.variable.as_str()), Some("LOG"), "{wrong}");
        }
    }

    #[test]
    fn both_faults_are_told() {
        assert_eq!(log(&[("LOG", "x"), ("LOG_FORMAT", "xml")]).unwrap_err().faults().len(), 2);
    }
}
