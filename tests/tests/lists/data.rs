//! A few hundred rows of each entity, with many ties and nulls, and every state that a message can be in.

use posthaste_core::entity::{CronField, MessageField, QueueField};
use posthaste_core::filter::Value;
use posthaste_core::time::Timestamp;
use posthaste_tests::database::Database;

use super::model::{Dice, Row};

const QUEUES: i64 = 150;
const CRONS: i64 = 150;
const MESSAGES: i64 = 400;
/// The queues that have messages and crons.
const BUSY: usize = 6;

const TEXTS: [&str; 12] =
    ["a", "A", "b", "ab", "aB%", "a_b", "a\\b", "\\", "zz 'quoted'", "ünï", "\u{1F980}", "10% of it"];

pub struct Data {
    pub queues: Vec<Row<QueueField>>,
    pub crons: Vec<Row<CronField>>,
    pub messages: Vec<Row<MessageField>>,
}

/// Makes the rows, and stores them.
pub async fn fill(database: &Database, dice: &mut Dice) -> Data {
    let mut sql = String::new();
    let queues = (1..=QUEUES).map(|id| queue(dice, &mut sql, id)).collect();
    let crons = (1..=CRONS).map(|id| cron(dice, &mut sql, id)).collect();
    let messages = (1..=MESSAGES).map(|id| message(dice, &mut sql, id)).collect();
    // What is left of messages that are deleted: their owner has not dropped them, or recorded an outcome since.
    for id in 1001..1020 {
        let state = if id % 2 == 0 { "true" } else { "false" };
        sql += &format!(
            "INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at, cancelled)
             SELECT {id}, 1, 1, now(), true WHERE {state};
             INSERT INTO posthaste.attempts (message_id, queue_id, number, outcome, started_at, finished_at, error_class,
                                             deliverer)
             SELECT {id}, 1, 1, 'failed', now(), now(), 'timeout', 'test' WHERE NOT {state};"
        );
    }
    sql += "ANALYZE;";
    database.execute(&sql).await;
    Data { queues, crons, messages }
}

fn queue(dice: &mut Dice, sql: &mut String, id: i64) -> Row<QueueField> {
    let row = Row::from_iter(
        [
            (QueueField::Id, Some(Value::Number(id))),
            (QueueField::Name, Some(text(dice.pick(&TEXTS)))),
            (QueueField::CallbackUrl, Some(text(dice.pick(&["http://a/", "http://b/", "https://A/_"])))),
            (QueueField::Method, Some(text(dice.pick(&["GET", "POST", "PUT"])))),
            (QueueField::DeadLetterQueueId, maybe(dice, |dice| Value::Number(number(dice, 3)))),
            (QueueField::MaxRetries, maybe(dice, |dice| Value::Number(number(dice, 5) - 1))),
            (QueueField::CreatedAt, Some(time(dice))),
            (QueueField::UpdatedAt, Some(time(dice))),
            (QueueField::PausedAt, maybe(dice, time)),
            (QueueField::MaxAgeSeconds, Some(Value::Number(number(dice, 5)))),
            (QueueField::ConnectTimeoutMs, maybe(dice, |dice| Value::Number(number(dice, 5)))),
            (QueueField::TimeoutMs, maybe(dice, |dice| Value::Number(number(dice, 5)))),
            (QueueField::DeadLetterExpired, Some(Value::Boolean(dice.one_in(2)))),
            (QueueField::MaxConcurrency, maybe(dice, |dice| Value::Number(number(dice, 5)))),
            (QueueField::MaxBacklog, maybe(dice, |dice| Value::Number(number(dice, 5)))),
            (QueueField::EventQueueId, maybe(dice, |dice| Value::Number(number(dice, 3)))),
        ]
        .into_iter()
        .filter_map(|(field, value)| Some((field, value?))),
    );
    // A dead letter queue is there already, and no queue is paused without a time.
    let mut row = row;
    if id <= 3 {
        row.remove(&QueueField::DeadLetterQueueId);
        row.remove(&QueueField::EventQueueId);
    }
    if row.contains_key(&QueueField::PausedAt) && dice.one_in(2) {
        row.insert(QueueField::PausedReason, text(dice.pick(&TEXTS)));
    }
    let mut others = vec![("headers", "'{\"a\": \"b\"}'".to_owned())];
    if !row.contains_key(&QueueField::MaxRetries) {
        others.push(("max_retries", "NULL".to_owned()));
    }
    insert(sql, "queues", &row, &others);
    row
}

fn cron(dice: &mut Dice, sql: &mut String, id: i64) -> Row<CronField> {
    let mut row = Row::from_iter(
        [
            (CronField::Id, Some(Value::Number(id))),
            (CronField::QueueId, Some(Value::Number(number(dice, BUSY)))),
            (CronField::Schedule, maybe(dice, |dice| text(dice.pick(&["* * * * *", "@daily", "@yearly"])))),
            (CronField::CreatedAt, Some(time(dice))),
            (CronField::UpdatedAt, Some(time(dice))),
            (CronField::Body, maybe(dice, |dice| text(dice.pick(&TEXTS)))),
            (CronField::StartAt, maybe(dice, time)),
            (CronField::EndAt, maybe(dice, time)),
            (CronField::Missed, Some(text(dice.pick(&["skip", "one", "all"])))),
            (CronField::Overlap, Some(text(dice.pick(&["skip", "allow"])))),
            (CronField::Method, maybe(dice, |dice| text(dice.pick(&["GET", "POST", "PUT"])))),
            (CronField::PausedAt, maybe(dice, time)),
            (CronField::NextFireAt, maybe(dice, time)),
        ]
        .into_iter()
        .filter_map(|(field, value)| Some((field, value?))),
    );
    if !row.contains_key(&CronField::Schedule) {
        row.insert(CronField::At, time(dice));
    }
    let zone = text(dice.pick(&["UTC", "Europe/Berlin"]));
    insert(sql, "crons", &row, &[("time_zone", literal(&zone))]);
    row.insert(CronField::TimeZone, zone);
    row.insert(CronField::Paused, Value::Boolean(row.contains_key(&CronField::PausedAt)));
    row
}

fn message(dice: &mut Dice, sql: &mut String, id: i64) -> Row<MessageField> {
    let queue = number(dice, BUSY);
    let scheduled = time(dice);
    let row = Row::from_iter(
        [
            (MessageField::Id, Some(Value::Number(id))),
            (MessageField::QueueId, Some(Value::Number(queue))),
            (MessageField::Body, maybe(dice, |dice| text(dice.pick(&TEXTS)))),
            (MessageField::CronId, maybe(dice, |dice| Value::Number(number(dice, 4)))),
            (MessageField::CreatedAt, Some(time(dice))),
            (MessageField::UpdatedAt, Some(time(dice))),
            (MessageField::ExpiresAt, maybe(dice, time)),
            (MessageField::ConnectTimeoutMs, maybe(dice, |dice| Value::Number(number(dice, 5)))),
            (MessageField::TimeoutMs, maybe(dice, |dice| Value::Number(number(dice, 5)))),
            (MessageField::Traceparent, maybe(dice, |dice| text(dice.pick(&TEXTS)))),
            (MessageField::Tracestate, maybe(dice, |dice| text(dice.pick(&TEXTS)))),
            (MessageField::OrderingKey, maybe(dice, |dice| text(dice.pick(&TEXTS)))),
            (MessageField::Priority, Some(Value::Number(number(dice, 5) - 3))),
            (MessageField::ReplayOf, maybe(dice, |dice| Value::Number(number(dice, 5)))),
            (MessageField::EventType, maybe(dice, |dice| text(dice.pick(&TEXTS)))),
        ]
        .into_iter()
        .filter_map(|(field, value)| Some((field, value?))),
    );
    let mut row = row;
    let mut others = vec![("scheduled_at", literal(&scheduled))];
    if !row.contains_key(&MessageField::Body) && dice.one_in(2) {
        others.push(("body_binary", "'\\x00ff'".to_owned()));
    }
    insert(sql, "messages", &row, &others);

    row.insert(MessageField::When, scheduled);
    row.insert(MessageField::Failed, Value::Boolean(false));
    row.insert(MessageField::Retries, Value::Number(0));
    row.insert(MessageField::Status, text("unknown"));
    // A message that was sent again after its end has two of them.
    let mut number = 0;
    for _ in 0..dice.pick(&[0, 1, 1, 1, 1, 2]) {
        for _ in 0..dice.pick(&[0, 0, 0, 1, 3]) {
            number += 1;
            attempt(sql, id, queue, number, "retried", &time(dice));
        }
        number += 1;
        let outcome = dice.pick(&["delivered", "delivered", "failed", "cancelled", "expired"]);
        let finished = time(dice);
        attempt(sql, id, queue, number, outcome, &finished);
        row.insert(MessageField::Status, text(outcome));
        row.insert(MessageField::Failed, Value::Boolean(matches!(outcome, "failed" | "expired")));
        row.insert(MessageField::Retries, Value::Number(number - 1));
        if matches!(outcome, "delivered" | "failed") {
            row.insert(MessageField::SentAt, finished);
        } else {
            row.remove(&MessageField::SentAt);
        }
    }
    if dice.one_in(3) {
        let due = time(dice);
        let ended = i64::try_from(dice.roll(3)).unwrap();
        *sql += &format!(
            "INSERT INTO posthaste.pending (message_id, queue_id, shard, due_at, attempt, cancelled)
             VALUES ({id}, {queue}, {}, {}, {ended}, {});",
            dice.roll(64),
            literal(&due),
            dice.one_in(5)
        );
        row.insert(MessageField::When, due);
        row.insert(MessageField::Failed, Value::Boolean(false));
        row.insert(MessageField::Retries, Value::Number(ended));
        row.insert(MessageField::Status, text("pending"));
        row.remove(&MessageField::SentAt);
    }
    row
}

fn attempt(sql: &mut String, id: i64, queue: i64, number: i64, outcome: &str, finished: &Value) {
    let (status, class) = match outcome {
        "delivered" => ("200", "NULL"),
        "failed" | "retried" => ("500", "'status'"),
        _ => ("NULL", "'other'"),
    };
    let finished = literal(finished);
    *sql += &format!(
        "INSERT INTO posthaste.attempts (message_id, queue_id, number, outcome, started_at, finished_at, status,
                                         error_class, deliverer)
         VALUES ({id}, {queue}, {number}, '{outcome}', {finished}, {finished}, {status}, {class}, 'test');"
    );
}

fn insert<F: posthaste_core::entity::Field>(sql: &mut String, table: &str, row: &Row<F>, others: &[(&str, String)]) {
    let mut columns: Vec<&str> = row.keys().map(|field| field.column()).collect();
    let mut values: Vec<String> = row.values().map(literal).collect();
    for (column, value) in others {
        columns.push(column);
        values.push(value.clone());
    }
    *sql += &format!("INSERT INTO posthaste.{table} ({}) VALUES ({});\n", columns.join(", "), values.join(", "));
}

fn literal(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Time(time) => format!("timestamptz 'epoch' + interval '1 microsecond' * {}", time.0),
    }
}

fn maybe(dice: &mut Dice, value: impl Fn(&mut Dice) -> Value) -> Option<Value> {
    if dice.one_in(3) { None } else { Some(value(dice)) }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn number(dice: &mut Dice, sides: usize) -> i64 {
    i64::try_from(dice.roll(sides)).unwrap() + 1
}

fn time(dice: &mut Dice) -> Value {
    Value::Time(Timestamp(1_700_000_000_000_000 + i64::try_from(dice.roll(25)).unwrap() * 1_000))
}
