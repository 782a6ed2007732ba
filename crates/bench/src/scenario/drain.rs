//! drain: a backlog of due messages meets deliverers that have just been started.

use clap::Args;

use super::raw::{self, RawArgs};
use super::{Bench, Cpu, PATIENCE, as_f64, per_second};
use crate::body;
use crate::processes::Kind;
use crate::report::Scenario;

/// The least share of the raw limit that a delivery through Postgres is to reach.
const RATIO_TO_RAW: f64 = 0.1;

#[derive(Debug, Clone, Default, Args)]
pub struct DrainArgs {
    /// Due messages [default: 20000; short: 2000]
    #[arg(long)]
    drain_messages: Option<u64>,
    /// Repetitions, each with its own raw limit; medians are reported [default: 3; short: 1]
    #[arg(long)]
    rounds: Option<u16>,
    #[command(flatten)]
    raw: RawArgs,
}

pub async fn run(bench: &Bench, args: &DrainArgs) -> anyhow::Result<Scenario> {
    let messages = bench.setup.or_default(args.drain_messages, 20_000, 2_000).max(1);
    let rounds = bench.setup.or_default(args.rounds, 3, 1).max(1);
    let setting = format!("{messages} due messages in one queue, {}, {rounds} round(s)", bench.setup.describe());
    let mut scenario = Scenario::new("drain", setting);
    for _ in 0..rounds {
        scenario.merge(round(bench, messages, &args.raw).await?);
    }
    scenario.at_least("ratio to the raw limit", RATIO_TO_RAW);
    Ok(scenario)
}

async fn round(bench: &Bench, messages: u64, raw_args: &RawArgs) -> anyhow::Result<Scenario> {
    let mut scenario = Scenario::new("", "");
    let raw = raw::measure(bench, raw_args).await?;
    bench
        .with_database(async |database| {
            let queue = database.create_queue(&bench.sink.begin().await?).await?;
            let empty = database.wal().await?;
            database.store(queue, 0, messages, bench.setup.body_bytes).await?;
            let stored = database.wal().await?;

            let started = body::now();
            let services = bench.start_deliverers(database)?;
            // Costs are counted from the first arrival on: starting a process is not a cost per message.
            let before = bench.sink.wait_for(1, PATIENCE).await?;
            let cpu_before = Cpu::now(bench, database, &services);
            bench.wait_until_done(database, messages).await?;
            let cpu_after = Cpu::now(bench, database, &services);
            let memory = services.peak_memory(Kind::Deliverer);
            // Sessions report their fsyncs when they end.
            services.stop().await?;
            let ended = database.wal().await?;
            let stats = bench.sink.stats(messages).await?;

            let delivered = per_second(messages.saturating_sub(1), stats.first, stats.last);
            scenario.add("delivered", "/s", delivered);
            scenario.add("raw limit", "/s", raw);
            scenario.add("ratio to the raw limit", "", delivered / raw);
            scenario.add("delivered, from the process start", "/s", per_second(messages, started, stats.last));
            scenario.add(
                "first arrival after the process start",
                "ms",
                as_f64(stats.first.saturating_sub(started)) / 1e6,
            );
            cpu_before.add_costs_until(&cpu_after, messages.saturating_sub(before).max(1), &mut scenario);
            let per_message = as_f64(messages);
            let bytes = |from: i64, to: i64| as_f64(u64::try_from(to - from).unwrap_or(0)) / per_message;
            scenario.add("WAL per message, storing", "bytes", bytes(empty.bytes, stored.bytes));
            scenario.add("WAL per message, delivering", "bytes", bytes(stored.bytes, ended.bytes));
            scenario.add("fsyncs of the WAL per 100, delivering", "", bytes(stored.syncs, ended.syncs) * 100.0);
            scenario.add_if("peak memory of a deliverer", "MiB", memory);
            bench.verify(database, &mut scenario, messages, 0).await?;
            Ok(())
        })
        .await?;
    Ok(scenario)
}
