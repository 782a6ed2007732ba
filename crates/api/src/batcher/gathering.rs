//! What waits becomes groups, each as large as a statement may be.

use std::time::{Duration, Instant};

use posthaste_store::message::{Batch, NewMessage, Verdict};
use tokio::sync::{mpsc, oneshot};

use super::{Stored, answer, answered};
use crate::error::ApiError;
use crate::memory::Reservation;
use crate::metrics::ApiMetrics;

/// How long a message may wait for its statement to begin; a client has mostly given up by then.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);
/// Messages of one statement.
const ROWS: usize = 500;
/// Bytes of bodies of one statement; a single greater one goes alone.
pub(super) const BYTES: usize = 4 << 20;

/// A message that waits for its statement.
#[derive(Debug)]
pub(super) struct Waiting {
    pub message: NewMessage,
    pub size: usize,
    pub since: Instant,
    pub caller: Caller,
}

/// Who waits for it.
#[derive(Debug)]
pub(super) struct Caller {
    pub answer: oneshot::Sender<Result<Stored, ApiError>>,
    pub _memory: Reservation,
}

/// Makes groups of what waits.
pub(super) struct Gathering {
    pub waiting: mpsc::Receiver<Waiting>,
    /// What did not fit into the last group.
    pub carried: Option<Waiting>,
}

impl Gathering {
    /// All that waits now, up to the bounds of a statement; waits only if nothing does. `None` at the end. May be
    /// dropped while it waits.
    pub async fn next(&mut self) -> Option<Group> {
        let mut group = Group::default();
        while group.callers.is_empty() {
            match self.carried.take() {
                Some(first) => group.admit(first),
                None => group.admit(self.waiting.recv().await?),
            }
        }
        while group.callers.len() < ROWS {
            let Ok(next) = self.waiting.try_recv() else { break };
            if group.batch.bytes() + next.size > BYTES {
                self.carried = Some(next);
                break;
            }
            group.admit(next);
        }
        Some(group)
    }
}

/// Messages that are stored together, and who waits for them, in the same order.
#[derive(Default)]
pub(super) struct Group {
    pub batch: Batch,
    pub callers: Vec<Caller>,
}

impl Group {
    /// Takes a message in, unless its caller is gone or has waited too long.
    pub fn admit(&mut self, waiting: Waiting) {
        let Waiting { message, since, caller, .. } = waiting;
        if caller.answer.is_closed() {
            return;
        }
        if since.elapsed() > PATIENCE {
            // The caller may be gone by now.
            let _ = caller.answer.send(Err(ApiError::Unavailable));
            return;
        }
        self.batch.push(message);
        self.callers.push(caller);
    }

    pub fn split(mut self) -> (Group, Group) {
        let half = self.callers.len() / 2;
        let second = Group { batch: self.batch.split_off(half), callers: self.callers.split_off(half) };
        (self, second)
    }

    pub fn answer(self, verdicts: Vec<Verdict>, metrics: &ApiMetrics) {
        for ((message, verdict), caller) in self.batch.into_messages().zip(verdicts).zip(self.callers) {
            let answer = answer(message, verdict);
            answered(metrics, &answer);
            // As above.
            let _ = caller.answer.send(answer);
        }
    }

    pub fn fail(self, error: &ApiError) {
        for caller in self.callers {
            let _ = caller.answer.send(Err(error.clone()));
        }
    }
}
