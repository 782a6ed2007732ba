//! Messages.

use std::time::Duration;

use futures_util::FutureExt;
use posthaste_core::entity::MessageField;
use posthaste_core::filter::{Filter, Value};
use posthaste_core::ids::{CronId, MessageId, QueueId};
use posthaste_core::listing::Listing;
use posthaste_store::attempt::{self, Attempt};
use posthaste_store::cancel::{self, CancelRequest, MessageState};
use posthaste_store::changing::Changed;
use posthaste_store::error::StoreError;
use posthaste_store::job;
use posthaste_store::message::{self, Body, Ending, Message, NewMessage, OnError, Progress};
use posthaste_store::partition::ensure_partitions;
use tokio::time::{Instant, sleep};

use super::{Beside, Deletion, Resource, Stored};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::batcher::NotStored;
use crate::error::ApiError;
use crate::wire::fields::Fields;
use crate::wire::idempotency;
use crate::wire::message::{accepted, new_output, output, read_new};
use crate::wire::output::Output;
use crate::wire::patch::MessagePatch;

/// How long a cancellation waits for the message's owner to have dropped it.
const CANCEL_PATIENCE: Duration = Duration::from_secs(1);
/// The first pause between two looks at it; they double.
const CANCEL_LOOK: Duration = Duration::from_millis(5);

/// The messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Messages;

impl Resource for Messages {
    type Field = MessageField;
    type Row = Message;
    type New = NewMessage;
    type Patch = MessagePatch;

    const ID: MessageField = MessageField::Id;

    fn output(row: &Message, field: MessageField) -> Output<'_> {
        output(row, field)
    }

    fn id(row: &Message) -> i64 {
        row.id.0
    }

    fn field_of(name: &str) -> Option<MessageField> {
        match name {
            "delay" => Some(MessageField::When),
            "ttl" => Some(MessageField::ExpiresAt),
            "bodyBase64" => Some(MessageField::Body),
            _ => posthaste_core::entity::Field::from_name(name),
        }
    }

    fn read_new(app: &App, fields: Fields<'_>) -> Result<NewMessage, ApiError> {
        read_new(fields, app.max_body_bytes)
    }

    fn set_beside(new: &mut NewMessage, beside: &Beside) -> Result<(), ApiError> {
        if let Some(trace) = &beside.trace {
            trace.apply(new);
        }
        idempotency::apply(new, beside.idempotency_key.clone())
    }

    fn new_value(new: &NewMessage, field: MessageField) -> Option<Value> {
        new_output(new, field).value()
    }

    fn read_patch(fields: Fields<'_>, whole: bool) -> Result<MessagePatch, ApiError> {
        if whole { MessagePatch::read_whole(fields) } else { MessagePatch::read(fields) }
    }

    async fn find(app: &App, listing: Listing<MessageField>) -> Result<Vec<Message>, ApiError> {
        app.database.read(move |conn| async move { message::find(conn, &listing).await }.boxed()).await
    }

    async fn find_each(
        app: &App,
        by: MessageField,
        parents: Vec<i64>,
        listing: Listing<MessageField>,
    ) -> Result<Vec<Message>, ApiError> {
        app.database
            .read(move |conn| {
                async move {
                    match by {
                        MessageField::QueueId => {
                            let queues: Vec<QueueId> = parents.into_iter().map(QueueId).collect();
                            message::of_queues(conn, &queues, &listing).await
                        }
                        MessageField::CronId => {
                            let crons: Vec<CronId> = parents.into_iter().map(CronId).collect();
                            message::of_crons(conn, &crons, &listing).await
                        }
                        _ => Err(StoreError::unexpected("messages belong to queues and crons only")),
                    }
                }
                .boxed()
            })
            .await
    }

    async fn count(app: &App, filter: Filter<MessageField>) -> Result<i64, ApiError> {
        app.database.read(move |conn| async move { message::count(conn, &filter).await }.boxed()).await
    }

    async fn create(app: &App, new: NewMessage) -> Result<Stored<Message>, ApiError> {
        app.backlogs.check([new.queue_id])?;
        let stored = app.batcher.store(new).await?;
        Ok(Stored { row: accepted(stored.message, &stored.accepted), replayed: stored.replayed })
    }

    async fn create_all(app: &App, new: Vec<NewMessage>) -> Result<Vec<Message>, ApiError> {
        if new.is_empty() {
            return Ok(Vec::new());
        }
        app.backlogs.check(new.iter().map(|message| message.queue_id))?;
        let mut reserved = app.memory.reservation();
        reserved.grow(new.iter().filter_map(|message| message.body.as_ref()).map(Body::len).sum())?;
        let stored = app.batcher.store_many(new, OnError::FailAll, reserved).await.map_err(|error| match error {
            NotStored::All(error) => error,
            NotStored::Because(errors) => errors.into_iter().next().map_or(ApiError::Internal, |(_, error)| error),
        })?;
        stored.into_iter().map(|result| result.map(|stored| accepted(stored.message, &stored.accepted))).collect()
    }

    async fn change(
        app: &App,
        ids: Vec<i64>,
        patch: MessagePatch,
        bounds: Filter<MessageField>,
    ) -> Result<Vec<Message>, ApiError> {
        let ids: Vec<MessageId> = ids.into_iter().map(MessageId).collect();
        let plan = move |message: &Message| Self::within(&bounds, message, || patch.apply(message));
        match app.database.write(move |conn| async move { message::change(conn, &ids, &plan).await }.boxed()).await? {
            Changed::Done((rows, shards)) => {
                app.waker.pending(shards);
                app.waker.changes(rows.iter().map(|message| message.id));
                Ok(rows)
            }
            Changed::Refused(error) => Err(error),
            Changed::UnknownQueue => Err(ApiError::Internal),
        }
    }

    async fn delete(app: &App, ids: Vec<i64>, _: Deletion) -> Result<Vec<Message>, ApiError> {
        let ids: Vec<MessageId> = ids.into_iter().map(MessageId).collect();
        let delete = app.database.write(move |conn| async move { message::delete_all(conn, &ids).await }.boxed());
        let deleted = delete.await?;
        app.waker.pending(deleted.iter().filter_map(|deleted| deleted.shard));
        app.waker.changes([]);
        Ok(deleted.into_iter().map(|deleted| deleted.message).collect())
    }
}

/// Stops the delivery of a message and answers it; `None` where there is none that the caller may change. After a success it
/// is never delivered again. Cancelling twice is cancelling once.
///
/// # Errors
/// [`ApiError::InFlight`] where that cannot be promised: an attempt may be under way, or no deliverer runs. It is the last
/// attempt all the same. [`ApiError::NotPending`] where the message has ended otherwise.
pub async fn cancel(app: &App, caller: &Caller, id: i64) -> Result<Option<Message>, ApiError> {
    let grant = caller.grant::<MessageField>(Operation::Save)?;
    let theirs =
        || Listing::first(1, Filter::equal(MessageField::Id, Value::Number(id)).intersect(grant.filter.clone()));
    if Messages::find(app, theirs()).await?.is_empty() {
        return Ok(None);
    }
    match app.database.write(move |conn| cancel::request(conn, MessageId(id)).boxed()).await? {
        CancelRequest::Requested { shard } => app.waker.pending([shard]),
        CancelRequest::Ended => {}
        CancelRequest::Missing => return Ok(None),
    }
    let (deadline, mut pause) = (Instant::now() + CANCEL_PATIENCE, CANCEL_LOOK);
    loop {
        match app.database.read(move |conn| cancel::state(conn, MessageId(id)).boxed()).await? {
            MessageState::Ended(Ending::Cancelled) => break,
            MessageState::Pending if Instant::now() >= deadline => return Err(ApiError::InFlight),
            MessageState::Pending => {
                sleep(pause).await;
                pause *= 2;
            }
            MessageState::Ended(Ending::Delivered | Ending::Failed | Ending::Expired) => {
                return Err(ApiError::NotPending);
            }
            MessageState::Missing => return Ok(None),
        }
    }
    Ok(Messages::find(app, theirs()).await?.pop())
}

/// Stores a message that has ended once more, and answers the new one; `None` where there is none that the caller may change, or
/// its queue is gone.
///
/// # Errors
/// [`ApiError::StillPending`]; what the caller may not do; as any statement.
pub async fn replay(app: &App, caller: &Caller, id: i64) -> Result<Option<Message>, ApiError> {
    let grant = caller.grant::<MessageField>(Operation::Save)?;
    let one =
        |id| Listing::first(1, Filter::equal(MessageField::Id, Value::Number(id)).intersect(grant.filter.clone()));
    let Some(message) = Messages::find(app, one(id)).await?.pop() else { return Ok(None) };
    if matches!(message.progress, Progress::Pending { .. }) {
        return Err(ApiError::StillPending);
    }
    app.backlogs.check([message.queue_id])?;
    let write = app.database.write(move |conn| {
        async move {
            match job::replay(conn, MessageId(id)).await {
                Err(StoreError::MissingPartition) => {
                    ensure_partitions(conn).await?;
                    job::replay(conn, MessageId(id)).await
                }
                replayed => replayed,
            }
        }
        .boxed()
    });
    let Some((new, shard)) = write.await? else { return Ok(None) };
    app.waker.pending([shard]);
    app.waker.changes([new]);
    Ok(Messages::find(app, one(new.0)).await?.pop())
}

/// What was attempted for a message, in order; `None` where there is none that the caller may see. An attempt shows what the
/// receiver answered, so it is seen only by those who may see every field of the message.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn attempts(app: &App, caller: &Caller, id: i64) -> Result<Option<Vec<Attempt>>, ApiError> {
    if !super::is_there::<Messages>(app, caller, id, <MessageField as posthaste_core::entity::Field>::ALL).await? {
        return Ok(None);
    }
    app.database.read(move |conn| attempt::of(conn, MessageId(id)).boxed()).await.map(Some)
}
