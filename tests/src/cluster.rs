//! What a cluster looks like from its database: who owns which shards, who leads, what is pending, what was recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio_postgres::Client;

use crate::database::Database;
use crate::ledger::Ledger;
use crate::process::{Launch, Process};
use crate::wait;

/// Ownership and leadership settle well within this, also on a busy machine.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

/// The server's process id of a lock session: what a service is known by while it holds locks.
pub type SessionId = i32;

/// A session of the test's own in a cluster's database.
pub struct Cluster {
    client: Client,
}

/// One attempt, as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: i32,
    /// Such as `delivered`.
    pub outcome: String,
    /// The process that made it, see [`made_by`].
    pub deliverer: String,
}

impl Cluster {
    /// Looks at the cluster on `database`.
    pub async fn on(database: &Database) -> Self {
        Self { client: database.connect().await }
    }

    /// The session, for what only one test asks.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Stores a queue whose messages are spread over all shards, so that each deliverer has its part in them.
    pub async fn create_queue(&self, callback_url: &str) -> i64 {
        let sql = "INSERT INTO posthaste.queues (name, callback_url, method, spread)
                   VALUES ('queue', $1, 'POST', posthaste.shards()) RETURNING id";
        self.client.query_one(sql, &[&callback_url]).await.expect("a queue").get(0)
    }

    /// Stores `count` messages, due now, in one transaction, and returns their ids.
    pub async fn enqueue(&self, queue: i64, count: i32) -> Vec<i64> {
        let sql = "SELECT posthaste.enqueue($1::bigint, 'message ' || n) FROM generate_series(1, $2) AS n";
        let rows = self.client.query(sql, &[&queue, &count]).await.expect("messages");
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// How many messages are not finished.
    pub async fn pending(&self) -> i64 {
        self.number("SELECT count(*) FROM posthaste.pending").await
    }

    /// Waits until every outcome is recorded.
    ///
    /// # Panics
    /// Something is still pending after `deadline`.
    pub async fn wait_until_finished(&self, deadline: Duration) {
        wait::eventually(deadline, "nothing is pending", async || self.pending().await == 0).await;
    }

    /// The single number that a query gives.
    ///
    /// # Panics
    /// It fails, or gives something else than one row with one `bigint`.
    pub async fn number(&self, sql: &str) -> i64 {
        self.client.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}")).get(0)
    }

    /// The attempts of each of `messages`, by number.
    pub async fn attempts(&self, messages: &[i64]) -> BTreeMap<i64, Vec<Attempt>> {
        let sql = "SELECT a.message_id, a.number, a.outcome, a.deliverer
                   FROM unnest($1::bigint[]) AS m(id) JOIN posthaste.attempts a ON a.message_id = m.id
                   ORDER BY a.message_id, a.number";
        let mut attempts: BTreeMap<i64, Vec<Attempt>> = messages.iter().map(|id| (*id, Vec::new())).collect();
        for row in self.client.query(sql, &[&messages]).await.expect("attempts") {
            let attempt = Attempt { number: row.get(1), outcome: row.get(2), deliverer: row.get(3) };
            attempts.entry(row.get(0)).or_default().push(attempt);
        }
        attempts
    }

    /// The lock sessions of the deliverers, with the shards that each owns.
    pub async fn deliverers(&self) -> BTreeMap<SessionId, BTreeSet<i32>> {
        // Kind 3 is the membership, kind 1 a shard.
        let sql = "SELECT pid, objid::bigint >> 16, (objid::bigint & 65535)::int FROM pg_locks
                   WHERE locktype = 'advisory' AND granted AND objsubid = 2
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                     AND classid = to_regnamespace('posthaste')::oid";
        let mut deliverers = BTreeMap::<SessionId, BTreeSet<i32>>::new();
        for row in self.client.query(sql, &[]).await.expect("locks") {
            match row.get(1) {
                3_i64 => drop(deliverers.entry(row.get(0)).or_default()),
                1 => drop(deliverers.entry(row.get(0)).or_default().insert(row.get(2))),
                _ => {}
            }
        }
        deliverers
    }

    /// The lock session of the scheduler that leads.
    pub async fn leader(&self) -> Option<SessionId> {
        let sql = "SELECT pid FROM pg_locks
                   WHERE locktype = 'advisory' AND granted AND objsubid = 2 AND objid = 2 << 16
                     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                     AND classid = to_regnamespace('posthaste')::oid";
        self.client.query_opt(sql, &[]).await.expect("locks").map(|row| row.get(0))
    }

    /// Starts a deliverer and waits until it owns shards; tells its lock session. Not while others join or leave.
    pub async fn start_deliverer(&self, launch: Launch) -> (Process, SessionId) {
        let before = self.deliverers().await;
        let process = launch.start().await;
        let session = wait::until(SETTLED_WITHIN, "a deliverer joins and takes shards", async || {
            let now = self.deliverers().await;
            now.iter().find(|(id, shards)| !before.contains_key(id) && !shards.is_empty()).map(|(id, _)| *id)
        })
        .await;
        (process, session)
    }

    /// Waits until there are `count` deliverers, all shards are owned, and no share is larger than the others by more than
    /// the remainder.
    ///
    /// # Panics
    /// That takes longer than `deadline`.
    pub async fn wait_until_shared(&self, deadline: Duration, count: usize) {
        let shards = usize::try_from(self.number("SELECT count(*) FROM posthaste.shards").await).expect("a count");
        let what = format!("{count} deliverers share all {shards} shards");
        wait::eventually(deadline, &what, async || {
            let deliverers = self.deliverers().await;
            let most = deliverers.values().map(BTreeSet::len).max().unwrap_or_default();
            let sum = deliverers.values().map(BTreeSet::len).sum::<usize>();
            deliverers.len() == count && sum == shards && most <= shards.div_ceil(count)
        })
        .await;
    }

    /// Waits until `session` owns every shard.
    ///
    /// # Panics
    /// That takes longer than `deadline`.
    pub async fn wait_until_owner(&self, deadline: Duration, session: SessionId) {
        let shards = usize::try_from(self.number("SELECT count(*) FROM posthaste.shards").await).expect("a count");
        wait::eventually(deadline, "one deliverer owns every shard", async || {
            self.deliverers().await.get(&session).is_some_and(|owned| owned.len() == shards)
        })
        .await;
    }

    /// Waits until another scheduler than `old` leads, and returns it.
    ///
    /// # Panics
    /// That takes longer than `deadline`.
    pub async fn wait_for_leader_other_than(&self, deadline: Duration, old: Option<SessionId>) -> SessionId {
        wait::until(deadline, "another scheduler leads", async || self.leader().await.filter(|new| Some(*new) != old))
            .await
    }

    /// Waits until all that has come to `ledger` is recorded as delivered at the first attempt, each message exactly once.
    ///
    /// # Panics
    /// Something is still pending after `deadline`, or a message has another record.
    pub async fn check_each_recorded_once(&self, deadline: Duration, ledger: &Ledger) {
        let all: Vec<i64> = ledger.arrivals().into_keys().collect();
        let recorded = async || {
            let sql =
                "SELECT count(*) FROM unnest($1::bigint[]) AS m(id) JOIN posthaste.pending p ON p.message_id = m.id";
            self.client.query_one(sql, &[&all]).await.expect("a count").get::<_, i64>(0) == 0
        };
        wait::eventually(deadline, "all that was delivered is recorded", recorded).await;
        for (id, attempts) in self.attempts(&all).await {
            let outcomes: Vec<_> = attempts.iter().map(|attempt| (attempt.number, attempt.outcome.as_str())).collect();
            assert_eq!(outcomes, [(1, "delivered")], "message {id}");
        }
    }
}

/// Whether an attempt was made by the process with this id.
pub fn made_by(attempt: &Attempt, pid: u32) -> bool {
    attempt.deliverer.ends_with(&format!(":{pid}"))
}
