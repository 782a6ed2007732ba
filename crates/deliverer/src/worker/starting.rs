//! Starting what is due: the last check against the database, and a task per delivery.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use posthaste_core::ids::{MessageId, QueueId};
use posthaste_core::time::Timestamp;
use posthaste_core::transition::{ErrorClass, Verdict};
use posthaste_core::window::{Row, Start};
use posthaste_store::connect::Connection;
use posthaste_store::error::StoreError;
use posthaste_store::outcome::Outcome;
use posthaste_store::outcome::Timings;
use posthaste_store::payload::{Payload, Read, payloads};
use posthaste_store::target::settings;
use tokio::sync::mpsc;

use super::{Event, Running, Step, Worker};
use crate::dispatch::{Attempt, NotSent, Permit};

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
        let found = match self.read(reader, &to_send).await {
            Ok(found) => found,
            Err(error) => {
                self.put_back(&to_send);
                return Err(error);
            }
        };
        // Reading took time, in which the lease may have run out. What is read but not started is left to the next owner.
        if !self.is_live() {
            self.put_back(&to_send);
            return Ok(Step::Idle);
        }
        let mut missing: HashMap<MessageId, i32> = to_send.iter().map(|start| (start.id, start.attempt)).collect();
        for read in found {
            match read {
                Read::Send(payload) => {
                    missing.remove(&payload.id);
                    self.deliver(*payload);
                }
                Read::Postponed(row) => {
                    missing.remove(&row.id);
                    self.take_back(row);
                }
                Read::Paused(row) => {
                    missing.remove(&row.id);
                    // Before the row is back: it would start again at once.
                    self.windows.pause(row.queue);
                    self.take_back(row);
                }
            }
        }
        for (id, attempt) in missing {
            self.give_up(id, attempt);
        }
        // Not at once again: a row that is never found whole, such as one whose message was deleted by hand, would be read
        // without end.
        Ok(step)
    }

    /// Reads what is to be sent, and what is not known yet of the queues that it belongs to.
    async fn read(&mut self, reader: &mut Connection, starts: &[Start]) -> Result<Vec<Read>, StoreError> {
        let found = payloads(reader, starts, BATCH_BYTES).await?;
        let mut unknown: Vec<QueueId> = Vec::new();
        for read in &found {
            if let Read::Send(payload) = read
                && let Some(revision) = payload.revision
                && self.targets.get(payload.queue, revision).is_none()
                && !unknown.contains(&payload.queue)
            {
                unknown.push(payload.queue);
            }
        }
        if !unknown.is_empty() {
            self.targets.learn(settings(reader, &unknown).await?, self.dispatcher.workshop());
        }
        Ok(found)
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

    fn deliver(&mut self, payload: Payload) {
        let parts = (&self.feed, self.lease.clone(), self.owned.get(&payload.shard).copied());
        let (Some(feed), Some(lease), Some(epoch)) = parts else { return };
        let clock = feed.clock;
        // Missing although there was a revision: the queue was deleted between two reads.
        let target = payload.revision.and_then(|revision| self.targets.get(payload.queue, revision)).cloned();
        let dispatcher = Rc::clone(&self.dispatcher);
        let time_limit = dispatcher.time_limit(&payload, target.as_deref());
        let permit = Permit::new(lease, Instant::now() + time_limit);
        self.running.insert(payload.id, Running { attempt: payload.attempt, epoch, permit: permit.clone() });
        let attempt = Attempt::new(&payload, target.clone(), epoch, clock);
        let unfinished = Unfinished { attempt: Some(attempt.clone()), finished: self.finished.clone() };
        let (events, key) = (self.events.clone(), (payload.id, payload.attempt));
        actix_rt::spawn(async move {
            match dispatcher.deliver(&attempt, payload, target.as_deref(), clock, &permit).await {
                Ok(report) => unfinished.finish(attempt.outcome(report)),
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
        self.running.insert(start.id, Running { attempt: start.attempt, epoch, permit });
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

/// Makes sure that a delivery that was started ends in an outcome, also when its task panics: a message without one would
/// stay in flight for ever.
struct Unfinished {
    /// Whose outcome is reported if no other is.
    attempt: Option<Attempt>,
    finished: mpsc::UnboundedSender<Outcome>,
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
