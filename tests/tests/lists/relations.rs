//! Lists of many parents at once are the lists of each, one after the other; and a list that takes too long is ended.

use std::time::{Duration, Instant};

use posthaste_core::entity::{CronField, Field, MessageField, QueueField};
use posthaste_core::filter::{Comparison, Condition, Test, Value};
use posthaste_core::ids::{CronId, MessageId, QueueId};
use posthaste_core::listing::Listing;
use posthaste_store::error::StoreError;
use posthaste_store::{cron, message, queue};

use super::model::{self, Dice, Row};
use super::random::scene;

/// More parents than have rows, not in order, one of them nobody's.
const PARENTS: [i64; 8] = [3, 1, 77, 2, 6, 5, 4, 1_000_000];

/// Questions without a cursor, and the same of each parent.
fn questions<F: Field>(dice: &mut Dice, rows: &[Row<F>], parent: F) -> Vec<(Listing<F>, Vec<Listing<F>>)> {
    let question = |dice: &mut Dice| {
        let asked = Listing { cursor: None, ..model::random(dice, rows) };
        let of = |id: i64| {
            let is = Condition { field: parent, test: Test::Compare(Comparison::Equal, Value::Number(id)) };
            Listing { filter: asked.filter.clone().and(is), ..asked.clone() }
        };
        let each = PARENTS.map(of).to_vec();
        (asked, each)
    };
    (0..100).map(|_| question(dice)).collect()
}

#[actix_rt::test]
async fn messages_of_queues_and_crons() {
    let (_database, mut conn, mut dice, data) = scene(20).await;
    for (asked, each) in questions(&mut dice, &data.messages, MessageField::QueueId) {
        let mut expected = Vec::new();
        for listing in &each {
            expected.extend(message::find(&mut conn, listing).await.unwrap());
        }
        assert_eq!(message::of_queues(&mut conn, &PARENTS.map(QueueId), &asked).await.unwrap(), expected, "{asked:#?}");
    }
    for (asked, each) in questions(&mut dice, &data.messages, MessageField::CronId) {
        let mut expected = Vec::new();
        for listing in &each {
            expected.extend(message::find(&mut conn, listing).await.unwrap());
        }
        assert_eq!(message::of_crons(&mut conn, &PARENTS.map(CronId), &asked).await.unwrap(), expected, "{asked:#?}");
    }
}

#[actix_rt::test]
async fn crons_of_queues_and_queues_of_dead_letter_queues() {
    let (_database, mut conn, mut dice, data) = scene(21).await;
    for (asked, each) in questions(&mut dice, &data.crons, CronField::QueueId) {
        let mut expected = Vec::new();
        for listing in &each {
            expected.extend(cron::find(&mut conn, listing).await.unwrap());
        }
        assert_eq!(cron::of_queues(&mut conn, &PARENTS.map(QueueId), &asked).await.unwrap(), expected, "{asked:#?}");
    }
    for (asked, each) in questions(&mut dice, &data.queues, QueueField::DeadLetterQueueId) {
        let mut expected = Vec::new();
        for listing in &each {
            expected.extend(queue::find(&mut conn, listing).await.unwrap());
        }
        let found = queue::of_dead_letter_queues(&mut conn, &PARENTS.map(QueueId), &asked).await.unwrap();
        assert_eq!(found, expected, "{asked:#?}");
    }
}

#[actix_rt::test]
async fn what_is_listed_is_what_is_read_alone() {
    let (database, mut conn, _, data) = scene(22).await;
    let all = Listing::first(1000, posthaste_core::filter::Filter::default());
    let found = message::find(&mut conn, &all).await.unwrap();
    assert_eq!(found.len(), data.messages.len());
    for (found, row) in found.iter().zip(&data.messages) {
        assert_eq!(message::get(&mut conn, found.id).await.unwrap().as_ref(), Some(found));
        assert_eq!(Value::Text(found.progress.status().to_owned()), row[&MessageField::Status]);
        let attempts = message::attempts(&mut conn, found.id).await.unwrap();
        let numbers: Vec<i32> = attempts.iter().map(|attempt| attempt.number).collect();
        assert_eq!(numbers, (1..).take(numbers.len()).collect::<Vec<_>>());
    }
    let stored = database.number("SELECT count(*) FROM posthaste.attempts WHERE message_id <= 400").await;
    let mut read = 0;
    for id in 1..=1100 {
        read += i64::try_from(message::attempts(&mut conn, MessageId(id)).await.unwrap().len()).unwrap();
    }
    assert_eq!(read, stored, "a message that is deleted has no attempts");
}

#[actix_rt::test]
async fn a_list_that_takes_too_long_is_ended() {
    let (database, mut conn, _, _) = scene(23).await;
    let other = database.connect().await;
    other.batch_execute("BEGIN; LOCK TABLE posthaste.queues").await.unwrap();
    let began = Instant::now();
    let all = Listing::first(10, posthaste_core::filter::Filter::default());
    assert_eq!(queue::find(&mut conn, &all).await, Err(StoreError::TooExpensive));
    assert!((Duration::from_secs(4)..Duration::from_secs(9)).contains(&began.elapsed()));
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(queue::find(&mut conn, &all).await.unwrap().len(), 10);
}
