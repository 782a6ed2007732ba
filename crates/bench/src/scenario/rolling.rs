//! rolling: everything is replaced, one process after the other as the manifests say, and deliverers come and go, while messages are
//! posted through a load balancer. Does a call fail, is a message lost or sent twice, does a cron miss a tick?

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{Bench, PATIENCE, as_f64, ms};
use crate::balancer::Balancer;
use crate::database::Database;
use crate::load::{self, Post};
use crate::processes::{Kind, Service, free_port};
use crate::report::Scenario;
use crate::responder::{self, Answers};

const APIS: usize = 3;
const SCHEDULERS: usize = 2;
const DELIVERERS: usize = 3;
/// Then deliverers are scaled to so many, one after the other.
const SCALES: [usize; 3] = [1, 5, 2];
/// preStop of the API's pods.
const BEFORE_STOP: Duration = Duration::from_secs(5);
/// How long things are left alone between two changes.
const CALM: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Default, Args)]
pub struct RollingArgs {
    /// Messages per second [default: 200]
    #[arg(long)]
    rolling_rate: Option<u32>,
    /// Crons that fire every second [default: 20]
    #[arg(long)]
    crons: Option<u32>,
}

/// All that runs.
struct Fleet<'b> {
    bench: &'b Bench,
    database: &'b Database,
    balancer: Balancer,
    /// One more than there are APIs: where the next goes.
    ports: Vec<u16>,
    apis: Vec<(usize, Service)>,
    schedulers: Vec<Service>,
    deliverers: Vec<Service>,
}

pub async fn run(bench: &Bench, args: &RollingArgs) -> anyhow::Result<Scenario> {
    let rate = args.rolling_rate.unwrap_or(200).max(1);
    let crons = args.crons.unwrap_or(20).max(1);
    let setting = format!(
        "{rate} messages/s through HAProxy, {crons} crons every second; {APIS} APIs, {SCHEDULERS} schedulers and {DELIVERERS} deliverers \
         replaced one by one, then deliverers {DELIVERERS} → 1 → 5 → 2"
    );
    let mut scenario = Scenario::new("rolling", setting);
    bench
        .with_database(async |database| {
            let mut fleet = Fleet::start(bench, database).await?;
            let sink = bench.sink.begin().await?;
            let queue = database.create_queue(&sink).await?.to_string();
            let ticking = database.create_queue(&responder::start(Answers::After(Duration::ZERO)).await?).await?;
            database.create_secondly_crons(ticking, crons).await?;

            let stop = CancellationToken::new();
            let post = Post {
                client: load::client(64),
                url: format!("{}/messages", fleet.balancer.url()).into(),
                queues: [Rc::from(queue)].into(),
                body_bytes: bench.setup.body_bytes,
            };
            let posted = Rc::new(RefCell::new(None));
            let loading = {
                let (stop, posted) = (stop.clone(), Rc::clone(&posted));
                actix_rt::spawn(async move {
                    let outcome = load::open_loop_while(&post, rate, |_| !stop.is_cancelled()).await;
                    posted.replace(Some(outcome));
                })
            };
            let changed = fleet.change().await;
            stop.cancel();
            loading.await?;
            changed?;
            let posted = posted.take().context("the load did not end")??;

            bench.sink.wait_for(posted.accepted, PATIENCE).await?;
            database.end_crons(PATIENCE).await?;
            database.settled(PATIENCE).await?;
            fleet.stop().await?;

            let (ticks, faults) = database.check_secondly_crons(crons).await?;
            scenario.add("API calls that failed", "", as_f64(posted.failed));
            scenario.faults.extend(posted.errors);
            scenario.faults.extend(faults);
            let stats = bench.verify(database, &mut scenario, posted.accepted, ticks).await?;
            scenario.add("messages", "", as_f64(posted.accepted));
            scenario.add("ticks of crons, each once", "", as_f64(ticks));
            scenario.add("POST, p50", "ms", ms(posted.latency.p50));
            scenario.add("POST, p99", "ms", ms(posted.latency.p99));
            scenario.add("POST, max", "ms", ms(posted.latency.max));
            scenario.add("POST to arrival, p50", "ms", ms(stats.latency.p50));
            scenario.add("POST to arrival, p99", "ms", ms(stats.latency.p99));
            scenario.add("POST to arrival, max", "ms", ms(stats.latency.max));
            Ok(())
        })
        .await?;
    Ok(scenario)
}

impl<'b> Fleet<'b> {
    async fn start(bench: &'b Bench, database: &'b Database) -> anyhow::Result<Fleet<'b>> {
        let ports = (0..=APIS).map(|_| free_port()).collect::<Result<Vec<_>, _>>()?;
        let balancer = Balancer::start(&ports).await?;
        let mut fleet = Fleet {
            bench,
            database,
            balancer,
            ports,
            apis: Vec::new(),
            schedulers: Vec::new(),
            deliverers: Vec::new(),
        };
        for slot in 0..APIS {
            let api = fleet.api(slot).await?;
            fleet.apis.push((slot, api));
        }
        for _ in 0..SCHEDULERS {
            let scheduler = fleet.one(Kind::Scheduler).await?;
            fleet.schedulers.push(scheduler);
        }
        fleet.scale(DELIVERERS).await?;
        Ok(fleet)
    }

    async fn one(&self, kind: Kind) -> anyhow::Result<Service> {
        let mut service = self.bench.programs.start(kind, &self.database.url, self.bench.setup.workers)?;
        service.ready(&self.bench.http).await?;
        Ok(service)
    }

    async fn api(&self, slot: usize) -> anyhow::Result<Service> {
        let port = *self.ports.get(slot).context("a slot that is not there")?;
        let mut api = self.bench.programs.start_on(Kind::Api, port, &self.database.url, None)?;
        api.ready(&self.bench.http).await?;
        self.balancer.drain(slot, false).await?;
        self.balancer.until_up(slot).await?;
        Ok(api)
    }

    /// Replaces everything, and scales.
    async fn change(&mut self) -> anyhow::Result<()> {
        tokio::time::sleep(CALM).await;
        let mut spare = APIS;
        for _ in 0..APIS {
            // The new one is ready before the old one goes: maxSurge 1, maxUnavailable 0.
            let new = self.api(spare).await?;
            let (slot, old) = self.apis.remove(0);
            self.apis.push((spare, new));
            self.balancer.drain(slot, true).await?;
            tokio::time::sleep(BEFORE_STOP).await;
            old.stop().await?;
            spare = slot;
        }
        for _ in 0..SCHEDULERS {
            let new = self.one(Kind::Scheduler).await?;
            self.schedulers.push(new);
            self.schedulers.remove(0).stop().await?;
            tokio::time::sleep(CALM).await;
        }
        for _ in 0..DELIVERERS {
            let new = self.one(Kind::Deliverer).await?;
            self.deliverers.push(new);
            self.deliverers.remove(0).stop().await?;
            tokio::time::sleep(CALM).await;
        }
        for count in SCALES {
            self.scale(count).await?;
            tokio::time::sleep(CALM * 2).await;
        }
        Ok(())
    }

    /// As a deployment does: new ones at once, those too many all at once.
    async fn scale(&mut self, count: usize) -> anyhow::Result<()> {
        while self.deliverers.len() < count {
            let new = self.one(Kind::Deliverer).await?;
            self.deliverers.push(new);
        }
        let excess = self.deliverers.split_off(count);
        futures_util::future::try_join_all(excess.into_iter().map(Service::stop)).await?;
        Ok(())
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.balancer.stop().await?;
        let apis = self.apis.into_iter().map(|(_, api)| api);
        let all = apis.chain(self.schedulers).chain(self.deliverers);
        futures_util::future::try_join_all(all.map(Service::stop)).await?;
        Ok(())
    }
}
