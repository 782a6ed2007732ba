//! flow: messages posted over HTTP, one by one, as fast as the API accepts them, while they are delivered.

use std::time::Duration;

use clap::Args;

use super::{Bench, Cpu, as_f64, ms, per_second};
use crate::load::{self, Post};
use crate::processes::Kind;
use crate::report::Scenario;

#[derive(Debug, Clone, Default, Args)]
pub struct FlowArgs {
    /// Connections, each with one POST at a time [default: 64]
    #[arg(long)]
    connections: Option<u16>,
    /// Seconds [default: 10; short: 2]
    #[arg(long)]
    flow_seconds: Option<u64>,
}

pub async fn run(bench: &Bench, args: &FlowArgs) -> anyhow::Result<Scenario> {
    let connections = args.connections.unwrap_or(64).max(1);
    let seconds = bench.setup.or_default(args.flow_seconds, 10, 2);
    let setting = format!("{connections} connections, {seconds} s, {}", bench.setup.describe());
    let mut scenario = Scenario::new("flow", setting);
    bench
        .with_database(async |database| {
            let services = bench.start_all(database).await?;
            let api = services.api()?;
            let queue = bench.post_queue(&api, &bench.sink.begin().await?).await?;
            let post = Post {
                client: load::client(usize::from(connections)),
                url: format!("{api}/messages").into(),
                queues: [queue.into()].into(),
                body_bytes: bench.setup.body_bytes,
            };
            let wal_before = database.wal().await?;
            let cpu_before = Cpu::now(bench, database, &services);
            let posted = load::closed_loop(&post, usize::from(connections), Duration::from_secs(seconds)).await?;
            bench.wait_until_done(database, posted.accepted).await?;
            let cpu_after = Cpu::now(bench, database, &services);
            let memory = [Kind::Api, Kind::Deliverer].map(|kind| services.peak_memory(kind));
            services.stop().await?;
            let wal_after = database.wal().await?;

            scenario.faults.extend(posted.errors);
            let stats = bench.sink.stats(posted.accepted).await?;
            let accepted = posted.accepted.max(1);
            scenario.add("accepted", "/s", per_second(posted.accepted, posted.started, posted.ended));
            scenario.add("delivered", "/s", per_second(stats.distinct, posted.started, stats.last));
            scenario.add("messages", "", as_f64(posted.accepted));
            scenario.add("POST, p50", "ms", ms(posted.latency.p50));
            scenario.add("POST, p99", "ms", ms(posted.latency.p99));
            scenario.add("POST to arrival, p50", "ms", ms(stats.latency.p50));
            scenario.add("POST to arrival, p99", "ms", ms(stats.latency.p99));
            cpu_before.add_costs_until(&cpu_after, accepted, &mut scenario);
            let per_message = |from: i64, to: i64| as_f64(u64::try_from(to - from).unwrap_or(0)) / as_f64(accepted);
            scenario.add("WAL per message", "bytes", per_message(wal_before.bytes, wal_after.bytes));
            scenario.add("fsyncs of the WAL per 100", "", per_message(wal_before.syncs, wal_after.syncs) * 100.0);
            let [api_memory, deliverer_memory] = memory;
            scenario.add_if("peak memory of the API", "MiB", api_memory);
            scenario.add_if("peak memory of a deliverer", "MiB", deliverer_memory);
            bench.verify(database, &mut scenario, posted.accepted, 0).await?;
            Ok(())
        })
        .await?;
    Ok(scenario)
}
