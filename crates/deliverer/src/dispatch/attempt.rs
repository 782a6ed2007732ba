//! An attempt and its outcome: what is written of it, and what becomes of the message.

use std::rc::Rc;

use posthaste_core::gate::flow::Health;
use posthaste_core::ids::{Epoch, MessageId, QueueId, Shard};
use posthaste_core::time::Timestamp;
use posthaste_core::transition::{AttemptResult, ErrorClass, Lifetime, RetryPolicy, decide, pauses_queue};
use posthaste_store::outcome::{Outcome, Timings};
use posthaste_store::payload::Payload;

use super::answer::Answer;
use super::classify::Failure;
use super::target::Target;
use crate::clock::DatabaseClock;

/// How an attempt went.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) answer: Result<Answer, Failure>,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Timestamp,
    pub(crate) timings: Timings,
}

/// An attempt to deliver a message, and what is needed to say what its end means.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    id: MessageId,
    queue: QueueId,
    shard: Shard,
    epoch: Epoch,
    /// Attempts that ended before.
    number: i32,
    lifetime: Lifetime,
    target: Option<Rc<Target>>,
    clock: DatabaseClock,
}

fn result(answer: &Result<Answer, Failure>) -> AttemptResult {
    match answer {
        Ok(answer) => AttemptResult::Answered(answer.signals),
        Err(Failure(class, _)) => AttemptResult::Error(*class),
    }
}

impl Attempt {
    pub(crate) fn new(payload: &Payload, target: Option<Rc<Target>>, epoch: Epoch, clock: DatabaseClock) -> Attempt {
        Attempt {
            id: payload.id,
            queue: payload.queue,
            shard: payload.shard,
            epoch,
            number: payload.attempt,
            lifetime: payload.lifetime,
            target,
            clock,
        }
    }

    /// What this end of it says about the receiver.
    pub(crate) fn health(&self, report: &Report) -> Health {
        Health::of(result(&report.answer))
    }

    /// Retries that came before it.
    pub(super) fn retries_done(&self) -> u32 {
        u32::try_from(self.number).unwrap_or(0)
    }

    /// What is to be written.
    pub(crate) fn outcome(&self, report: Report) -> Outcome {
        let Report { answer, started_at, finished_at, timings } = report;
        let result = result(&answer);
        let lifetime = self.lifetime.after(finished_at.since(started_at));
        let chance = rand::random();
        let verdict = match &self.target {
            Some(target) => decide(result, self.retries_done(), lifetime, &target.policy, chance),
            None => decide(result, self.retries_done(), lifetime, &RetryPolicy::default(), chance),
        };
        let (status, response_headers, response_body, error) = match answer {
            Ok(answer) => (Some(answer.signals.status), answer.headers, answer.body, None),
            Err(Failure(_, text)) => (None, None, None, Some(text)),
        };
        Outcome {
            id: self.id,
            queue: self.queue,
            attempt: self.number,
            shard: self.shard,
            epoch: self.epoch,
            verdict,
            started_at,
            finished_at,
            status,
            error_class: result.error_class(),
            timings,
            error,
            response_headers,
            response_body,
            pauses_queue: pauses_queue(result),
        }
    }

    /// The outcome of an attempt that ended without an answer and without blame on the receiver, by a bug of ours: it counts as
    /// failed, so that it is made again within the queue's bounds.
    pub(crate) fn broken(&self) -> Outcome {
        let now = self.clock.now();
        let failure = Failure(ErrorClass::Protocol, "the delivery broke off".to_owned());
        let timings = Timings::default();
        self.outcome(Report { answer: Err(failure), started_at: now, finished_at: now, timings })
    }
}
