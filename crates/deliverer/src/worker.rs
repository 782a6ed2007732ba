//! A worker thread: feeds its shards' windows, starts what is due, and forgets what is finished.
//!
//! One loop owns everything; nothing here is shared or locked. It reads (arrivals, new queues, refills, payloads) on its
//! own connection, one statement after the other, and starts a local task per delivery. Finished deliveries go to the
//! [`outcomes`] task, which has the second connection, and come back as [`Event::Written`].
//!
//! A delivery starts only while the lease is live, only for a shard that is owned, and only after its row was seen
//! pending, due and unchanged, and its queue not paused, a moment before. Of a queue with a limit of concurrency, and with an ordering
//! key, it starts only once the row is held for as long as it may last: so whoever owns the shard next waits for its end.

mod feed;
mod flow;
mod starting;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use posthaste_core::gate::flow::Health;
use posthaste_core::ids::{Epoch, MessageId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::window::{Limits, Windows};
use posthaste_store::connect::Connection;
use posthaste_store::connect::{Purpose, connect};
use posthaste_store::error::StoreError;
use posthaste_store::lease::Lease;
use posthaste_store::outcome::Outcome;
use posthaste_store::shard::Hold;
use tokio::sync::{Notify, mpsc, oneshot};

use crate::config::Config;
use crate::dispatch::{Dispatcher, Permit, Targets};
use crate::metrics::{DelivererMetrics, Share};
use crate::outcomes;
use crate::testing::{self, Test};
use feed::Feed;
use flow::Chores;

/// What one thread holds in memory. A window of 2,000 keys lasts a fifth of a second at 10,000 deliveries a second.
const LIMITS: Limits = Limits { window: 2_000, budget: 200_000, slots: 2_048, share: 8, opening: 32 };
/// How long a change may stay unseen when its notification is lost, or none is sent (the SQL outbox).
const POLL: Duration = Duration::from_millis(100);
/// How long a pause or its end may stay unseen when its notification is lost, or none is sent.
const POLL_PAUSES: Duration = Duration::from_millis(300);
/// How often connections that nobody uses any more are looked for.
const SWEEP: Duration = Duration::from_secs(5);
/// What a held delivery may need beyond its time limit: reading the answer and writing the outcome.
const HOLD_MARGIN: Duration = Duration::from_secs(5);

/// What reaches a worker's loop from outside.
pub(crate) enum Event {
    /// Own these shards from now on, for as long as the lease of their session lives.
    /// They were locked then.
    Take(Lease, Vec<(Shard, Epoch)>, Instant),
    /// Start nothing more in these shards, and answer what is still being delivered there.
    Release(Vec<Shard>, oneshot::Sender<Vec<Hold>>),
    /// The locks are gone: start nothing more, and trust nothing that was read.
    Lost,
    /// Other queues may be paused than before.
    PausesChanged,
    /// Send this once, and write down what comes of it.
    Test(Box<Test>),
    /// Everything was released: finish what is in flight and end.
    Stop,
    /// How the receiver of a delivery did, which has just ended.
    Heard { id: MessageId, attempt: i32, health: Health },
    /// Outcomes that counted, and those that did not.
    Written { recorded: Vec<(MessageId, i32)>, refused: Vec<(MessageId, i32)> },
}

/// What a worker tells the process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Report {
    /// The database answers as another server than the one that the locks were taken on.
    ServerChanged,
}

/// The process' end of a worker thread.
pub(crate) struct Handle {
    pub(crate) events: mpsc::UnboundedSender<Event>,
    /// Something may have arrived: read now.
    pub(crate) wake: Arc<Notify>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Handle {
    /// Waits until the thread has ended.
    pub(crate) async fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("a worker thread ended by panic");
            }
        }
    }
}

/// Starts the configured number of worker threads, which own nothing yet.
///
/// # Errors
/// Where the system refuses a thread.
pub(crate) fn spawn_all(
    config: &Arc<Config>,
    metrics: &DelivererMetrics,
    health: &posthaste_service::health::Health,
) -> io::Result<(mpsc::UnboundedReceiver<Report>, Vec<Handle>)> {
    let (report, reports) = mpsc::unbounded_channel();
    let mut handles = Vec::with_capacity(config.workers);
    let instance = rand::random();
    for (number, worker) in (0..config.workers).zip(0..) {
        let (events, inbox) = mpsc::unbounded_channel();
        let wake = Arc::new(Notify::new());
        let parts = (Arc::clone(config), metrics.clone(), Arc::clone(&wake), events.clone(), report.clone());
        let health = health.clone();
        let thread = std::thread::Builder::new().name(format!("deliver-{number}")).spawn(move || {
            let (config, metrics, wake, events, report) = parts;
            actix_rt::System::new().block_on(async {
                let worker = Worker::new(config, metrics, (instance, worker), wake, events, inbox, report);
                let name = format!("deliver-{number}");
                tokio::select! {
                    () = worker.run() => {}
                    () = health.beat(&name) => {}
                }
            });
        })?;
        handles.push(Handle { events, wake, thread: Some(thread) });
    }
    Ok((reports, handles))
}

/// A delivery that was started and whose outcome is not written yet.
struct Running {
    attempt: i32,
    epoch: Epoch,
    /// Whether it has an ordering key.
    in_order: bool,
    permit: Permit,
}

struct Worker {
    config: Arc<Config>,
    metrics: Rc<DelivererMetrics>,
    /// Keys in its windows, as a metric.
    keys: Share,
    /// When the first of `taking` was locked.
    taking_since: Option<Instant>,
    /// Of the session that holds the locks of `owned`.
    lease: Option<Lease>,
    wake: Arc<Notify>,
    events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,
    report: mpsc::UnboundedSender<Report>,
    dispatcher: Rc<Dispatcher>,
    targets: Targets,
    finished: mpsc::UnboundedSender<Outcome>,
    /// Ends when `finished` is dropped and everything is written.
    writer: actix_rt::task::JoinHandle<()>,
    windows: Windows,
    owned: BTreeMap<Shard, Epoch>,
    /// Those of `owned` whose windows are to be opened.
    taking: Vec<Shard>,
    running: HashMap<MessageId, Running>,
    /// Left the windows without a counted outcome: to be read again by id.
    reread: Vec<MessageId>,
    reader: Option<Connection>,
    feed: Option<Feed>,
    poll_at: Instant,
    /// When to read next which queues are paused.
    pauses_at: Instant,
    chores: Chores,
    /// What it reports by: of this process, and its number.
    instance: (i64, i32),
    /// When to look next for connections that nobody uses any more.
    sweep_at: Instant,
    stopping: bool,
}

/// Whether the loop has more to do at once.
#[derive(PartialEq, Eq)]
enum Step {
    More,
    Idle,
}

impl Worker {
    fn new(
        config: Arc<Config>,
        metrics: DelivererMetrics,
        instance: (i64, i32),
        wake: Arc<Notify>,
        events: mpsc::UnboundedSender<Event>,
        inbox: mpsc::UnboundedReceiver<Event>,
        report: mpsc::UnboundedSender<Report>,
    ) -> Worker {
        let metrics = Rc::new(metrics);
        let (finished, outcomes) = mpsc::unbounded_channel();
        let writer =
            actix_rt::spawn(outcomes::write(Arc::clone(&config), Rc::clone(&metrics), outcomes, events.clone()));
        let keys = Share::of(metrics.window_keys.clone());
        Worker {
            dispatcher: Rc::new(Dispatcher::new(&config, metrics.traces.clone())),
            targets: Targets::default(),
            config,
            metrics,
            keys,
            taking_since: None,
            lease: None,
            wake,
            events,
            inbox,
            report,
            finished,
            writer,
            windows: Windows::new(LIMITS),
            owned: BTreeMap::new(),
            taking: Vec::new(),
            running: HashMap::new(),
            reread: Vec::new(),
            reader: None,
            feed: None,
            poll_at: Instant::now(),
            pauses_at: Instant::now(),
            chores: Chores::new(),
            instance,
            sweep_at: Instant::now(),
            stopping: false,
        }
    }

    async fn run(mut self) {
        let mut pause = Duration::from_millis(20);
        loop {
            while let Ok(event) = self.inbox.try_recv() {
                self.handle(event);
            }
            if self.stopping && self.running.is_empty() {
                break;
            }
            self.sweep();
            match self.step().await {
                Ok(Step::More) => tokio::task::yield_now().await,
                Ok(Step::Idle) => {
                    pause = Duration::from_millis(20);
                    self.wait().await;
                }
                Err(error) => {
                    tracing::warn!(%error, "the database cannot be read now, trying again");
                    self.reader = None;
                    self.wait_at_most(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(1));
                }
            }
        }
        drop(self.finished);
        let _ = self.writer.await;
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Take(lease, shards, since) => {
                self.lease = Some(lease);
                if self.taking.is_empty() {
                    self.taking_since = Some(since);
                }
                for (shard, epoch) in shards {
                    self.owned.insert(shard, epoch);
                    // Without a feed the windows are opened when there is one: see `begin`.
                    if self.feed.is_some() {
                        self.taking.push(shard);
                    }
                }
                self.poll_at = Instant::now();
            }
            Event::Release(shards, reply) => {
                let holds = shards.iter().flat_map(|shard| self.release(*shard)).collect();
                let _ = reply.send(holds);
            }
            Event::Lost => {
                for shard in std::mem::take(&mut self.owned).into_keys() {
                    self.windows.release(shard);
                }
                self.lease = None;
                self.feed = None;
                self.taking.clear();
                self.taking_since = None;
                self.reread.clear();
            }
            Event::PausesChanged => self.pauses_at = Instant::now(),
            Event::Test(test) => {
                let (dispatcher, config) = (Rc::clone(&self.dispatcher), Arc::clone(&self.config));
                actix_rt::spawn(async move { testing::run(*test, &dispatcher, &config).await });
            }
            Event::Stop => self.stopping = true,
            Event::Heard { id, attempt, health } => self.hear(id, attempt, health),
            Event::Written { recorded, refused } => {
                for (id, attempt) in recorded {
                    // The next of its ordering key has arrived.
                    if self.running.remove(&id).is_some_and(|running| running.in_order) {
                        self.poll_at = Instant::now();
                    }
                    self.windows.finished(id, attempt);
                }
                for (id, attempt) in refused {
                    self.running.remove(&id);
                    self.give_up(id, attempt);
                }
            }
        }
    }

    /// The attempt is no longer in flight and did not count: what the row has become is to be read.
    fn give_up(&mut self, id: MessageId, attempt: i32) {
        self.windows.forget(id, attempt);
        self.reread.push(id);
    }

    fn release(&mut self, shard: Shard) -> Vec<Hold> {
        self.owned.remove(&shard);
        self.taking.retain(|taking| *taking != shard);
        let in_flight = self.windows.release(shard);
        in_flight.into_iter().filter_map(|(id, attempt)| self.hold((id, attempt, shard))).collect()
    }

    fn hear(&mut self, id: MessageId, attempt: i32, health: Health) {
        let Some(now) = self.now() else { return };
        if let Some(queue) = self.windows.heard(id, attempt, health, now) {
            tracing::warn!(queue = queue.0, "a receiver does not answer: it is asked by one request now and then");
            self.chores.opened.insert(queue);
        }
    }

    /// Reads what is to be read and starts what may start, each at most once.
    async fn step(&mut self) -> Result<Step, StoreError> {
        if self.owned.is_empty() || !self.is_live() {
            return Ok(Step::Idle);
        }
        let mut reader = match self.reader.take() {
            Some(reader) => reader,
            None => connect(&self.config.database_url, Purpose::Reading).await?,
        };
        let step = self.read_and_start(&mut reader).await;
        // A reader that failed in the middle of a statement is not used again.
        if step.is_ok() {
            self.reader = Some(reader);
        }
        step
    }

    async fn read_and_start(&mut self, reader: &mut Connection) -> Result<Step, StoreError> {
        if self.feed.is_none() {
            self.begin(reader).await?;
        }
        self.open(reader).await?;
        if self.poll_at <= Instant::now() && !self.arrivals(reader).await? {
            return Ok(Step::Idle);
        }
        if self.pauses_at <= Instant::now() {
            self.pauses(reader).await?;
        }
        self.reread(reader).await?;
        let mut step = self.discover(reader).await?;
        if self.refill(reader).await? == Step::More {
            step = Step::More;
        }
        if self.start(reader).await? == Step::More {
            step = Step::More;
        }
        if self.reserve(reader).await? == Step::More {
            step = Step::More;
        }
        if self.chores(reader).await? == Step::More {
            step = Step::More;
        }
        Ok(step)
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        if self.sweep_at <= now {
            self.sweep_at = now + SWEEP;
            self.dispatcher.sweep();
            self.targets.sweep();
        }
    }

    fn is_live(&self) -> bool {
        self.lease.as_ref().is_some_and(Lease::is_live)
    }

    fn now(&self) -> Option<Timestamp> {
        self.feed.as_ref().map(|feed| feed.clock.now())
    }

    /// Waits for whatever comes first: an event, a notification, the next poll, the next due message.
    async fn wait(&mut self) {
        let active = !self.owned.is_empty() && self.is_live();
        let now = Instant::now();
        // Without shards or lease there is nothing to do but wait for an event; the lease is looked at now and then.
        let mut until = now + POLL;
        if active && let Some(feed) = &self.feed {
            until = until.min(self.poll_at).min(self.pauses_at).min(self.chores.next());
            if let Some(due) = self.windows.next_due().map(|due| feed.clock.instant(due)) {
                until = until.min(due);
            }
        }
        tokio::select! {
            event = self.inbox.recv() => if let Some(event) = event { self.handle(event) },
            () = self.wake.notified(), if active => self.poll_at = Instant::now(),
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    async fn wait_at_most(&mut self, pause: Duration) {
        if let Ok(Some(event)) = tokio::time::timeout(pause, self.inbox.recv()).await {
            self.handle(event);
        }
    }
}
