//! Lists and counts of the store: that they are right, and that they are cheap.

mod data;
mod model;
mod plans;
mod random;
mod relations;
mod scale;

use std::sync::OnceLock;

use posthaste_tests::postgres::Server;

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        Server::own_with(&[
            ("session_preload_libraries", "auto_explain"),
            ("auto_explain.log_analyze", "on"),
            ("auto_explain.log_buffers", "on"),
            ("auto_explain.log_timing", "off"),
            ("auto_explain.log_format", "json"),
            ("log_line_prefix", "%a|"),
            // Statistics are made when a test says so.
            ("autovacuum", "off"),
            // Nothing here is about what survives, and many rows are to be there soon.
            ("fsync", "off"),
            ("max_wal_size", "8GB"),
            ("shared_buffers", "512MB"),
        ])
    })
}
