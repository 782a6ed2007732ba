//! Lists and counts of the store: that they are right, and that they are cheap.

mod data;
mod model;
mod random;

use std::sync::OnceLock;

use posthaste_tests::postgres::Server;

/// One server for all tests of this process.
fn server() -> &'static Server {
    static SERVER: OnceLock<&'static Server> = OnceLock::new();
    SERVER.get_or_init(Server::shared)
}
