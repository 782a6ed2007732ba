//! What holds several deliverers together: one owner a shard, fenced outcomes, and arrivals that miss nothing.

mod arrivals;
mod fence;
mod shards;

use std::time::Duration;

use posthaste_core::ids::Shard;
use posthaste_store::connect::Connection;
use posthaste_store::connect::{Purpose, connect};
use posthaste_tests::database::Database;

/// Within this, or the test fails. More than anything takes, for busy machines.
const SOON: Duration = Duration::from_secs(15);

/// As many as the migration makes.
const SHARDS: i32 = 64;

fn all_shards() -> Vec<Shard> {
    (0..SHARDS).map(Shard).collect()
}

/// A session as the deliverer's own.
async fn session(database: &Database, purpose: Purpose) -> Connection {
    connect(&database.url().parse().unwrap(), purpose).await.unwrap()
}
