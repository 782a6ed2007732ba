//! The shell that all binaries share: configuration from the environment, logs, metrics, traces, health, start and graceful stop.
//!
//! It knows neither the store nor the rules of the core. Nothing here is kept process-wide but the log subscriber, so that
//! several services run in one process (`posthaste dev`, tests) without meeting.

pub mod environment;
pub mod health;
pub mod metrics;
pub mod parse;
pub mod probe;
pub mod run;
pub mod telemetry;
pub mod traces;

pub use environment::{ConfigError, Variables};
pub use run::{Running, StartError, run_service};
pub use telemetry::Telemetry;
