//! list: ten million messages lie in the tables; what a person asks of them is timed, through the store's own functions.
//!
//! There is no service and no receiver in it: the rows are written by SQL, most of them delivered long ago, one in a
//! hundred failed, the newest pending, over one large queue and many small ones.

use std::time::Instant;

use anyhow::{Context, anyhow};
use clap::Args;
use hdrhistogram::Histogram;
use posthaste_core::entity::MessageField as Field;
use posthaste_core::filter::{Comparison, Condition, Direction, Filter, Test, Value};
use posthaste_core::listing::{Listing, Order};
use posthaste_store::connect::{Connection, Purpose, connect};
use posthaste_store::error::StoreError;
use posthaste_store::message;

use super::{Bench, ms};
use crate::database::Database;
use crate::report::Scenario;

/// Messages that one statement writes.
const STEP: u64 = 500_000;
/// One in so many is pending.
const PENDING: u64 = 100;
/// How long a list may take at most, in milliseconds.
const BOUND: f64 = 200.0;

#[derive(Debug, Clone, Default, Args)]
pub struct ListArgs {
    /// Messages in the tables [default: 10000000; short: 100000]
    #[arg(long)]
    list_messages: Option<u64>,
    /// How often each question is asked [default: 50; short: 5]
    #[arg(long)]
    list_rounds: Option<u64>,
}

pub async fn run(bench: &Bench, args: &ListArgs) -> anyhow::Result<Scenario> {
    let messages = bench.setup.or_default(args.list_messages, 10_000_000, 100_000).max(1000);
    let rounds = bench.setup.or_default(args.list_rounds, 50, 5).max(1);
    let setting = format!("{messages} messages, 1 % pending, 1 % failed, 100 rows each, {rounds} times");
    let mut scenario = Scenario::new("list", setting);
    bench
        .with_database(async |database| {
            let began = Instant::now();
            fill(database, messages).await?;
            scenario.add("rows written", "s", began.elapsed().as_secs_f64());
            let url = database.url.parse().context("the database's URL")?;
            let mut conn = connect(&url, Purpose::Pool).await?;
            for question in questions(messages) {
                ask(&mut conn, &mut scenario, &question, rounds).await?;
            }
            for (name, filter) in counts() {
                count(&mut conn, &mut scenario, name, &filter).await?;
            }
            Ok(())
        })
        .await?;
    Ok(scenario)
}

/// A list, and what it is called in the report.
struct Question {
    name: &'static str,
    listing: Listing<Field>,
    /// Whether an index serves it, so that it has to be fast.
    bounded: bool,
}

async fn ask(conn: &mut Connection, scenario: &mut Scenario, question: &Question, rounds: u64) -> anyhow::Result<()> {
    let mut times = Histogram::<u64>::new(3)?;
    let name = question.name;
    for _ in 0..rounds {
        let began = Instant::now();
        match message::find(conn, &question.listing).await {
            Ok(_) => times.record(u64::try_from(began.elapsed().as_micros())?)?,
            Err(StoreError::TooExpensive) => {
                scenario.add(&format!("{name}: ended as too expensive after"), "ms", 5000.0);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        }
    }
    scenario.add(&format!("{name}: p50"), "ms", ms(times.value_at_quantile(0.5)));
    scenario.add(&format!("{name}: p99"), "ms", ms(times.value_at_quantile(0.99)));
    if question.bounded {
        scenario.at_most(&format!("{name}: p50"), BOUND);
    }
    Ok(())
}

async fn count(
    conn: &mut Connection,
    scenario: &mut Scenario,
    name: &'static str,
    filter: &Filter<Field>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    match message::count(conn, filter).await {
        Ok(_) => scenario.add(&format!("count, {name}"), "ms", began.elapsed().as_secs_f64() * 1000.0),
        Err(StoreError::TooExpensive) => {
            scenario.add(&format!("count, {name}: ended as too expensive after"), "ms", 5000.0);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn is(field: Field, comparison: Comparison, value: Value) -> Filter<Field> {
    Filter::default().and(Condition { field, test: Test::Compare(comparison, value) })
}

fn equal(field: Field, value: i64) -> Filter<Field> {
    is(field, Comparison::Equal, Value::Number(value))
}

fn status(status: &str) -> Filter<Field> {
    is(Field::Status, Comparison::Equal, Value::Text(status.to_owned()))
}

fn failed() -> Filter<Field> {
    is(Field::Failed, Comparison::Equal, Value::Boolean(true))
}

fn not_sent() -> Filter<Field> {
    Filter::default().and(Condition { field: Field::SentAt, test: Test::IsNull })
}

fn sent() -> Filter<Field> {
    Filter::default().and(Condition { field: Field::SentAt, test: Test::IsNotNull })
}

fn big() -> Filter<Field> {
    equal(Field::QueueId, 1)
}

fn small() -> Filter<Field> {
    equal(Field::QueueId, 50)
}

/// What people ask.
fn questions(messages: u64) -> Vec<Question> {
    use Direction::{Ascending, Descending};
    let list = |name, filter, order: Option<(Field, Direction)>, bounded| Question {
        name,
        listing: Listing {
            order: order.map(|(field, direction)| Order { field, direction }).into_iter().collect(),
            ..Listing::first(100, filter)
        },
        bounded,
    };
    let served = |name, filter, order| list(name, filter, order, true);
    let middle = i64::try_from(messages / 2).unwrap_or_default();
    let mut deep = list("all, offset 100,000", Filter::default(), None, false);
    deep.listing.offset = 100_000;
    vec![
        served("all, by id", Filter::default(), None),
        served("all, latest id first", Filter::default(), Some((Field::Id, Descending))),
        served("all, latest createdAt first", Filter::default(), Some((Field::CreatedAt, Descending))),
        served("all, earliest when first", Filter::default(), Some((Field::When, Ascending))),
        served("all, latest sentAt first", Filter::default(), Some((Field::SentAt, Descending))),
        served("id >= the middle", is(Field::Id, Comparison::GreaterOrEqual, Value::Number(middle)), None),
        served("queueId, large queue", big(), Some((Field::Id, Descending))),
        served("queueId, small queue", small(), Some((Field::Id, Descending))),
        served("queueId, small queue, latest createdAt first", small(), Some((Field::CreatedAt, Descending))),
        served("failed=true", failed(), None),
        served("failed=true, latest sentAt first", failed(), Some((Field::SentAt, Descending))),
        served("queueId+failed=true, large queue", big().intersect(failed()), None),
        served("queueId+failed=true, small queue", small().intersect(failed()), None),
        served("sentAt is null", not_sent(), None),
        served("queueId+sentAt is null, large queue", big().intersect(not_sent()), None),
        served("queueId+sentAt is null, small queue", small().intersect(not_sent()), None),
        served("status=pending, earliest when first", status("pending"), Some((Field::When, Ascending))),
        served("status=expired", status("expired"), None),
        served("status=delivered", status("delivered"), None),
        served("sent, latest sentAt first", sent(), Some((Field::SentAt, Descending))),
        served("queueId, sent, latest sentAt first", small().intersect(sent()), Some((Field::SentAt, Descending))),
        served("cronId", equal(Field::CronId, 2), Some((Field::Id, Descending))),
        served("retries > 0", is(Field::Retries, Comparison::Greater, Value::Number(0)), None),
        list("status=pending, latest createdAt first", status("pending"), Some((Field::CreatedAt, Descending)), false),
        list("failed=true, latest createdAt first", failed(), Some((Field::CreatedAt, Descending)), false),
        list("all, latest when first", Filter::default(), Some((Field::When, Descending)), false),
        deep,
        list(
            "body like '%x%', nowhere",
            Filter::default().and(Condition { field: Field::Body, test: Test::Like("%no such body%".to_owned()) }),
            None,
            false,
        ),
    ]
}

fn counts() -> Vec<(&'static str, Filter<Field>)> {
    vec![
        ("all", Filter::default()),
        ("queueId, large queue", big()),
        ("queueId, small queue", small()),
        ("failed=true", failed()),
        ("sentAt is null", not_sent()),
        ("status=delivered", status("delivered")),
    ]
}

/// Writes the rows, oldest first, and lets Postgres look at them as autovacuum would in time.
async fn fill(database: &Database, messages: u64) -> anyhow::Result<()> {
    let session = database.session().await?;
    let ended = messages - messages / PENDING;
    session
        .batch_execute(
            "SET synchronous_commit = off;
             INSERT INTO posthaste.queues (id, name, callback_url, method)
             SELECT i, 'q' || i, 'http://x/', 'POST' FROM generate_series(1, 100) AS i",
        )
        .await?;
    let mut first = 1;
    while first <= messages {
        let last = messages.min(first + STEP - 1);
        // Ids are given, so the sequence that partitions are made by follows.
        session
            .batch_execute(&format!(
                "SELECT setval('posthaste.message_ids', {last}); SELECT posthaste.ensure_partitions();"
            ))
            .await?;
        session.batch_execute(&step(first, last, ended)).await.map_err(|error| anyhow!("{error:?}"))?;
        first = last + 1;
    }
    session.batch_execute("VACUUM (ANALYZE) posthaste.messages").await?;
    session.batch_execute("VACUUM (ANALYZE) posthaste.attempts").await?;
    session.batch_execute("VACUUM (ANALYZE) posthaste.pending").await?;
    session.batch_execute("CHECKPOINT").await?;
    Ok(())
}

/// The messages `first`, …, `last`, one a second; those up to `ended` have come to their end.
fn step(first: u64, last: u64, ended: u64) -> String {
    format!(
        "INSERT INTO posthaste.messages (id, queue_id, body, scheduled_at, cron_id, created_at, updated_at)
         SELECT i, CASE WHEN i % 10 < 7 THEN 1 ELSE 2 + i / 10 % 97 END, 'body ' || i, at + i % 7 * interval '1 minute',
                CASE WHEN i % 50 = 0 THEN 1 + i / 50 % 3 END, at, at
           FROM generate_series({first}::bigint, {last}) AS i,
                LATERAL (SELECT timestamptz '2026-01-01T00:00:00Z' + i * interval '1 second' AS at) AS times;
         INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at, attempt)
         SELECT m.id, m.queue_id, posthaste.shard_of(m.queue_id, m.id, NULL, 8), m.scheduled_at + a.ended * interval '1 day', a.ended
           FROM posthaste.messages m, LATERAL (SELECT CASE WHEN m.id % 40 = 0 THEN 1 ELSE 0 END AS ended) AS a
          WHERE m.id BETWEEN {first} AND {last} AND m.id > {ended};
         INSERT INTO posthaste.attempts (message_id, queue_id, number, outcome, started_at, finished_at, status,
                                         error_class, deliverer)
         SELECT m.id, m.queue_id, a.number, a.outcome, m.scheduled_at, m.scheduled_at + a.number * interval '1 second',
                CASE a.outcome WHEN 'delivered' THEN 200 WHEN 'failed' THEN 500 WHEN 'retried' THEN 503 END,
                CASE WHEN a.outcome <> 'delivered' THEN 'other' END, 'bench'
           FROM posthaste.messages m CROSS JOIN LATERAL (
                SELECT 1 AS number, 'retried' AS outcome WHERE m.id % 40 = 0
                UNION ALL
                SELECT CASE WHEN m.id % 40 = 0 THEN 2 ELSE 1 END,
                       CASE WHEN m.id % 100 = 7 THEN 'failed' WHEN m.id % 1000 = 1 THEN 'expired'
                            WHEN m.id % 1000 = 2 THEN 'cancelled' ELSE 'delivered' END
                 WHERE m.id <= {ended}) AS a
          WHERE m.id BETWEEN {first} AND {last}",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_have_names_of_their_own() {
        let mut names: Vec<_> = questions(1000).iter().map(|question| question.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
