//! Messages that come together in one request, and are one commit.

use std::sync::Arc;
use std::time::Duration;

use posthaste_store::message::{Batch, Body, NewMessage, OnError, Together, insert_together};

use super::gathering::{BYTES, PATIENCE};
use super::storing::{Again, Storage, due_soon};
use super::{Batcher, Stored, answer, answered};
use crate::error::ApiError;
use crate::memory::Reservation;

/// The most messages of one request.
pub const LARGEST_BATCH: usize = 10_000;

/// Messages of one statement. More than of single ones: here all callers are one.
const ROWS: usize = 1_000;

/// Why no message was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotStored {
    /// For a reason that has nothing to do with any of them.
    All(ApiError),
    /// Because of these, by index, with [`OnError::FailAll`].
    Because(Vec<(usize, ApiError)>),
}

impl Batcher {
    /// Stores messages in one commit, and answers each in turn; with [`OnError::FailAll`] all of them or none.
    /// `reserved` has the memory that their bodies take.
    ///
    /// # Errors
    /// Nothing was stored, unless it says [`ApiError::OutcomeUnknown`].
    pub async fn store_many(
        &self,
        messages: Vec<NewMessage>,
        on_error: OnError,
        reserved: Reservation,
    ) -> Result<Vec<Result<Stored, ApiError>>, NotStored> {
        if messages.len() > LARGEST_BATCH {
            return Err(NotStored::All(ApiError::BatchTooLarge));
        }
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.many).acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            return Err(NotStored::All(ApiError::Overloaded));
        };
        let storage = self.storage.clone();
        // A task of its own: a client that goes away does not cut the transaction in two.
        let storing = self.runtime.spawn(async move {
            let ended = store(&storage, messages, on_error).await;
            drop((turn, reserved));
            ended
        });
        storing.await.unwrap_or(Err(NotStored::All(ApiError::OutcomeUnknown)))
    }
}

async fn store(
    storage: &Storage,
    messages: Vec<NewMessage>,
    on_error: OnError,
) -> Result<Vec<Result<Stored, ApiError>>, NotStored> {
    let (batches, indexes) = split(messages);
    let Together { verdicts, committed } =
        commit(storage, &batches, storage.lifetime, on_error).await.map_err(NotStored::All)?;
    if committed {
        storage.waker.pending(due_soon(&verdicts));
    }
    let messages = batches.into_iter().flat_map(Batch::into_messages);
    let mut answers: Vec<_> =
        indexes.into_iter().zip(messages.zip(verdicts)).map(|(at, (message, is))| (at, answer(message, is))).collect();
    answers.sort_unstable_by_key(|(index, _)| *index);
    if committed {
        let answers: Vec<_> = answers.into_iter().map(|(_, answer)| answer).collect();
        answers.iter().for_each(|answer| answered(&storage.metrics, answer));
        return Ok(answers);
    }
    let failed = |(index, answer): (usize, Result<_, _>)| answer.err().map(|error| (index, error));
    Err(NotStored::Because(answers.into_iter().filter_map(failed).collect()))
}

async fn commit(
    storage: &Storage,
    batches: &[Batch],
    lifetime: Duration,
    on_error: OnError,
) -> Result<Together, ApiError> {
    let mut conn = storage.pool.get().await.map_err(|error| ApiError::from_read(&error))?;
    let mut again = Again::default();
    loop {
        match insert_together(&mut conn, batches, lifetime, on_error).await {
            Ok(together) => return Ok(together),
            Err(error) => again.after(&mut conn, &error).await?,
        }
    }
}

/// The messages as batches, and the index that each had: those without keys in statements of a bounded size, then all that
/// have keys in one, which takes the keys in their order.
fn split(messages: Vec<NewMessage>) -> (Vec<Batch>, Vec<usize>) {
    let (mut batches, mut indexes) = (Vec::new(), Vec::with_capacity(messages.len()));
    let (mut batch, mut keyed, mut indexes_of_keyed) = (Batch::default(), Batch::default(), Vec::new());
    for (index, message) in messages.into_iter().enumerate() {
        if message.idempotency.is_some() {
            keyed.push(message);
            indexes_of_keyed.push(index);
            continue;
        }
        let size = message.body.as_ref().map_or(0, Body::len);
        if batch.len() == ROWS || (!batch.is_empty() && batch.bytes() + size > BYTES) {
            batches.push(std::mem::take(&mut batch));
        }
        batch.push(message);
        indexes.push(index);
    }
    batches.extend([batch, keyed].into_iter().filter(|batch| !batch.is_empty()));
    indexes.append(&mut indexes_of_keyed);
    (batches, indexes)
}

#[cfg(test)]
mod tests {
    use posthaste_core::ids::QueueId;
    use posthaste_store::message::IdempotencyKey;

    use super::*;

    fn message(size: usize, keyed: bool) -> NewMessage {
        NewMessage {
            body: Some(Body::Text("x".repeat(size))),
            idempotency: keyed.then(|| IdempotencyKey { key: "k".to_owned(), fingerprint: [0; 32] }),
            ..NewMessage::to(QueueId(1))
        }
    }

    fn sizes(messages: Vec<NewMessage>) -> (Vec<usize>, Vec<usize>) {
        let (batches, indexes) = split(messages);
        (batches.iter().map(Batch::len).collect(), indexes)
    }

    #[test]
    fn those_with_keys_come_last_and_together() {
        let messages = [false, true, false, true].map(|keyed| message(1, keyed));
        assert_eq!(sizes(messages.to_vec()), (vec![2, 2], vec![0, 2, 1, 3]));
        assert_eq!(sizes(vec![message(1, true); 2500]).0, [2500]);
    }

    #[test]
    fn statements_are_bounded() {
        assert_eq!(sizes(vec![message(0, false); 2500]).0, [1000, 1000, 500]);
        assert_eq!(sizes(vec![message(BYTES / 2, false); 5]).0, [2, 2, 1]);
        assert_eq!(sizes(vec![message(BYTES + 1, false); 3]).0, [1, 1, 1]);
        assert_eq!(sizes(Vec::new()), (vec![], vec![]));
    }
}
