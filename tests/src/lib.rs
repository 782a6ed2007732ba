//! What the end-to-end, fault and contract tests stand on: real processes, a real PostgreSQL, a real HTTP receiver.
//!
//! - [`postgres::Server`]: one server per test process, or one of a test's own that it may kill.
//! - [`database::Database`]: a fresh database per test, migrated or empty.
//! - [`outbox::Outbox`]: queues and messages by SQL, and what became of them.
//! - [`process::Launch`] and [`process::Process`]: the built binaries, each on a port of its own, with signals.
//! - [`receiver::Receiver`]: records every request, answers as it is told.
//! - [`ledger::Ledger`]: a receiver that knows which messages came, and which more than once.
//! - [`cluster::Cluster`]: who owns and who leads, seen from the database.
//! - [`fault::Fault`]: what a fault may cost, and a check that nothing cost more.
//! - [`ticks`]: the ticks of crons, and a check that each second has one.
//! - [`client::Api`]: a JSON client for the API; [`socket::Socket`]: one for GraphQL over WebSocket.
//! - [`browser::Browser`]: a Chromium that can reach nothing but this machine.
//! - [`explained`]: the plans of statements, as they were executed.
//! - [`posting`]: clients that post while something breaks.
//! - [`guard`]: kills what a test has started and not stopped.
//! - [`wait`]: conditions with deadlines instead of sleeps.
//!
//! Nothing outlives the test process, however that ends: servers and processes are stopped by guards. Tests are written with
//! `#[actix_rt::test]`, because the client is awc, which wants a thread of its own.

pub mod browser;
pub mod client;
pub mod cluster;
pub mod database;
pub mod explained;
pub mod fault;
pub mod guard;
pub mod ledger;
pub mod outbox;
pub mod ports;
pub mod postgres;
pub mod posting;
pub mod process;
pub mod receiver;
pub mod scrape;
pub mod secure;
pub mod socket;
pub mod ticks;
pub mod wait;
