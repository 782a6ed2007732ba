//! Thousands of questions that chance asks, each answered twice: by the database, and by a sorted vector.

use posthaste_core::entity::{CronField, Field, MessageField, QueueField};
use posthaste_core::filter::{Clause, Comparison, Filter, Test, Value};
use posthaste_core::listing::{Listing, Side};
use posthaste_store::connect::{Connection, Purpose, connect};
use posthaste_store::{cron, message, queue};
use posthaste_tests::database::Database;

use super::data::{Data, fill};
use super::model::{self, Dice, Row};
use super::server;

const QUESTIONS: usize = 1500;

/// What is asked of an entity.
trait Entity: Field {
    fn rows(data: &Data) -> &[Row<Self>];
    async fn find(conn: &mut Connection, listing: &Listing<Self>) -> Vec<i64>;
    async fn count(conn: &mut Connection, filter: &Filter<Self>) -> i64;
    /// Whether the filter lets the row through.
    fn lets_through(filter: &Filter<Self>, row: &Row<Self>) -> bool {
        filter.matches(|field| row.get(&field).cloned())
    }
    /// Whether a list in this order has the row at all.
    fn is_listed(_: &Listing<Self>, _: &Row<Self>) -> bool {
        true
    }
}

impl Entity for QueueField {
    fn rows(data: &Data) -> &[Row<Self>] {
        &data.queues
    }
    async fn find(conn: &mut Connection, listing: &Listing<Self>) -> Vec<i64> {
        queue::find(conn, listing).await.unwrap().iter().map(|queue| queue.id.0).collect()
    }
    async fn count(conn: &mut Connection, filter: &Filter<Self>) -> i64 {
        queue::count(conn, filter).await.unwrap()
    }
}

impl Entity for CronField {
    fn rows(data: &Data) -> &[Row<Self>] {
        &data.crons
    }
    async fn find(conn: &mut Connection, listing: &Listing<Self>) -> Vec<i64> {
        cron::find(conn, listing).await.unwrap().iter().map(|cron| cron.id.0).collect()
    }
    async fn count(conn: &mut Connection, filter: &Filter<Self>) -> i64 {
        cron::count(conn, filter).await.unwrap()
    }
}

impl Entity for MessageField {
    fn rows(data: &Data) -> &[Row<Self>] {
        &data.messages
    }
    async fn find(conn: &mut Connection, listing: &Listing<Self>) -> Vec<i64> {
        message::find(conn, listing).await.unwrap().iter().map(|message| message.id.0).collect()
    }
    async fn count(conn: &mut Connection, filter: &Filter<Self>) -> i64 {
        message::count(conn, filter).await.unwrap()
    }
    /// Of a message of which nothing more is known, only what names this holds of its status, and nothing of its end.
    fn lets_through(filter: &Filter<Self>, row: &Row<Self>) -> bool {
        let mut filter = filter.clone();
        if is_unknown(row) {
            for clause in &mut filter.all {
                let conditions = match clause {
                    Clause::One(one) => std::slice::from_mut(one),
                    Clause::Any(any) => any,
                };
                for one in conditions {
                    let named = matches!(one.test, Test::Compare(Comparison::Equal, _) | Test::In(_));
                    if one.field == MessageField::SentAt || one.field == MessageField::Status && !named {
                        one.test = Test::In(Vec::new());
                    }
                }
            }
        }
        filter.matches(|field| row.get(&field).cloned())
    }
    fn is_listed(listing: &Listing<Self>, row: &Row<Self>) -> bool {
        let order = model::whole_order(listing);
        !(is_unknown(row) && order.iter().any(|order| order.field == MessageField::SentAt))
    }
}

fn is_unknown(row: &Row<MessageField>) -> bool {
    row[&MessageField::Status] == Value::Text("unknown".to_owned())
}

pub async fn scene(seed: u64) -> (Database, Connection, Dice, Data) {
    let database = Database::on(server()).await;
    let mut dice = Dice::new(seed);
    let data = fill(&database, &mut dice).await;
    let conn = connect(&database.url().parse().unwrap(), Purpose::Pool).await.unwrap();
    (database, conn, dice, data)
}

async fn lists_and_counts_are_those_of_the_model<F: Entity>(seed: u64) {
    let (_database, mut conn, mut dice, data) = scene(seed).await;
    let rows = F::rows(&data);
    let (mut found, mut counted) = (0, 0);
    for question in 0..QUESTIONS {
        let listing = model::random(&mut dice, rows);
        let listed: Vec<Row<F>> = rows.iter().filter(|row| F::is_listed(&listing, row)).cloned().collect();
        let expected = model::find(&listed, &listing, F::lets_through);
        assert_eq!(F::find(&mut conn, &listing).await, expected, "question {question} of seed {seed}: {listing:#?}");
        found += expected.len();
        let expected = rows.iter().filter(|row| F::lets_through(&listing.filter, row)).count();
        let count = F::count(&mut conn, &listing.filter).await;
        assert_eq!(
            count,
            i64::try_from(expected).unwrap(),
            "question {question} of seed {seed}: {:#?}",
            listing.filter
        );
        counted += expected;
    }
    println!("{QUESTIONS} questions found {found} rows and counted {counted}");
    assert!(found > QUESTIONS && counted > QUESTIONS);
}

/// Walks through lists in pages, to the end and back.
async fn walks_meet_every_row_once<F: Entity>(seed: u64) {
    let (_database, mut conn, mut dice, data) = scene(seed).await;
    let rows = F::rows(&data);
    for walk in 0..40 {
        let asked: Listing<F> = model::random(&mut dice, rows);
        let filter = if walk % 2 == 0 { Filter::default() } else { asked.filter };
        let all = Listing { filter, limit: 1000, offset: 0, cursor: None, ..asked };
        let listed: Vec<Row<F>> = rows.iter().filter(|row| F::is_listed(&all, row)).cloned().collect();
        let expected = model::find(&listed, &all, F::lets_through);
        let row = |id: i64| rows.iter().find(|row| model::id_of(row) == id).unwrap();

        let mut page = Listing { limit: 37, ..all };
        let mut there: Vec<i64> = Vec::new();
        loop {
            page.cursor = there.last().map(|last| model::cursor_at(&page, row(*last), Side::After));
            let next = F::find(&mut conn, &page).await;
            if next.is_empty() {
                break;
            }
            there.extend(next);
        }
        assert_eq!(there, expected, "{page:#?}");
        let mut back: Vec<i64> = there.last().copied().into_iter().collect();
        while let Some(first) = back.first() {
            page.cursor = Some(model::cursor_at(&page, row(*first), Side::Before));
            let before = F::find(&mut conn, &page).await;
            if before.is_empty() {
                break;
            }
            back.splice(0..0, before);
        }
        assert_eq!(back, expected, "{page:#?}");
    }
}

#[actix_rt::test]
async fn queues() {
    lists_and_counts_are_those_of_the_model::<QueueField>(1).await;
    walks_meet_every_row_once::<QueueField>(2).await;
}

#[actix_rt::test]
async fn crons() {
    lists_and_counts_are_those_of_the_model::<CronField>(3).await;
    walks_meet_every_row_once::<CronField>(4).await;
}

#[actix_rt::test]
async fn messages() {
    for seed in 5..8 {
        lists_and_counts_are_those_of_the_model::<MessageField>(seed).await;
    }
    walks_meet_every_row_once::<MessageField>(8).await;
}
