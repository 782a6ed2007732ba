//! All SQL of Posthaste, and nothing else: pool, schema, one module per table, the deliverer's reading and writing, locks
//! and wake-ups, migrations.
//!
//! Rows go in and out as the types of `posthaste-core`; diesel's types do not leave this crate. Everything fails with
//! [`error::StoreError`], which tells what can be tried again from what cannot.

pub mod api_key;
pub mod attempt;
pub mod audit;
pub mod backlog;
pub mod cancel;
pub mod change;
pub mod changing;
pub mod connect;
pub mod count;
pub mod cron;
pub mod error;
pub mod flow;
pub mod job;
pub mod lease;
pub mod listing;
pub mod message;
pub mod migrations;
pub mod outcome;
pub mod page;
pub mod partition;
pub mod payload;
pub mod pool;
pub mod queue;
pub mod queue_credentials;
pub mod queue_secret;
pub mod queue_state;
pub mod reading;
pub mod resealing;
pub mod retention;
pub mod schema;
pub mod session;
pub mod shard;
mod statement;
pub mod statistics;
pub mod subscription;
pub mod target;
pub mod test_delivery;
pub mod tick;
mod tls;
pub mod wakeup;
