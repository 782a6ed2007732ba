//! A receiver that keeps the books: when each message arrived, and which arrived more than once.
//!
//! Messages are told apart by the `webhook-id` that every delivery carries, `msg_` and the message's id.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::receiver::{Answer, Received, Receiver};

const PATH: &str = "/hook";

/// When the heads of a message's requests arrived, by the message's id.
pub type Arrivals = BTreeMap<i64, Vec<Instant>>;

/// A receiver and what has come to it.
pub struct Ledger {
    receiver: Receiver,
    books: Arc<Books>,
}

struct Books {
    arrivals: Mutex<Arrivals>,
    /// How many different messages have come.
    distinct: watch::Sender<usize>,
}

impl Books {
    fn lock(&self) -> MutexGuard<'_, Arrivals> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, request: &Received) {
        let Some(id) = message_of(request) else { return };
        let mut arrivals = self.lock();
        arrivals.entry(id).or_default().push(request.at);
        self.distinct.send_replace(arrivals.len());
    }
}

impl Ledger {
    /// One that answers 200 after `delay`.
    pub fn start(delay: Duration) -> Self {
        Self::answering(move |_| Answer::after(delay))
    }

    /// One that answers as `plan` says.
    pub fn answering(plan: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let books = Arc::new(Books { arrivals: Mutex::default(), distinct: watch::Sender::new(0) });
        let receiver = Receiver::start();
        let for_plan = Arc::clone(&books);
        receiver.plan(PATH, move |_, request| {
            for_plan.enter(request);
            plan(request)
        });
        Self { receiver, books }
    }

    /// The callback URL whose requests are entered.
    pub fn url(&self) -> String {
        self.receiver.url(PATH)
    }

    /// The receiver itself.
    pub fn receiver(&self) -> &Receiver {
        &self.receiver
    }

    /// How many deliveries are not answered yet.
    pub fn open(&self) -> usize {
        self.receiver.open(PATH)
    }

    /// How many different messages have come.
    pub fn distinct(&self) -> usize {
        *self.books.distinct.borrow()
    }

    /// Whether the message has come.
    pub fn has(&self, message: i64) -> bool {
        self.books.lock().contains_key(&message)
    }

    /// All that has come.
    pub fn arrivals(&self) -> Arrivals {
        self.books.lock().clone()
    }

    /// What has come more than once.
    pub fn repeated(&self) -> Arrivals {
        let arrivals = self.books.lock();
        arrivals.iter().filter(|(_, times)| times.len() > 1).map(|(id, times)| (*id, times.clone())).collect()
    }

    /// Those of `messages` that have not come.
    pub fn missing(&self, messages: impl IntoIterator<Item = i64>) -> BTreeSet<i64> {
        let arrivals = self.books.lock();
        messages.into_iter().filter(|id| !arrivals.contains_key(id)).collect()
    }

    /// Waits until `wanted` different messages have come.
    ///
    /// # Panics
    /// They do not within `deadline`.
    pub async fn wait_for(&self, deadline: Duration, wanted: usize) {
        let mut distinct = self.books.distinct.subscribe();
        let come = distinct.wait_for(|distinct| *distinct >= wanted);
        if tokio::time::timeout(deadline, come).await.is_err() {
            panic!("waited {deadline:?} in vain for {wanted} messages: {} came", self.distinct());
        }
    }

    /// Waits until all of `messages` have come.
    ///
    /// # Panics
    /// They do not within `deadline`.
    pub async fn wait_for_all(&self, deadline: Duration, messages: &[i64]) {
        let mut distinct = self.books.distinct.subscribe();
        let started = Instant::now();
        let mut missing = self.missing(messages.iter().copied());
        while !missing.is_empty() {
            let left = deadline.saturating_sub(started.elapsed());
            let changed = tokio::time::timeout(left, distinct.changed()).await;
            missing = self.missing(missing);
            assert!(
                changed.is_ok() || missing.is_empty(),
                "waited {deadline:?} in vain for {} messages: {} are missing, such as {:?}",
                messages.len(),
                missing.len(),
                missing.first()
            );
        }
    }
}

/// The id of the message that a request delivers.
pub fn message_of(request: &Received) -> Option<i64> {
    request.header("webhook-id")?.strip_prefix("msg_")?.parse().ok()
}
