//! Some hundred thousand messages, as they lie after a while: most were delivered, few failed, the newest are pending.

use posthaste_tests::database::Database;

/// Has most of the messages.
pub const BIG: i64 = 1;
/// Has one in three hundred.
pub const SMALL: i64 = 50;
/// Has one in a hundred, of which half failed.
pub const FAILING: i64 = 100;
/// A moment in the middle, and another a minute later, in microseconds since 1970.
pub const MIDDLE: (i64, i64) =
    (1_767_225_600_000_000 + 150_000 * 1_000_000, 1_767_225_600_000_000 + 150_060 * 1_000_000);

const MESSAGES: i64 = 300_000;

/// Fills the tables, over three partitions; of the newest messages so many are pending, per mille.
pub async fn fill(database: &Database, pending: i64) {
    let ended = MESSAGES * (1000 - pending) / 1000;
    database
        .execute(&format!(
            "INSERT INTO posthaste.queues (id, name, callback_url, method)
             SELECT i, 'q' || i, 'http://x/', 'POST' FROM generate_series(1, 100) AS i;
             INSERT INTO posthaste.messages (id, queue_id, body, scheduled_at, cron_id, created_at, updated_at)
             SELECT i + i / 100000 * 3900000,
                    CASE WHEN i % 10 < 7 THEN {BIG} WHEN i % 100 = 99 THEN {FAILING} ELSE 2 + i % 97 END,
                    'body ' || i, at + i % 7 * interval '1 minute', CASE WHEN i % 50 = 0 THEN 1 + i / 50 % 3 END, at, at
               FROM generate_series(1, {MESSAGES} - 1) AS i, LATERAL (
                    SELECT timestamptz '2026-01-01T00:00:00Z' + i * interval '1 second' AS at) AS times;
             CREATE TEMP TABLE numbered AS
             SELECT m.*, row_number() OVER (ORDER BY id) AS i,
                    CASE WHEN row_number() OVER (ORDER BY id) % 40 = 0 THEN 2 ELSE 1 END AS attempts FROM posthaste.messages m;
             INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at, attempt)
             SELECT id, queue_id, posthaste.shard_of(queue_id, id, NULL, 8), 
                    scheduled_at + (attempts - 1) * interval '1 day', attempts - 1
               FROM numbered WHERE i > {ended};
             INSERT INTO posthaste.attempts (message_id, queue_id, number, outcome, started_at, finished_at, status,
                                             error_class, deliverer)
             SELECT id, queue_id, 1, 'retried', scheduled_at, scheduled_at, 500, 'status', 'd'
               FROM numbered WHERE attempts > 1;
             INSERT INTO posthaste.attempts (message_id, queue_id, number, outcome, started_at, finished_at, status,
                                             error_class, deliverer)
             SELECT id, queue_id, attempts, outcome, scheduled_at, scheduled_at + interval '1 second',
                    CASE outcome WHEN 'delivered' THEN 200 WHEN 'failed' THEN 500 END,
                    CASE WHEN outcome <> 'delivered' THEN 'other' END, 'd'
               FROM numbered, LATERAL (
                    SELECT CASE WHEN i % 200 = 0 OR queue_id = {FAILING} AND i % 2 = 0 THEN 'failed'
                                WHEN i % 1000 = 1 THEN 'expired' WHEN i % 1000 = 2 THEN 'cancelled'
                                ELSE 'delivered' END AS outcome) AS outcomes
              WHERE i <= {ended};
             ANALYZE;"
        ))
        .await;
}
