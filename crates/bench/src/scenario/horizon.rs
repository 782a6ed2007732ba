//! horizon: messages are stored and delivered while another session holds a transaction open, so that no dead row can be
//! removed. A queue that wades through its dead rows becomes slower and slower; this one must not.

use clap::{Args, ValueEnum};
use tokio_postgres::Client;

use super::{Bench, PATIENCE, Services, as_f64, per_second};
use crate::body;
use crate::database::Database;
use crate::report::Scenario;

/// The least that the last fifth is to reach of the first.
const LAST_TO_FIRST: f64 = 0.9;

/// With fewer messages a fifth is over too soon to be compared.
const ENOUGH_TO_COMPARE: u64 = 100_000;

/// Stored, but not arrived yet: enough to keep the deliverer busy, too few to be a backlog.
const AHEAD: u64 = 5_000;
const BATCH: u64 = 500;

/// Delivered before the transaction begins, so that the first fifth is no start-up.
const WARM_UP: u64 = 5_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Holder {
    /// No transaction: for comparison
    None,
    /// An idle REPEATABLE READ transaction that has taken its snapshot
    Reading,
    /// An idle transaction that has written: it has stored a message, and commits at the end
    Writing,
}

#[derive(Debug, Clone, Default, Args)]
pub struct HorizonArgs {
    /// Messages for each holder [default: 200000; short: 10000]
    #[arg(long)]
    horizon_messages: Option<u64>,
    /// What holds the horizon, one run each [default: none,reading,writing]
    #[arg(long, value_enum, value_delimiter = ',')]
    holders: Vec<Holder>,
}

/// One scenario per holder.
pub async fn run(bench: &Bench, args: &HorizonArgs) -> anyhow::Result<Vec<Scenario>> {
    let messages = bench.setup.or_default(args.horizon_messages, 200_000, 10_000).max(5);
    let all = [Holder::None, Holder::Reading, Holder::Writing];
    let holders = if args.holders.is_empty() { all.as_slice() } else { &args.holders };
    let mut scenarios = Vec::new();
    for holder in holders {
        scenarios.push(under(bench, *holder, messages).await?);
    }
    Ok(scenarios)
}

async fn under(bench: &Bench, holder: Holder, messages: u64) -> anyhow::Result<Scenario> {
    let held = match holder {
        Holder::None => "no transaction held",
        Holder::Reading => "idle REPEATABLE READ transaction held",
        Holder::Writing => "idle writing transaction held",
    };
    let mut scenario =
        Scenario::new(format!("horizon, {held}"), format!("{messages} messages, {}", bench.setup.describe()));
    bench
        .with_database(async |database| {
            let queue = database.create_queue(&bench.sink.begin().await?).await?;
            let mut services = bench.start_deliverers(database)?;
            services.ready(&bench.http).await?;
            stream(bench, database, queue, WARM_UP).await?;
            bench.wait_until_done(database, WARM_UP).await?;
            bench.sink.forget().await?;

            // The holder's own message comes last in number, though it is stored first.
            let session = begin(database, holder, queue, messages, bench.setup.body_bytes).await?;
            stream(bench, database, queue, messages).await?;
            let fifths = bench.sink.stats(messages).await?;
            session.batch_execute("COMMIT").await?;
            let total = messages + u64::from(holder == Holder::Writing);
            bench.wait_until_done(database, total).await?;
            finish(&mut scenario, services, &fifths.fifths, fifths.first, messages).await?;
            bench.verify(database, &mut scenario, total, WARM_UP).await?;
            Ok(())
        })
        .await?;
    if messages >= ENOUGH_TO_COMPARE {
        scenario.at_least("last fifth to first", LAST_TO_FIRST);
    }
    Ok(scenario)
}

/// Begins the holder's transaction.
async fn begin(
    database: &Database,
    holder: Holder,
    queue: i64,
    number: u64,
    body_bytes: usize,
) -> anyhow::Result<Client> {
    let session = database.session().await?;
    match holder {
        Holder::None => session.batch_execute("BEGIN").await?,
        Holder::Reading => {
            session
                .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM posthaste.pending")
                .await?;
        }
        Holder::Writing => {
            session.batch_execute("BEGIN").await?;
            let body = body::encode(number, body::now(), body_bytes);
            session.execute("SELECT posthaste.enqueue($1::bigint, $2)", &[&queue, &body]).await?;
        }
    }
    Ok(session)
}

/// Stores `messages` messages, never more than [`AHEAD`] before those that have arrived, and waits until all have.
async fn stream(bench: &Bench, database: &Database, queue: i64, messages: u64) -> anyhow::Result<()> {
    let mut stored = 0;
    while stored < messages {
        let batch = BATCH.min(messages - stored);
        // Lost messages must not stall it for ever: whoever verifies will find them.
        let room = (stored + batch).saturating_sub(AHEAD);
        if bench.sink.wait_for(room, PATIENCE).await? < room {
            return Ok(());
        }
        database.store(queue, stored, batch, bench.setup.body_bytes).await?;
        stored += batch;
    }
    bench.sink.wait_for(messages, PATIENCE).await?;
    Ok(())
}

async fn finish(
    scenario: &mut Scenario,
    services: Services,
    fifths: &[u64],
    first: u64,
    messages: u64,
) -> anyhow::Result<()> {
    services.stop().await?;
    let mut from = first;
    let mut rates = Vec::new();
    for (index, to) in fifths.iter().enumerate() {
        let rate = per_second(messages / 5, from, *to);
        scenario.add(&format!("delivered, fifth {}", index + 1), "/s", rate);
        rates.push(rate);
        from = *to;
    }
    if let (Some(first), Some(last)) = (rates.first(), rates.last()) {
        scenario.add("last fifth to first", "", last / first);
    }
    scenario.add("delivered", "/s", per_second(messages, first, from));
    scenario.add("messages", "", as_f64(messages));
    Ok(())
}
