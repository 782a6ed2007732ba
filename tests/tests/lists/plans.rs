//! What a person asks of a large table is answered along indexes: the pages that are looked at are bounded, whatever the
//! table holds.

use posthaste_core::entity::MessageField as M;
use posthaste_core::filter::{Comparison, Condition, Direction, Filter, Test, Value};
use posthaste_core::listing::{Listing, Order};
use posthaste_core::time::Timestamp;
use posthaste_store::connect::{Connection, Purpose, connect};
use posthaste_store::message;
use posthaste_tests::database::Database;
use posthaste_tests::explained::{Explained, Log};

use super::scale::{BIG, FAILING, MIDDLE, SMALL, fill};
use super::server;

/// Pages that a list of 100 rows may look at. A thousand are those of the rows themselves: each is looked for in three
/// tables.
const MOST: f64 = 10_000.0;

struct Scene {
    conn: Connection,
    log: Log,
    _database: Database,
}

impl Scene {
    async fn new(name: &str, pending: i64) -> Self {
        let database = Database::on(server()).await;
        fill(&database, pending).await;
        let separator = if database.url().contains('?') { '&' } else { '?' };
        let options = "options=-c%20auto_explain.log_min_duration%3D0";
        let url = format!("{}{separator}application_name={name}&{options}", database.url());
        Self {
            conn: connect(&url.parse().unwrap(), Purpose::Pool).await.unwrap(),
            log: Log::of(server(), name),
            _database: database,
        }
    }

    async fn list(&mut self, listing: &Listing<M>) -> (usize, Explained) {
        let found = message::find(&mut self.conn, listing).await.unwrap().len();
        let mut all = self.log.next("a list", |explained| explained.text.contains("AS page")).await;
        all.retain(|explained| explained.text.contains("AS page"));
        assert_eq!(all.len(), 1);
        (found, all.remove(0))
    }
}

fn is(field: M, comparison: Comparison, value: Value) -> Condition<M> {
    Condition { field, test: Test::Compare(comparison, value) }
}

fn filters() -> Vec<(&'static str, Vec<Condition<M>>)> {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less};
    let number = Value::Number;
    let text = |text: &str| Value::Text(text.to_owned());
    let time = |micros| Value::Time(Timestamp(micros));
    let between = |field| vec![is(field, GreaterOrEqual, time(MIDDLE.0)), is(field, Less, time(MIDDLE.1))];
    let since = |field| vec![is(field, GreaterOrEqual, time(MIDDLE.0))];
    vec![
        ("all", vec![]),
        ("id =", vec![is(M::Id, Equal, number(4_000_000 + 50_000))]),
        ("id in", vec![Condition { field: M::Id, test: Test::In((1..50).map(number).collect()) }]),
        ("id >", vec![is(M::Id, Greater, number(50_000))]),
        ("failed", vec![is(M::Failed, Equal, Value::Boolean(true))]),
        ("not failed", vec![is(M::Failed, Equal, Value::Boolean(false))]),
        ("not sent", vec![Condition { field: M::SentAt, test: Test::IsNull }]),
        ("sent", vec![Condition { field: M::SentAt, test: Test::IsNotNull }]),
        ("pending", vec![is(M::Status, Equal, text("pending"))]),
        ("delivered", vec![is(M::Status, Equal, text("delivered"))]),
        ("status failed", vec![is(M::Status, Equal, text("failed"))]),
        ("expired", vec![is(M::Status, Equal, text("expired"))]),
        ("cancelled", vec![is(M::Status, Equal, text("cancelled"))]),
        ("sentAt in a minute", between(M::SentAt)),
        ("sentAt since", since(M::SentAt)),
        ("createdAt in a minute", between(M::CreatedAt)),
        ("createdAt since", since(M::CreatedAt)),
        ("when in a minute", between(M::When)),
        ("when since", since(M::When)),
        ("cron", vec![is(M::CronId, Equal, number(2))]),
        ("retried", vec![is(M::Retries, Greater, number(0))]),
    ]
}

/// By which fields the rows that a filter lets through can be ordered along an index.
fn is_served(filter: &str, queue: Option<i64>, order: Option<M>, direction: Direction) -> bool {
    let up = direction == Direction::Ascending;
    match (filter, order) {
        // Of a queue only what is pending; of the rest, all of the queue or all of the time is read.
        ("not sent" | "pending", Some(M::When)) => true,
        (_, Some(M::When)) if queue.is_some() => false,
        ("all" | "id =" | "id in" | "id >", _) => true,
        ("cron", None | Some(M::Id)) => true,
        ("failed" | "status failed" | "expired" | "cancelled", None | Some(M::Id | M::SentAt)) => true,
        ("not failed", None | Some(M::Id | M::CreatedAt | M::When)) => true,
        ("not sent" | "pending", None | Some(M::Id)) => true,
        // What is pending comes first otherwise, and is walked through.
        ("sent" | "delivered", None | Some(M::Id)) | ("delivered", Some(M::CreatedAt)) => up,
        ("sent" | "delivered" | "sentAt in a minute" | "sentAt since", Some(M::SentAt)) => true,
        ("retried", None | Some(M::Id)) => true,
        ("createdAt in a minute" | "createdAt since", None | Some(M::Id | M::CreatedAt)) => true,
        ("when in a minute" | "when since", Some(M::When)) => true,
        _ => false,
    }
}

/// Asks everything, and prints what it took.
async fn ask(name: &str, pending: i64) {
    let mut scene = Scene::new(name, pending).await;
    let orders = [M::Id, M::CreatedAt, M::SentAt, M::When].into_iter();
    let orders: Vec<_> = orders
        .flat_map(|field| [Direction::Ascending, Direction::Descending].map(|direction| Order { field, direction }))
        .map(Some)
        .chain([None])
        .collect();
    let mut asked = Vec::new();
    for (filter_name, filter) in filters() {
        for queue in [None, Some(BIG), Some(SMALL), Some(FAILING)] {
            for order in &orders {
                let mut listing = Listing::first(100, Filter::default());
                for condition in &filter {
                    listing.filter = listing.filter.and(condition.clone());
                }
                if let Some(queue) = queue {
                    listing.filter = listing.filter.and(is(M::QueueId, Comparison::Equal, Value::Number(queue)));
                }
                listing.order = order.iter().copied().collect();
                let (found, plan) = scene.list(&listing).await;
                let direction = order.map_or(Direction::Ascending, |order| order.direction);
                let field = order.map(|order| order.field);
                let served = is_served(filter_name, queue, field, direction);
                let question = format!("{filter_name}, queue {queue:?}, by {field:?} {direction:?}");
                plan.assert_no_table_is_read_whole(&question);
                asked.push((plan.pages, served, found, question));
            }
        }
    }
    asked.sort_by(|left, right| right.0.total_cmp(&left.0));
    for (pages, served, found, question) in &asked {
        println!("{pages:8} pages for {found:3} rows{}: {question}", if *served { "" } else { ", not served" });
    }
    let (pages, _, _, question) = asked.iter().find(|(_, served, ..)| *served).unwrap();
    assert!(*pages < MOST, "{pages} pages for {question}");
}

#[actix_rt::test]
async fn where_few_are_pending_lists_look_at_few_pages() {
    ask("few", 10).await;
}

#[actix_rt::test]
async fn where_half_is_pending_lists_look_at_few_pages() {
    ask("many", 500).await;
}
