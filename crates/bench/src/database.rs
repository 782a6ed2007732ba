//! The database under test: made for one scenario, set up and looked into by SQL, dropped afterwards.

use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio_postgres::{Client, NoTls, Statement};
use url::Url;

use crate::{body, cpu};

/// Messages stored by one statement.
const BATCH: u64 = 5_000;

/// A database with Posthaste's schema and nothing else in it.
pub struct Database {
    name: String,
    pub url: String,
    admin: Client,
    client: Client,
    store: Statement,
    version: i32,
    postmaster: Option<u32>,
}

/// When crons have their messages stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crons {
    /// One tick ahead.
    Ahead,
    /// When the tick comes: firings must not overlap.
    WhenDue,
}

/// How much the whole server has written ahead since it was initialised.
#[derive(Debug, Clone, Copy)]
pub struct Wal {
    pub bytes: i64,
    /// fsyncs of the log. What a session did last is only counted once it ends or a second has passed.
    pub syncs: i64,
}

/// What the attempts table says.
#[derive(Debug, Clone, Copy)]
pub struct Attempts {
    pub delivered: i64,
    pub others: i64,
}

impl Database {
    /// Makes database `name` on the server of `server`, and brings it to Posthaste's schema.
    pub async fn make(server: &Url, name: String) -> anyhow::Result<Database> {
        let admin = connect(server.as_str()).await?;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let mut url = server.clone();
        url.set_path(&name);
        match prepare(url.as_str()).await {
            Ok(Prepared { client, store, version, postmaster }) => {
                Ok(Database { name, url: url.into(), admin, client, store, version, postmaster })
            }
            Err(error) => {
                admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
                Err(error)
            }
        }
    }

    /// Drops it, whoever is still connected.
    pub async fn close(self) -> anyhow::Result<()> {
        drop(self.client);
        self.admin.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name)).await?;
        Ok(())
    }

    /// Makes a queue that posts to `callback_url`.
    pub async fn create_queue(&self, callback_url: &str) -> anyhow::Result<i64> {
        let sql = "INSERT INTO posthaste.queues (name, callback_url, method) VALUES ('bench', $1, 'POST') RETURNING id";
        Ok(self.client.query_one(sql, &[&callback_url]).await?.get(0))
    }

    /// Stores the messages `first`, …, `first + count - 1`, due at once, and wakes the deliverers as the API does after its
    /// own inserts: by a notification of its own, naming the shards.
    pub async fn store(&self, queue: i64, first: u64, count: u64, body_bytes: usize) -> anyhow::Result<()> {
        let mut next = first;
        while next < first + count {
            let batch = BATCH.min(first + count - next);
            let shards: String = self
                .client
                .query_one(
                    &self.store,
                    &[
                        &queue,
                        &i64::try_from(next)?,
                        &i64::try_from(next + batch - 1)?,
                        &i64::try_from(body::now())?,
                        &i32::try_from(body_bytes)?,
                    ],
                )
                .await?
                .get(0);
            self.client.execute("SELECT pg_notify('posthaste_pending', $1)", &[&shards]).await?;
            next += batch;
        }
        Ok(())
    }

    /// Stores crons that fire once a day, first `until` from now; messages of the first tick carry `numbers` and were "sent" at `sent`
    /// (see [`body::now`]). As the API stores them, in one statement per batch. Answers the first tick in microseconds.
    pub async fn store_crons(
        &self,
        queue: i64,
        crons: Crons,
        numbers: Range<u64>,
        until: Duration,
        sent: u64,
        body_bytes: usize,
    ) -> anyhow::Result<i64> {
        let tick: i64 = self
            .client
            .query_one(
                "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + $1",
                &[&i64::try_from(until.as_micros())?],
            )
            .await?
            .get(0);
        let store = self.client.prepare(&cron_statement(crons)).await?;
        let mut next = numbers.start;
        while next < numbers.end {
            let last = numbers.end.min(next + BATCH) - 1;
            let (first, last, sent) = (i64::try_from(next)?, i64::try_from(last)?, i64::try_from(sent)?);
            self.client.execute(&store, &[&queue, &first, &last, &sent, &i32::try_from(body_bytes)?, &tick]).await?;
            next += BATCH;
        }
        self.client.batch_execute("NOTIFY posthaste_crons").await?;
        Ok(tick)
    }

    /// Stores crons that fire every second, from about now on.
    pub async fn create_secondly_crons(&self, queue: i64, count: u32) -> anyhow::Result<()> {
        let sql = "INSERT INTO posthaste.crons (queue_id, schedule, next_fire_at, body)
            SELECT $1, '* * * * * *', date_trunc('second', clock_timestamp()) + interval '2 s', 'tick'
            FROM generate_series(1, $2::bigint)";
        self.client.execute(sql, &[&queue, &i64::from(count)]).await?;
        Ok(self.client.batch_execute("NOTIFY posthaste_crons").await?)
    }

    /// Lets no cron fire after now, and waits until none will.
    pub async fn end_crons(&self, patience: Duration) -> anyhow::Result<()> {
        let since = Instant::now();
        self.client.batch_execute("UPDATE posthaste.crons SET end_at = clock_timestamp(), updated_at = now()").await?;
        loop {
            let sql = "SELECT count(*) FROM posthaste.crons WHERE next_fire_at IS NOT NULL";
            let left: i64 = self.client.query_one(sql, &[]).await?.get(0);
            if left == 0 {
                return Ok(());
            }
            anyhow::ensure!(since.elapsed() < patience, "{left} crons do not end");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Looks at crons that fired every second: how many ticks there were, and what is wrong with them. Each cron has one message for each
    /// second from its first to its last, and each of these was delivered once.
    pub async fn check_secondly_crons(&self, count: u32) -> anyhow::Result<(u64, Vec<String>)> {
        let sql = "SELECT m.cron_id, count(*), count(DISTINCT m.scheduled_at),
                (extract(epoch FROM max(m.scheduled_at) - min(m.scheduled_at)) + 1)::bigint,
                count(*) FILTER (WHERE (SELECT count(*) FROM posthaste.attempts a
                    WHERE a.message_id = m.id AND a.outcome = 'delivered') <> 1)
            FROM posthaste.messages m WHERE m.cron_id IS NOT NULL GROUP BY m.cron_id";
        let rows = self.client.query(sql, &[]).await?;
        let (mut ticks, mut faults) = (0, Vec::new());
        if rows.len() != usize::try_from(count)? {
            faults.push(format!("{} of {count} crons fired", rows.len()));
        }
        for row in rows {
            let [cron, messages, distinct, seconds, not_once]: [i64; 5] =
                [row.get(0), row.get(1), row.get(2), row.get(3), row.get(4)];
            ticks += u64::try_from(messages)?;
            if messages != seconds || distinct != messages || not_once > 0 {
                faults.push(format!(
                    "cron {cron} has {messages} messages of {distinct} ticks in {seconds} s, {not_once} not delivered once"
                ));
            }
        }
        Ok((ticks, faults))
    }

    /// How many crons stand at this tick.
    pub async fn standing_at(&self, tick: i64) -> anyhow::Result<i64> {
        let sql = "SELECT count(*) FROM posthaste.crons
            WHERE next_fire_at = timestamptz 'epoch' + $1::bigint * interval '1 microsecond' AND paused_at IS NULL";
        Ok(self.client.query_one(sql, &[&tick]).await?.get(0))
    }

    /// How many messages of crons have the same cron and time as another.
    pub async fn doubled_ticks(&self) -> anyhow::Result<i64> {
        let sql = "SELECT count(*) - count(DISTINCT (cron_id, scheduled_at)) FROM posthaste.messages
            WHERE cron_id IS NOT NULL";
        Ok(self.client.query_one(sql, &[]).await?.get(0))
    }

    /// What the server would do sooner or later by itself.
    pub async fn vacuum(&self) -> anyhow::Result<()> {
        self.client.batch_execute("VACUUM ANALYZE").await?;
        Ok(self.client.batch_execute("CHECKPOINT").await?)
    }

    /// Waits until no message is pending: all outcomes are committed. False if `patience` ran out first.
    pub async fn settled(&self, patience: Duration) -> anyhow::Result<bool> {
        let since = Instant::now();
        loop {
            let settled: bool =
                self.client.query_one("SELECT NOT EXISTS (SELECT FROM posthaste.pending)", &[]).await?.get(0);
            if settled || since.elapsed() > patience {
                return Ok(settled);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many attempts were made.
    pub async fn attempts(&self) -> anyhow::Result<Attempts> {
        let sql = "SELECT count(*) FILTER (WHERE outcome = 'delivered'), count(*) FILTER (WHERE outcome <> 'delivered')
            FROM posthaste.attempts";
        let row = self.client.query_one(sql, &[]).await?;
        Ok(Attempts { delivered: row.get(0), others: row.get(1) })
    }

    pub async fn wal(&self) -> anyhow::Result<Wal> {
        // Since PostgreSQL 18 the log's fsyncs are counted with all other input and output.
        let syncs = if self.version >= 180_000 {
            "SELECT coalesce(sum(fsyncs), 0)::bigint FROM pg_stat_io WHERE object = 'wal'"
        } else {
            "SELECT wal_sync FROM pg_stat_wal"
        };
        let sql = format!("SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint, ({syncs})");
        let row = self.client.query_one(&sql, &[]).await?;
        Ok(Wal { bytes: row.get(0), syncs: row.get(1) })
    }

    /// CPU time of all processes of the server; `None` where it runs out of sight.
    pub fn cpu(&self) -> Option<Duration> {
        cpu::of_tree(self.postmaster?)
    }

    /// A session of its own.
    pub async fn session(&self) -> anyhow::Result<Client> {
        connect(&self.url).await
    }
}

pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("cannot reach the database")?;
    // It ends with the client, and its errors are the client's.
    actix_rt::spawn(connection);
    Ok(client)
}

struct Prepared {
    client: Client,
    store: Statement,
    version: i32,
    postmaster: Option<u32>,
}

async fn prepare(url: &str) -> anyhow::Result<Prepared> {
    posthaste_store::migrations::migrate(&url.parse()?, None).await.context("cannot migrate the database")?;
    let client = connect(url).await?;
    // The statement that stores is planned while the tables are empty, and then used on full ones.
    client.batch_execute("SET jit = off; SET plan_cache_mode = force_custom_plan").await?;
    let store = client.prepare(&store_statement()).await?;
    let version = client.query_one("SELECT current_setting('server_version_num')::integer", &[]).await?.get(0);
    let postmaster = postmaster(&client).await?;
    Ok(Prepared { client, store, version, postmaster })
}

/// Messages and pending rows in one statement, as the API's insert; returns the shards, comma-separated.
fn store_statement() -> String {
    let body = body::encode_in_sql("n", "$4::bigint", "$5::integer");
    format!(
        "WITH queue AS (SELECT id, spread FROM posthaste.queues WHERE id = $1),
        stored AS (
            INSERT INTO posthaste.messages (queue_id, body, scheduled_at)
            SELECT queue.id, {body}, clock_timestamp()
            FROM queue, generate_series($2::bigint, $3::bigint) AS n
            RETURNING id, scheduled_at
        ),
        waiting AS (
            INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
            SELECT stored.id, queue.id, posthaste.shard_of(queue.id, stored.id, NULL, queue.spread), stored.scheduled_at
            FROM stored, queue
            RETURNING shard
        )
        SELECT coalesce(string_agg(DISTINCT shard::text, ','), '') FROM waiting"
    )
}

fn cron_statement(crons: Crons) -> String {
    let body = body::encode_in_sql("n", "$4::bigint", "$5::integer");
    let tick = "timestamptz 'epoch' + $6::bigint * interval '1 microsecond'";
    let made = format!(
        "WITH queue AS (SELECT id, spread FROM posthaste.queues WHERE id = $1),
        made AS MATERIALIZED (
            SELECT {body} AS body, {tick} AS tick FROM generate_series($2::bigint, $3::bigint) AS n
        )"
    );
    let columns = "queue_id, every_us, start_at, next_fire_at, body";
    match crons {
        Crons::WhenDue => format!(
            "{made} INSERT INTO posthaste.crons ({columns}, overlap)
            SELECT queue.id, 86400000000, tick, tick, body, 'skip' FROM made, queue"
        ),
        Crons::Ahead => format!(
            "{made}, numbered AS MATERIALIZED (
                SELECT made.*, nextval('posthaste.message_ids') AS message_id FROM made
            ), crons AS (
                INSERT INTO posthaste.crons ({columns}, next_message_id, firings)
                SELECT queue.id, 86400000000, tick, tick, body, message_id, 1 FROM numbered, queue
                RETURNING id, next_message_id, next_fire_at
            ), ticks AS (
                INSERT INTO posthaste.cron_ticks (cron_id, tick, message_id, number)
                SELECT id, next_fire_at, next_message_id, 1 FROM crons
            ), stored AS (
                INSERT INTO posthaste.messages (id, queue_id, body, scheduled_at, cron_id)
                SELECT message_id, queue.id, body, tick, crons.id
                FROM queue, numbered JOIN crons ON crons.next_message_id = message_id
            )
            INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at)
            SELECT message_id, queue.id, posthaste.shard_of(queue.id, message_id, NULL, queue.spread), tick
            FROM numbered, queue"
        ),
    }
}

/// The process id of the server that `client` is connected to, if it runs on this machine and in sight.
async fn postmaster(client: &Client) -> anyhow::Result<Option<u32>> {
    let sql = "SELECT pg_backend_pid(), inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr()";
    let row = client.query_one(sql, &[]).await?;
    let backend = u32::try_from(row.get::<_, i32>(0))?;
    let local: bool = row.get(1);
    Ok(if local { cpu::parent_of_same_name(backend, "postgres") } else { None })
}
