//! raw: how fast the deliverer's HTTP client can go with nothing behind it: one thread, no database. The limit that the
//! other figures stand beside.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;

use super::{Bench, as_f64, per_second};
use crate::report::Scenario;
use crate::{body, load};

#[derive(Debug, Clone, Default, Args)]
pub struct RawArgs {
    /// Requests in flight [default: 64]
    #[arg(long)]
    in_flight: Option<u16>,
    /// Seconds [default: 3; short: 1]
    #[arg(long)]
    raw_seconds: Option<u64>,
}

pub async fn run(bench: &Bench, args: &RawArgs) -> anyhow::Result<Scenario> {
    let in_flight = args.in_flight.unwrap_or(64);
    let setting = format!("{in_flight} in flight from one thread, {}-byte bodies", bench.setup.body_bytes);
    let mut scenario = Scenario::new("raw", setting);
    scenario.add("requests", "/s", measure(bench, args).await?);
    Ok(scenario)
}

/// Requests per second; an error if interrupted, and if the sink counted other than what was sent.
pub async fn measure(bench: &Bench, args: &RawArgs) -> anyhow::Result<f64> {
    bench.unless_interrupted(send(bench, args)).await
}

async fn send(bench: &Bench, args: &RawArgs) -> anyhow::Result<f64> {
    let in_flight = usize::from(args.in_flight.unwrap_or(64));
    let until = Instant::now() + Duration::from_secs(bench.setup.or_default(args.raw_seconds, 3, 1));
    let url: Rc<str> = bench.sink.begin().await?.into();
    let client = load::client(in_flight);
    let next = Rc::new(Cell::new(0));
    let mut tasks = Vec::with_capacity(in_flight);
    for _ in 0..in_flight {
        let (client, url, next, body_bytes) =
            (client.clone(), Rc::clone(&url), Rc::clone(&next), bench.setup.body_bytes);
        tasks.push(actix_rt::spawn(async move {
            while Instant::now() < until {
                let number = next.replace(next.get() + 1);
                let request = client.post(&*url).insert_header(("content-type", "application/json"));
                let sent = request.send_body(body::encode(number, body::now(), body_bytes)).await;
                let mut response = sent.map_err(|error| anyhow::anyhow!("the sink does not answer: {error}"))?;
                response.body().await?;
            }
            anyhow::Ok(())
        }));
    }
    for task in tasks {
        task.await??;
    }
    let sent = next.get();
    let stats = bench.sink.stats(sent).await?;
    if stats.distinct != sent || stats.duplicates + stats.foreign > 0 {
        bail!("the sink counted other than the {} requests sent: {stats:?}", as_f64(sent));
    }
    Ok(per_second(sent.saturating_sub(1), stats.first, stats.last))
}
