//! Starting what is due: the last check against the database, and a task per delivery.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::time::{Duration, Instant};

use posthaste_core::ids::{MessageId, QueueId};
use posthaste_core::time::Timestamp;
use posthaste_core::trace;
use posthaste_core::transition::{ErrorClass, Verdict};
use posthaste_core::window::{Row, Start};
use posthaste_store::connect::Connection;
use posthaste_store::error::StoreError;
use posthaste_store::outcome::Outcome;
use posthaste_store::outcome::Timings;
use posthaste_store::payload::{Payload, Read, payloads};
use posthaste_store::shard::{Hold, hold};
use posthaste_store::target::settings;
use tokio::sync::mpsc;

use super::{Event, HOLD_MARGIN, Running, Step, Worker};
use crate::dispatch::{Attempt, NotSent, Permit};
use crate::metrics::InFlight;

/// Messages whose payloads are read in one statement.
const BATCH: usize = 256;
/// Bodies that are read in one statement.
const BATCH_BYTES: i64 = 8 * 1024 * 1024;

impl Worker {
    /// Starts what is due and may start. More: there may be more of it.
    pub(super) async fn start(&mut self, reader: &mut Connection) -> Result<Step, StoreError> {
        let Some(now) = self.now() else { return Ok(Step::Idle) };
        let starts = self.windows.start(now, BATCH);
        if starts.is_empty() {
            return Ok(Step::Idle);
        }
        let step = if starts.len() == BATCH { Step::More } else { Step::Idle };
        let (cancelled, to_send): (Vec<Start>, Vec<Start>) = starts.into_iter().partition(|start| start.cancelled);
        for start in cancelled {
            self.drop_cancelled(start, now);
        }
        if to_send.is_empty() {
            return Ok(step);
        }
        let (found, relearnt) = match self.read(reader, &to_send).await {
            Ok(read) => read,
            Err(error) => {
                self.put_back(&to_send);
                return Err(error);
            }
        };
        let Sorted { sending, misplaced, missing } = self.sort(found, &relearnt, &to_send);
        for (id, attempt) in missing {
            self.give_up(id, attempt);
        }
        let claimed = self.claim(reader, &sending).await;
        let sent = self.send(sending, claimed);
        self.relocate(reader, &misplaced).await?;
        // Not at once again: a row that is never found whole, such as one whose message was deleted by hand, would be read
        // without end.
        sent.map(|()| step)
    }

    /// What is to be sent, and what is to be moved; everything else that was found goes back.
    fn sort(&mut self, found: Vec<Read>, relearnt: &BTreeSet<QueueId>, asked: &[Start]) -> Sorted {
        let mut sorted = Sorted {
            sending: Vec::with_capacity(found.len()),
            misplaced: Vec::new(),
            missing: asked.iter().map(|start| (start.id, start.attempt)).collect(),
        };
        for read in found {
            sorted.missing.remove(&read.row().id);
            match read {
                // What was started under other limits starts again under these.
                Read::Send(row, _) if relearnt.contains(&row.queue) || self.windows.exceeds(row.queue) => {
                    self.take_back(row)
                }
                Read::Send(row, payload) => sorted.sending.push((row, payload)),
                Read::Postponed(row) => self.take_back(row),
                Read::Paused(row) => {
                    // Before the row is back: it would start again at once.
                    self.windows.pause(row.queue);
                    self.take_back(row);
                }
                Read::Misplaced(row) => {
                    self.windows.forget(row.id, row.attempt);
                    sorted.misplaced.push(row);
                }
                Read::Preceded { row, by } => {
                    // It arrives when its predecessor has ended, which may have been left out of memory because this one was in flight.
                    self.windows.forget(row.id, row.attempt);
                    self.reread.push(by);
                }
                Read::Beside { row, until } => self.take_back(Row { held_until: Some(until), ..row }),
            }
        }
        sorted
    }

    /// Sends what was claimed, or needs no claim.
    fn send(
        &mut self,
        sending: Vec<(Row, Box<Payload>)>,
        claimed: Result<Claims, StoreError>,
    ) -> Result<(), StoreError> {
        // Reading took time, in which the lease may have run out. What is read but not started is left to the next owner.
        let is_live = self.is_live();
        for (row, payload) in sending {
            match &claimed {
                Ok(claims) if is_live && !claims.refused.contains(&row.id) => {
                    let since = claims.claimed.contains(&row.id).then_some(claims.since);
                    self.deliver(row, *payload, since);
                }
                // Perhaps it is held now by a claim whose answer was lost. Then it waits for the end of that.
                Ok(_) | Err(_) => self.give_up(row.id, row.attempt),
            }
        }
        claimed.map(|_| ())
    }

    /// Reads what is to be sent, and what is not known yet of the queues that it belongs to; and answers of which queues other limits
    /// were believed.
    async fn read(
        &mut self,
        reader: &mut Connection,
        starts: &[Start],
    ) -> Result<(Vec<Read>, BTreeSet<QueueId>), StoreError> {
        let found = payloads(reader, starts, BATCH_BYTES).await?;
        let mut unknown: BTreeSet<QueueId> = BTreeSet::new();
        for read in &found {
            if let Read::Send(_, payload) = read
                && let Some(revision) = payload.revision
                && (self.targets.get(payload.queue, revision).is_none()
                    || self.windows.revision(payload.queue) < Some(revision))
            {
                unknown.insert(payload.queue);
            }
        }
        if unknown.is_empty() {
            return Ok((found, unknown));
        }
        let unknown: Vec<QueueId> = unknown.into_iter().collect();
        let settings = settings(reader, &unknown).await?;
        Ok((found, self.learn(settings)))
    }

    /// Holds what a successor must wait for, before it is sent.
    async fn claim(&mut self, reader: &mut Connection, sending: &[(Row, Box<Payload>)]) -> Result<Claims, StoreError> {
        let since = Instant::now();
        let mut holds = Vec::new();
        for (row, payload) in sending {
            if row.key.is_some() || self.windows.limits(row.queue).max_concurrency.is_some() {
                let Some(epoch) = self.owned.get(&row.shard).copied() else { continue };
                let remaining = Some(self.time_limit(payload) + HOLD_MARGIN);
                holds.push(Hold { id: row.id, attempt: row.attempt, shard: row.shard, epoch, remaining });
            }
        }
        let claimed: HashSet<MessageId> = hold(reader, &holds).await?.into_iter().map(|(id, _)| id).collect();
        let refused = holds.iter().map(|hold| hold.id).filter(|id| !claimed.contains(id)).collect();
        Ok(Claims { since, claimed, refused })
    }

    /// Lets rows be moved to where they belong, and with them whatever else of their queues is in their shards.
    async fn relocate(&mut self, reader: &mut Connection, rows: &[Row]) -> Result<(), StoreError> {
        let mut holds = Vec::with_capacity(rows.len());
        for row in rows {
            self.move_queue(row.queue, row.shard);
            if let Some(epoch) = self.owned.get(&row.shard).copied() {
                holds.push(Hold { id: row.id, attempt: row.attempt, shard: row.shard, epoch, remaining: None });
            }
        }
        let moved = hold(reader, &holds).await;
        if moved.is_err() {
            self.reread.extend(rows.iter().map(|row| row.id));
        }
        moved.map(|_| ())
    }

    /// It has just been read and is still to be sent.
    fn take_back(&mut self, row: Row) {
        self.windows.forget(row.id, row.attempt);
        self.windows.reread(row);
    }

    fn put_back(&mut self, starts: &[Start]) {
        for start in starts {
            self.give_up(start.id, start.attempt);
        }
    }

    fn time_limit(&self, payload: &Payload) -> Duration {
        let target = payload.revision.and_then(|revision| self.targets.get(payload.queue, revision));
        self.dispatcher.time_limit(payload, target.map(Rc::as_ref))
    }

    /// Sends it. `claimed`: when it was about to be held for as long as it may last.
    fn deliver(&mut self, row: Row, payload: Payload, claimed: Option<Instant>) {
        let parts = (&self.feed, self.lease.clone(), self.owned.get(&payload.shard).copied());
        let (Some(feed), Some(lease), Some(epoch)) = parts else { return };
        let clock = feed.clock;
        // Missing although there was a revision: the queue was deleted between two reads.
        let target = payload.revision.and_then(|revision| self.targets.get(payload.queue, revision)).cloned();
        let dispatcher = Rc::clone(&self.dispatcher);
        let time_limit = dispatcher.time_limit(&payload, target.as_deref());
        let permit = Permit::new(lease, claimed.unwrap_or_else(Instant::now) + time_limit);
        if claimed.is_some() {
            permit.hold();
        }
        let in_order = row.key.is_some();
        self.running.insert(payload.id, Running { attempt: payload.attempt, epoch, in_order, permit: permit.clone() });
        self.metrics.lateness.observe(clock.now().since(row.due).as_secs_f64());
        self.windows.charge(payload.id, payload.body.as_ref().map_or(0, Vec::len));
        let attempt = Attempt::new(&payload, target.clone(), epoch, clock);
        let trace = payload.trace.as_ref().and_then(|trace| trace::id(&trace.parent)).map(str::to_owned);
        let in_flight = self.metrics.in_flight();
        let unfinished =
            Unfinished { attempt: Some(attempt.clone()), finished: self.finished.clone(), _in_flight: in_flight };
        let (metrics, scheduled_at) = (Rc::clone(&self.metrics), payload.scheduled_at);
        let (events, key) = (self.events.clone(), (payload.id, payload.attempt));
        actix_rt::spawn(async move {
            match dispatcher.deliver(&attempt, payload, target.as_deref(), clock, &permit).await {
                Ok(report) => {
                    let (id, attempt_number) = key;
                    let _ = events.send(Event::Heard { id, attempt: attempt_number, health: attempt.health(&report) });
                    let outcome = attempt.outcome(report);
                    let took = outcome.finished_at.since(outcome.started_at);
                    metrics.attempt_duration.observe(took.as_secs_f64());
                    if outcome.verdict == Verdict::Delivered {
                        metrics.end_to_end.observe(outcome.finished_at.since(scheduled_at).as_secs_f64());
                    }
                    log(&outcome, trace.as_deref(), took);
                    unfinished.finish(outcome);
                }
                Err(NotSent) => {
                    unfinished.never_started();
                    let _ = events.send(Event::Written { recorded: vec![], refused: vec![key] });
                }
            }
        });
    }

    fn drop_cancelled(&mut self, start: Start, now: Timestamp) {
        let Some(&epoch) = self.owned.get(&start.shard) else { return };
        let permit = Permit::new(self.lease.clone().unwrap_or_default(), Instant::now());
        self.running.insert(start.id, Running { attempt: start.attempt, epoch, in_order: start.key.is_some(), permit });
        let _ = self.finished.send(Outcome {
            id: start.id,
            queue: start.queue,
            attempt: start.attempt,
            shard: start.shard,
            epoch,
            verdict: Verdict::Cancelled,
            started_at: now,
            finished_at: now,
            status: None,
            error_class: Some(ErrorClass::Cancelled),
            error: None,
            response_headers: None,
            response_body: None,
            timings: Timings::default(),
            pauses_queue: None,
        });
    }
}

/// Says what came of an attempt, by ids: what was sent and answered is nobody's who reads logs. A message that is lost to its receiver is
/// worth a line; there may be thousands of others a second.
fn log(outcome: &Outcome, trace: Option<&str>, took: Duration) {
    let Outcome { id, queue, attempt, status, error_class, .. } = outcome;
    let (outcome, class) = (outcome.verdict.as_str(), error_class.map(ErrorClass::as_str));
    let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    macro_rules! line {
        ($level:ident, $text:literal) => {
            tracing::$level!(
                message_id = id.0,
                queue_id = queue.0,
                attempt = attempt + 1,
                trace_id = trace,
                outcome,
                status,
                error = class,
                took_ms,
                $text
            )
        };
    }
    match outcome {
        "failed" | "expired" => line!(info, "a message was not delivered"),
        _ => line!(debug, "attempted"),
    }
}

/// What was found of what is to be sent.
struct Sorted {
    sending: Vec<(Row, Box<Payload>)>,
    /// Belongs to other shards by now.
    misplaced: Vec<Row>,
    /// Not found any more, each with its attempt.
    missing: HashMap<MessageId, i32>,
}

/// What was held before it is sent.
struct Claims {
    /// No hold is of before.
    since: Instant,
    claimed: HashSet<MessageId>,
    /// Changed, or of a shard that has another owner.
    refused: HashSet<MessageId>,
}

/// Makes sure that a delivery that was started ends in an outcome, also when its task panics: a message without one would
/// stay in flight for ever.
struct Unfinished {
    /// Whose outcome is reported if no other is.
    attempt: Option<Attempt>,
    finished: mpsc::UnboundedSender<Outcome>,
    _in_flight: InFlight,
}

impl Unfinished {
    fn finish(mut self, outcome: Outcome) {
        self.attempt = None;
        let _ = self.finished.send(outcome);
    }

    /// There is nothing to report: no request was made.
    fn never_started(mut self) {
        self.attempt = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt.take() {
            let outcome = attempt.broken();
            tracing::error!(message = outcome.id.0, "a delivery broke off");
            let _ = self.finished.send(outcome);
        }
    }
}
