//! neighbour: many quiet queues, and beside them one with a great backlog, one whose receiver never answers, one whose receiver takes
//! five seconds, and one whose receiver refuses. How much later do the quiet ones' messages arrive?

use std::rc::Rc;
use std::time::Duration;

use clap::Args;

use super::{Bench, PATIENCE, Services, as_f64, ms};
use crate::database::Database;
use crate::load::{self, Post};
use crate::report::Scenario;
use crate::responder::{self, Answers};
use crate::sink::Latency;

/// The quiet queues' latency with a neighbour, in parts of what it is alone.
const RATIO: f64 = 1.2;
/// How long the slow receiver takes.
const SLOW: Duration = Duration::from_secs(5);
/// What the receiver of the great backlog takes: it must not use up the machine.
const USUAL: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Default, Args)]
pub struct NeighbourArgs {
    /// Quiet queues [default: 1000; short: 50]
    #[arg(long)]
    queues: Option<u32>,
    /// Messages per second over all of them [default: 100]
    #[arg(long)]
    rate: Option<u32>,
    /// Seconds of each measurement [default: 20; short: 3]
    #[arg(long)]
    neighbour_seconds: Option<u32>,
    /// Messages of the great backlog [default: 1000000; short: 20000]
    #[arg(long)]
    backlog: Option<u64>,
}

/// What is wrong with the queue next door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    NeverAnswers,
    Slow,
    Refuses,
    Backlog,
}

impl Trouble {
    const ALL: [Trouble; 4] = [Trouble::NeverAnswers, Trouble::Slow, Trouble::Refuses, Trouble::Backlog];

    fn name(self) -> &'static str {
        match self {
            Trouble::NeverAnswers => "one that never answers",
            Trouble::Slow => "one at 5 s",
            Trouble::Refuses => "one that refuses",
            Trouble::Backlog => "one with a backlog",
        }
    }

    /// Due messages that it has.
    fn messages(self, backlog: u64) -> u64 {
        if self == Trouble::Backlog { backlog } else { 10_000 }
    }

    /// Starts what answers so, and tells its URL. It ends with the program.
    async fn start(self) -> anyhow::Result<String> {
        responder::start(match self {
            Trouble::Refuses => Answers::Nobody,
            Trouble::NeverAnswers => Answers::Never,
            Trouble::Slow => Answers::After(SLOW),
            Trouble::Backlog => Answers::After(USUAL),
        })
        .await
    }
}

/// Alone, with each of the neighbours, and with all of them.
pub async fn run(bench: &Bench, args: &NeighbourArgs) -> anyhow::Result<Scenario> {
    let queues = bench.setup.or_default(args.queues, 1_000, 50).max(1);
    let rate = args.rate.unwrap_or(100).max(1);
    let seconds = bench.setup.or_default(args.neighbour_seconds, 20, 3).max(1);
    let backlog = bench.setup.or_default(args.backlog, 1_000_000, 20_000);
    let setting = format!("{queues} quiet queues, {rate} messages/s for {seconds} s, {}", bench.setup.describe());
    let mut scenario = Scenario::new("neighbour", setting);
    let load = Load { queues, rate, count: u64::from(rate) * u64::from(seconds), backlog };

    let alone = with(bench, &load, &[], &mut scenario).await?;
    add(&mut scenario, "alone", alone);
    let all = ("all four", Trouble::ALL.to_vec());
    for (name, troubles) in Trouble::ALL.map(|trouble| (trouble.name(), vec![trouble])).into_iter().chain([all]) {
        let beside = with(bench, &load, &troubles, &mut scenario).await?;
        add(&mut scenario, name, beside);
        let ratio = as_f64(beside.p50) / as_f64(alone.p50.max(1));
        let what = format!("beside {name}: p50, parts of alone");
        scenario.add(&what, "", ratio);
        // The machine is shared with the backlog: what that costs is not a matter of fairness alone.
        if troubles.len() == 1 && !troubles.contains(&Trouble::Backlog) {
            scenario.at_most(&what, RATIO);
        }
    }
    Ok(scenario)
}

struct Load {
    queues: u32,
    rate: u32,
    count: u64,
    backlog: u64,
}

fn add(scenario: &mut Scenario, name: &str, latency: Latency) {
    scenario.add(&format!("beside {name}: POST to arrival, p50"), "ms", ms(latency.p50));
    scenario.add(&format!("beside {name}: POST to arrival, p99"), "ms", ms(latency.p99));
}

async fn with(bench: &Bench, load: &Load, troubles: &[Trouble], scenario: &mut Scenario) -> anyhow::Result<Latency> {
    bench
        .with_database(async |database| {
            let services = bench.start_all(database).await?;
            let measured = measure(bench, database, &services, load, troubles).await;
            services.stop().await?;
            let (latency, errors) = measured?;
            scenario.faults.extend(errors);
            let stats = bench.sink.stats(load.count).await?;
            if stats.distinct != load.count || stats.duplicates > 0 {
                scenario
                    .faults
                    .push(format!("{} of {} messages arrived, {} twice", stats.distinct, load.count, stats.duplicates));
            }
            Ok(latency)
        })
        .await
}

async fn measure(
    bench: &Bench,
    database: &Database,
    services: &Services,
    load: &Load,
    troubles: &[Trouble],
) -> anyhow::Result<(Latency, Vec<String>)> {
    let api = services.api()?;
    let sink = bench.sink.begin().await?;
    let mut queues: Vec<Rc<str>> = Vec::new();
    for _ in 0..load.queues {
        queues.push(database.create_queue(&sink).await?.to_string().into());
    }
    for trouble in troubles {
        let queue = database.create_queue(&trouble.start().await?).await?;
        database.store(queue, 0, trouble.messages(load.backlog), bench.setup.body_bytes).await?;
    }
    let post = Post {
        client: load::client(1024),
        url: format!("{api}/messages").into(),
        queues: queues.into(),
        body_bytes: bench.setup.body_bytes,
    };
    // Some seconds of the same first: connections are opened, and what troubles has shown itself.
    let warm_up = load::open_loop(&post, load.rate, u64::from(load.rate) * 5).await?;
    bench.sink.wait_for(warm_up.accepted, PATIENCE).await?;
    bench.sink.forget().await?;
    let posted = load::open_loop(&post, load.rate, load.count).await?;
    bench.sink.wait_for(posted.accepted, PATIENCE).await?;
    let latency = bench.sink.stats(posted.accepted).await?.latency;
    Ok((latency, warm_up.errors.into_iter().chain(posted.errors).collect()))
}
