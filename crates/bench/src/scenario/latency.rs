//! latency: messages posted over HTTP at a steady rate that the machine carries easily; how long until each arrives?

use clap::Args;

use super::{Bench, PATIENCE, as_f64, ms};
use crate::load::{self, Post};
use crate::report::Scenario;

/// At most so many milliseconds from the POST's start to the arrival, for half of the messages.
const MEDIAN_MS: f64 = 5.0;

#[derive(Debug, Clone, Default, Args)]
pub struct LatencyArgs {
    /// Messages per second; several rates are run one after another [default: 50,500]
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rates: Vec<u32>,
    /// Seconds at each rate [default: 20; short: 2]
    #[arg(long)]
    latency_seconds: Option<u32>,
}

/// One scenario per rate.
pub async fn run(bench: &Bench, args: &LatencyArgs) -> anyhow::Result<Vec<Scenario>> {
    let rates = if args.rates.is_empty() { [50, 500].as_slice() } else { &args.rates };
    let seconds = bench.setup.or_default(args.latency_seconds, 20, 2).max(1);
    let mut scenarios = Vec::new();
    for rate in rates {
        scenarios.push(at_rate(bench, *rate, seconds).await?);
    }
    Ok(scenarios)
}

async fn at_rate(bench: &Bench, rate: u32, seconds: u32) -> anyhow::Result<Scenario> {
    let setting = format!("{rate} messages/s for {seconds} s, {}", bench.setup.describe());
    let mut scenario = Scenario::new(format!("latency at {rate}/s"), setting);
    let count = u64::from(rate) * u64::from(seconds);
    bench
        .with_database(async |database| {
            let services = bench.start_all(database).await?;
            let api = services.api()?;
            let queue = bench.post_queue(&api, &bench.sink.begin().await?).await?;
            let post = Post {
                client: load::client(1024),
                url: format!("{api}/messages").into(),
                queues: [queue.into()].into(),
                body_bytes: bench.setup.body_bytes,
            };
            // A second of the same first: connections are opened, statements prepared.
            let warm_up = load::open_loop(&post, rate, u64::from(rate)).await?;
            bench.sink.wait_for(warm_up.accepted, PATIENCE).await?;
            bench.sink.forget().await?;

            let posted = load::open_loop(&post, rate, count).await?;
            bench.wait_until_done(database, posted.accepted).await?;
            services.stop().await?;

            scenario.faults.extend(warm_up.errors.into_iter().chain(posted.errors));
            let stats = bench.sink.stats(posted.accepted).await?;
            let quantiles = [("POST to arrival", stats.latency), ("POST alone", posted.latency)];
            for (what, latency) in quantiles {
                scenario.add(&format!("{what}, p50"), "ms", ms(latency.p50));
                scenario.add(&format!("{what}, p90"), "ms", ms(latency.p90));
                scenario.add(&format!("{what}, p99"), "ms", ms(latency.p99));
                scenario.add(&format!("{what}, max"), "ms", ms(latency.max));
            }
            scenario.add("messages", "", as_f64(posted.accepted));
            scenario.add("worst slip of the load generator", "ms", posted.worst_slip.as_secs_f64() * 1000.0);
            bench.verify(database, &mut scenario, posted.accepted, warm_up.accepted).await?;
            Ok(())
        })
        .await?;
    scenario.at_most("POST to arrival, p50", MEDIAN_MS);
    Ok(scenario)
}
