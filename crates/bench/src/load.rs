//! Posting messages to the API: in a closed loop (as fast as it answers) or an open one (at a given rate, whatever it
//! answers).
//!
//! Messages are numbered from 0 without gaps, and the body carries the instant at which its POST started: latency is the
//! receiver's to compute.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use awc::{Client, Connector};
use hdrhistogram::Histogram;

use crate::body;
use crate::sink::{Latency, histogram};

/// A client that keeps up to `connections` connections open, waits for no answer longer than 30 s, and follows no
/// redirect. The deliverer is built on the same one.
pub fn client(connections: usize) -> Client {
    Client::builder()
        .connector(Connector::new().limit(connections))
        .timeout(Duration::from_secs(30))
        .disable_redirects()
        .finish()
}

/// Where and what to post.
#[derive(Clone)]
pub struct Post {
    pub client: Client,
    /// The API's `/messages` URL.
    pub url: Rc<str>,
    /// The queues' ids as the API wrote them: they have messages in turn.
    pub queues: Rc<[Rc<str>]>,
    pub body_bytes: usize,
}

/// What came of it.
pub struct Posted {
    /// Messages that the API accepted.
    pub accepted: u64,
    /// Messages that it did not, or of which nothing is known.
    pub failed: u64,
    /// The first errors, each as a sentence; a message that failed may have been stored all the same.
    pub errors: Vec<String>,
    /// When the first POST started and the last answer came, in nanoseconds (see [`body::now`]).
    pub started: u64,
    pub ended: u64,
    /// From the start of a POST to its answer.
    pub latency: Latency,
    /// How late the open loop started a POST at worst: what the generator itself adds to nothing, but must stay small for
    /// the rate to be the one asked for.
    pub worst_slip: Duration,
}

struct Tally {
    accepted: Cell<u64>,
    failed: Cell<u64>,
    errors: RefCell<Vec<String>>,
    latency: RefCell<Histogram<u64>>,
}

impl Tally {
    fn new() -> anyhow::Result<Rc<Tally>> {
        Ok(Rc::new(Tally {
            accepted: Cell::new(0),
            failed: Cell::new(0),
            errors: RefCell::new(Vec::new()),
            latency: RefCell::new(histogram()?),
        }))
    }

    fn posted(&self, started: u64, worst_slip: Duration) -> Posted {
        Posted {
            accepted: self.accepted.get(),
            failed: self.failed.get(),
            errors: self.errors.take(),
            started,
            ended: body::now(),
            latency: Latency::of(&self.latency.borrow()),
            worst_slip,
        }
    }
}

impl Post {
    /// Posts message `number` and counts the answer; false where it was not accepted.
    async fn send(&self, number: u64, tally: &Tally) -> bool {
        let started = body::now();
        let turn = usize::try_from(number).unwrap_or(0) % self.queues.len().max(1);
        let message = serde_json::json!({
            "queueId": self.queues.get(turn).map(|queue| &**queue),
            "body": body::encode(number, started, self.body_bytes),
        });
        let answer = self.client.post(&*self.url).send_json(&message).await;
        let error = match answer {
            Ok(mut response) => match response.body().await {
                Ok(_) if response.status().is_success() => None,
                Ok(body) => Some(format!("{}: {}", response.status(), String::from_utf8_lossy(&body))),
                Err(error) => Some(format!("{}: {error}", response.status())),
            },
            Err(error) => Some(error.to_string()),
        };
        tally.latency.borrow_mut().saturating_record((body::now() - started) / 1000);
        match error {
            None => tally.accepted.set(tally.accepted.get() + 1),
            Some(error) => {
                tally.failed.set(tally.failed.get() + 1);
                let mut errors = tally.errors.borrow_mut();
                if errors.len() < 5 {
                    errors.push(format!("message {number} was not accepted: {error}"));
                }
                return false;
            }
        }
        true
    }
}

/// `connections` at a time, each posting the next message as soon as its last one is answered, for `duration`. A connection
/// that meets an error posts no more.
pub async fn closed_loop(post: &Post, connections: usize, duration: Duration) -> anyhow::Result<Posted> {
    let tally = Tally::new()?;
    let next = Rc::new(Cell::new(0));
    let started = body::now();
    let until = Instant::now() + duration;
    let mut tasks = Vec::with_capacity(connections);
    for _ in 0..connections {
        let (post, tally, next) = (post.clone(), Rc::clone(&tally), Rc::clone(&next));
        tasks.push(actix_rt::spawn(async move {
            while Instant::now() < until {
                let number = next.replace(next.get() + 1);
                if !post.send(number, &tally).await {
                    break;
                }
            }
        }));
    }
    for task in tasks {
        task.await?;
    }
    Ok(tally.posted(started, Duration::ZERO))
}

/// `count` messages, one every 1 / `rate` seconds, each posted at its time even if those before it are not answered yet.
pub async fn open_loop(post: &Post, rate: u32, count: u64) -> anyhow::Result<Posted> {
    open_loop_while(post, rate, |number| number < count).await
}

/// The same, for as long as `goes_on` says so of the next number.
pub async fn open_loop_while(post: &Post, rate: u32, goes_on: impl Fn(u64) -> bool) -> anyhow::Result<Posted> {
    let tally = Tally::new()?;
    let interval = Duration::from_secs(1) / rate.max(1);
    let started = body::now();
    let mut due = tokio::time::Instant::now();
    let mut worst_slip = Duration::ZERO;
    let mut tasks = Vec::new();
    for number in (0..).take_while(|number| goes_on(*number)) {
        tokio::time::sleep_until(due).await;
        worst_slip = worst_slip.max(due.elapsed());
        due += interval;
        let (post, tally) = (post.clone(), Rc::clone(&tally));
        tasks.push(actix_rt::spawn(async move {
            post.send(number, &tally).await;
        }));
    }
    for task in tasks {
        task.await?;
    }
    Ok(tally.posted(started, worst_slip))
}
