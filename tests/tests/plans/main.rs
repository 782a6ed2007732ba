//! The plans of the hot statements: prepared on an empty table that then grows to a million rows, they stay index plans,
//! and touch no more rows than they answer.
//!
//! What is judged is what was executed: a server of these tests' own writes the plan of every statement, with the rows
//! that each node really met, into its log.

mod firing;
mod growing;

use std::sync::OnceLock;
use std::time::Duration;

use posthaste_tests::postgres::Server;

/// Within this, or the test fails. More than anything takes, for busy machines.
const SOON: Duration = Duration::from_secs(30);

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        Server::own_with(&[
            ("session_preload_libraries", "auto_explain"),
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_analyze", "on"),
            ("auto_explain.log_timing", "off"),
            ("auto_explain.log_format", "json"),
            ("log_line_prefix", "%a|"),
            // Statistics are made when a test says so.
            ("autovacuum", "off"),
            // Nothing here is about what survives, and a million rows are to be there soon.
            ("fsync", "off"),
            ("max_wal_size", "8GB"),
            ("shared_buffers", "512MB"),
        ])
    })
}
