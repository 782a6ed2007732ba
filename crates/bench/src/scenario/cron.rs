//! cron: a hundred thousand crons, of which ten thousand are due at the same instant, again and again; and what a million idle ones
//! cost. How late do the messages arrive, does each come once, and when is what follows stored?

use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Args;

use super::{Bench, PATIENCE, Services, as_f64, ms};
use crate::body;
use crate::database::{Crons, Database};
use crate::processes::Kind;
use crate::report::Scenario;
use crate::sink::Stats;

/// 99 of 100 messages of a burst arrive at most so many milliseconds after their tick.
const LATENESS: f64 = 1_000.0;
/// Between storing the crons of a burst and their tick, so that everything knows of them.
const AHEAD: Duration = Duration::from_secs(10);
/// How often it is looked whether what follows is stored.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Default, Args)]
pub struct CronArgs {
    /// Crons of each burst [default: 10000; short: 1000]
    #[arg(long)]
    burst: Option<u64>,
    /// Bursts of each kind [default: 3; short: 1]
    #[arg(long)]
    bursts: Option<u64>,
    /// Idle crons beside them [default: 70000; short: 7000]
    #[arg(long)]
    beside: Option<u64>,
    /// Idle crons whose cost is measured [default: 1000000; short: 20000]
    #[arg(long)]
    idle: Option<u64>,
    /// Seconds for which it is [default: 30; short: 3]
    #[arg(long)]
    idle_seconds: Option<u64>,
}

/// Bursts whose messages are stored ahead, bursts whose messages are stored when their tick comes, and nothing to do.
pub async fn run(bench: &Bench, args: &CronArgs) -> anyhow::Result<Vec<Scenario>> {
    Ok(vec![
        bursts(bench, args, Crons::Ahead).await?,
        bursts(bench, args, Crons::WhenDue).await?,
        idle(bench, args).await?,
    ])
}

async fn bursts(bench: &Bench, args: &CronArgs, crons: Crons) -> anyhow::Result<Scenario> {
    let burst = bench.setup.or_default(args.burst, 10_000, 1_000).max(1);
    let bursts = bench.setup.or_default(args.bursts, 3, 1).max(1);
    let beside = bench.setup.or_default(args.beside, 70_000, 7_000);
    let stored = match crons {
        Crons::Ahead => "messages stored ahead",
        Crons::WhenDue => "messages stored when due (overlap: skip)",
    };
    let setting =
        format!("{bursts} × {burst} crons of one instant beside {beside} others, {stored}, {}", bench.setup.describe());
    let mut scenario = Scenario::new("cron", setting);
    bench
        .with_database(async |database| {
            let services = bench.start_all(database).await?;
            let sink = bench.sink.begin().await?;
            let queue = database.create_queue(&sink).await?;
            let far = Duration::from_secs(30 * 86_400);
            database.store_crons(queue, crons, 0..beside, far, body::now(), bench.setup.body_bytes).await?;
            let mut slowest = Duration::ZERO;
            for number in 0..bursts {
                let numbers = number * burst..(number + 1) * burst;
                let (known, began) = (body::now(), Instant::now());
                let due = known + u64::try_from(AHEAD.as_nanos())?;
                let tick =
                    database.store_crons(queue, crons, numbers.clone(), AHEAD, due, bench.setup.body_bytes).await?;
                ensure!(began.elapsed() < AHEAD, "storing the crons took longer than their tick is away");
                tokio::time::sleep(AHEAD.saturating_sub(began.elapsed())).await;
                slowest = slowest.max(until_followed(database, tick).await?);
                bench.sink.wait_for(numbers.end, PATIENCE).await?;
            }
            services.stop().await?;
            let expected = bursts * burst;
            let stats = bench.sink.stats(expected).await?;
            check(&mut scenario, &stats, expected);
            if database.doubled_ticks().await? > 0 {
                scenario.faults.push("a tick has two messages".to_owned());
            }
            scenario.add("tick to arrival, p50", "ms", ms(stats.latency.p50));
            scenario.add("tick to arrival, p99", "ms", ms(stats.latency.p99));
            // What is stored when its tick comes is stored and delivered by the same two cores at the same time.
            if crons == Crons::Ahead {
                scenario.at_most("tick to arrival, p99", LATENESS);
            }
            scenario.add("tick to arrival, max", "ms", ms(stats.latency.max));
            scenario.add("until all that follows is stored, slowest burst", "ms", slowest.as_secs_f64() * 1_000.0);
            Ok(())
        })
        .await?;
    Ok(scenario)
}

/// Waits until no cron stands at `tick` any more; `tick` has come just now. Answers how long that took.
async fn until_followed(database: &Database, tick: i64) -> anyhow::Result<Duration> {
    let since = Instant::now();
    while database.standing_at(tick).await? > 0 {
        ensure!(since.elapsed() < PATIENCE, "what follows the ticks is not stored");
        tokio::time::sleep(LOOK).await;
    }
    Ok(since.elapsed())
}

fn check(scenario: &mut Scenario, stats: &Stats, expected: u64) {
    let lost = expected.saturating_sub(stats.distinct);
    if lost > 0 || stats.duplicates > 0 || stats.foreign > 0 {
        scenario.faults.push(format!(
            "of {expected} ticks {lost} were lost, {} came twice, and {} requests belong to none",
            stats.duplicates, stats.foreign
        ));
    }
    scenario.add("lost", "", as_f64(lost));
    scenario.add("duplicates", "", as_f64(stats.duplicates));
}

async fn idle(bench: &Bench, args: &CronArgs) -> anyhow::Result<Scenario> {
    let count = bench.setup.or_default(args.idle, 1_000_000, 20_000);
    let seconds = bench.setup.or_default(args.idle_seconds, 30, 3).max(1);
    let mut scenario = Scenario::new("cron, idle", format!("no cron and {count}, {seconds} s each"));
    for (name, crons) in [("none".to_owned(), 0), (count.to_string(), count)] {
        bench
            .with_database(async |database| {
                let sink = bench.sink.begin().await?;
                let queue = database.create_queue(&sink).await?;
                let far = Duration::from_secs(30 * 86_400);
                database.store_crons(queue, Crons::Ahead, 0..crons, far, 0, bench.setup.body_bytes).await?;
                // What storing so many leaves to be done is not what they cost.
                database.vacuum().await?;
                let services = bench.start_all(database).await?;
                // What starting costs, and finding all that is stored, is not what they cost while nothing happens.
                tokio::time::sleep(Duration::from_secs(seconds.min(15))).await;
                let before = Costs::now(database, &services);
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                let after = Costs::now(database, &services);
                for (part, before, after) in [
                    ("scheduler", before.scheduler, after.scheduler),
                    ("deliverer", before.deliverer, after.deliverer),
                    ("Postgres", before.postgres, after.postgres),
                ] {
                    if let Some(spent) = after.zip(before).map(|(after, before)| after.saturating_sub(before)) {
                        let share = spent.as_secs_f64() / Duration::from_secs(seconds).as_secs_f64();
                        scenario.add(&format!("CPU with {name}: {part}"), "% of a core", share * 100.0);
                    }
                }
                services.stop().await
            })
            .await?;
    }
    Ok(scenario)
}

struct Costs {
    scheduler: Option<Duration>,
    deliverer: Option<Duration>,
    postgres: Option<Duration>,
}

impl Costs {
    fn now(database: &Database, services: &Services) -> Costs {
        Costs {
            scheduler: services.cpu(Kind::Scheduler),
            deliverer: services.cpu(Kind::Deliverer),
            postgres: database.cpu(),
        }
    }
}
