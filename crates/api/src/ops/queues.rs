//! Queues.

use futures_util::FutureExt;
use posthaste_core::address::Egress;
use posthaste_core::entity::{Entity, QueueField};
use posthaste_core::filter::{Filter, Value};
use posthaste_core::ids::QueueId;
use posthaste_core::listing::Listing;
use posthaste_core::queue::CallbackUrl;
use posthaste_core::transition::MAX_DEAD_LETTER_HOPS;
use posthaste_store::changing::Changed;
use posthaste_store::count::{self, Backlog, Totals};
use posthaste_store::flow::{self, Standing};
use posthaste_store::queue::{self, Deleted, Link, NewQueue, Queue};
use posthaste_store::queue_state;

use super::{Deletion, Resource, Stored};
use crate::app::App;
use crate::auth::{Caller, Grant, Operation};
use crate::error::ApiError;
use crate::wire::fields::Fields;
use crate::wire::output::Output;
use crate::wire::queue::{QueuePatch, new_output, output};
use crate::wire::value::invalid;

/// The queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Queues;

impl Resource for Queues {
    type Field = QueueField;
    type Row = Queue;
    type New = NewQueue;
    type Patch = QueuePatch;

    const ID: QueueField = QueueField::Id;

    fn output(row: &Queue, field: QueueField) -> Output<'_> {
        output(row, field)
    }

    fn id(row: &Queue) -> i64 {
        row.id.0
    }

    fn read_new(_: &App, fields: Fields<'_>) -> Result<NewQueue, ApiError> {
        QueuePatch::read_whole(fields)?.create()
    }

    fn new_value(new: &NewQueue, field: QueueField) -> Option<Value> {
        new_output(new, field).value()
    }

    fn read_patch(fields: Fields<'_>, whole: bool) -> Result<QueuePatch, ApiError> {
        if whole { QueuePatch::read_whole(fields) } else { QueuePatch::read(fields) }
    }

    async fn check_new(app: &App, grant: &Grant<QueueField>, new: &NewQueue) -> Result<(), ApiError> {
        check_callback_url(&app.egress, &new.callback_url)?;
        for (name, other) in [(DEAD_LETTERS, new.dead_letter_queue_id), (EVENTS, new.event_queue_id)] {
            check_named(app, grant, name, other).await?;
        }
        Ok(())
    }

    async fn check_patch(app: &App, grant: &Grant<QueueField>, patch: &QueuePatch) -> Result<(), ApiError> {
        for (name, other) in [(DEAD_LETTERS, patch.dead_letter_queue()), (EVENTS, patch.event_queue())] {
            check_named(app, grant, name, other).await?;
        }
        Ok(())
    }

    async fn find(app: &App, listing: Listing<QueueField>) -> Result<Vec<Queue>, ApiError> {
        app.database.read(move |conn| async move { queue::find(conn, &listing).await }.boxed()).await
    }

    async fn find_each(
        app: &App,
        by: QueueField,
        parents: Vec<i64>,
        listing: Listing<QueueField>,
    ) -> Result<Vec<Queue>, ApiError> {
        if by != QueueField::DeadLetterQueueId {
            return Err(ApiError::Internal);
        }
        let parents: Vec<QueueId> = parents.into_iter().map(QueueId).collect();
        app.database
            .read(move |conn| async move { queue::of_dead_letter_queues(conn, &parents, &listing).await }.boxed())
            .await
    }

    async fn count(app: &App, filter: Filter<QueueField>) -> Result<i64, ApiError> {
        app.database.read(move |conn| async move { queue::count(conn, &filter).await }.boxed()).await
    }

    async fn create(app: &App, new: NewQueue) -> Result<Stored<Queue>, ApiError> {
        let row = Self::create_all(app, vec![new]).await?.pop().ok_or(ApiError::Internal)?;
        Ok(Stored { row, replayed: false })
    }

    async fn create_all(app: &App, new: Vec<NewQueue>) -> Result<Vec<Queue>, ApiError> {
        let named = new.iter().filter_map(|queue| queue.dead_letter_queue_id.or(queue.event_queue_id)).next();
        for queue in &new {
            chain(app, DEAD_LETTERS, queue.dead_letter_queue_id).await?;
            chain(app, EVENTS, queue.event_queue_id).await?;
        }
        match app.database.write(move |conn| async move { queue::insert_all(conn, &new).await }.boxed()).await? {
            Changed::Done(rows) => {
                app.waker.changes([]);
                Ok(rows)
            }
            Changed::Refused(never) => match never {},
            Changed::UnknownQueue => Err(unknown_queue(DEAD_LETTERS, named)),
        }
    }

    async fn change(
        app: &App,
        ids: Vec<i64>,
        patch: QueuePatch,
        bounds: Filter<QueueField>,
    ) -> Result<Vec<Queue>, ApiError> {
        let named = patch.dead_letter_queue().or(patch.event_queue());
        let egress = app.egress.clone();
        let dead_letters = chain(app, DEAD_LETTERS, patch.dead_letter_queue()).await?;
        let events = chain(app, EVENTS, patch.event_queue()).await?;
        let plan = move |queue: &Queue| {
            let planned = Self::within(&bounds, queue, || patch.apply(queue))?;
            // One that was stored before can still be changed otherwise.
            if planned.callback_url != queue.callback_url {
                check_callback_url(&egress, &planned.callback_url)?;
            }
            check_loop(DEAD_LETTERS, planned.id, &dead_letters)?;
            check_loop(EVENTS, planned.id, &events)?;
            Ok(planned)
        };
        let changed = ids.clone();
        let ids: Vec<QueueId> = ids.into_iter().map(QueueId).collect();
        match app.database.write(move |conn| async move { queue::change(conn, &ids, &plan).await }.boxed()).await? {
            Changed::Done(rows) => {
                app.backlogs.forget(&changed);
                app.waker.changes([]);
                Ok(rows)
            }
            Changed::Refused(error) => Err(error),
            Changed::UnknownQueue => Err(unknown_queue(DEAD_LETTERS, named)),
        }
    }

    async fn delete(app: &App, ids: Vec<i64>, deletion: Deletion) -> Result<Vec<Queue>, ApiError> {
        let ids: Vec<QueueId> = ids.into_iter().map(QueueId).collect();
        let how = match deletion {
            Deletion::IfUnused => queue::Deletion::IfUnused,
            Deletion::Force => queue::Deletion::Force,
        };
        let deleted = app.database.write(move |conn| async move { queue::delete_all(conn, &ids, how).await }.boxed());
        match deleted.await? {
            Deleted::InUse => Err(ApiError::InUse),
            Deleted::Deleted(rows) => {
                if deletion == Deletion::Force {
                    for queue in &rows {
                        cancel(app, queue.id).await;
                    }
                }
                app.waker.changes([]);
                Ok(rows)
            }
        }
    }
}

/// The queue is gone whatever becomes of this: what stays pending is dropped when it is due.
async fn cancel(app: &App, id: QueueId) {
    if let Ok(shards) = app.database.write(move |conn| queue::cancel_messages(conn, id).boxed()).await {
        app.waker.pending(shards);
    }
    app.waker.crons();
}

/// The field by which a queue names another, and what it names it for.
type Name = (&'static str, Link);

const DEAD_LETTERS: Name = ("deadLetterQueueId", Link::DeadLetters);
const EVENTS: Name = ("eventQueueId", Link::Events);

fn unknown_queue((field, _): Name, id: Option<QueueId>) -> ApiError {
    ApiError::UnknownQueue { field, id: id.map_or(0, |id| id.0) }
}

/// The queue that is named, the one that that one names, and so on.
///
/// # Errors
/// There is no such queue; there are more than a message may go through.
async fn chain(app: &App, name: Name, start: Option<QueueId>) -> Result<Vec<QueueId>, ApiError> {
    let Some(start) = start else { return Ok(Vec::new()) };
    let link = name.1;
    let chain = app.database.read(move |conn| queue::follow(conn, link, start).boxed()).await?;
    let most = usize::try_from(MAX_DEAD_LETTER_HOPS).unwrap_or(0);
    match chain.len() {
        0 => Err(unknown_queue(name, Some(start))),
        length if length > most => {
            Err(invalid(name.0, format!("is the first of more than {most} queues of which each names the next")))
        }
        _ => Ok(chain),
    }
}

/// A queue must not come back to itself by the queues that it names.
fn check_loop((field, _): Name, id: QueueId, chain: &[QueueId]) -> Result<(), ApiError> {
    let Some(end) = chain.iter().position(|other| *other == id) else { return Ok(()) };
    let way: Vec<String> = std::iter::once(&id).chain(&chain[..=end]).map(ToString::to_string).collect();
    Err(invalid(field, format!("would lead the queue back to itself: {}", way.join(" → "))))
}

/// What no deliverer would call is refused while somebody is there to be told.
fn check_callback_url(egress: &Egress, url: &str) -> Result<(), ApiError> {
    match CallbackUrl::parse(url) {
        Ok(url) => egress.check_url(&url).map_err(ApiError::BlockedAddress),
        // It was read by the same rules before.
        Err(_) => Ok(()),
    }
}

/// Who may only touch some queues must not send what fails, or events, to one of the others.
async fn check_named(app: &App, grant: &Grant<QueueField>, name: Name, id: Option<QueueId>) -> Result<(), ApiError> {
    let Some(id) = id.filter(|_| !grant.filter.is_empty()) else { return Ok(()) };
    let theirs = Filter::equal(QueueField::Id, Value::Number(id.0)).intersect(grant.filter.clone());
    match Queues::find(app, Listing::first(1, theirs)).await?.is_empty() {
        true => Err(unknown_queue(name, Some(id))),
        false => Ok(()),
    }
}

/// Stops or resumes the delivery of a queue's messages; answers the queue, `None` where there is none that the caller may
/// change. Doing it twice is doing it once.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn set_paused(
    app: &App,
    caller: &Caller,
    id: i64,
    pause: Option<Option<String>>,
) -> Result<Option<Queue>, ApiError> {
    let grant = caller.grant::<QueueField>(Operation::Save)?;
    let field = if pause.is_some() { QueueField::PausedReason } else { QueueField::PausedAt };
    grant.check_fields([QueueField::PausedAt, field])?;
    let theirs = Filter::equal(QueueField::Id, Value::Number(id)).intersect(grant.filter);
    if Queues::find(app, Listing::first(1, theirs.clone())).await?.is_empty() {
        return Ok(None);
    }
    let action = if pause.is_some() { "pause" } else { "resume" };
    let done = app.database.write(move |conn| {
        async move {
            match pause {
                Some(reason) => queue_state::set_paused(conn, QueueId(id), reason.as_deref()).await,
                None => queue_state::resume(conn, QueueId(id)).await,
            }
        }
        .boxed()
    });
    if !done.await? {
        return Ok(None);
    }
    app.waker.queues();
    app.waker.changes([]);
    app.audit(caller, Entity::Queue, action, &[id], None).await;
    Ok(Queues::find(app, Listing::first(1, theirs)).await?.pop())
}

/// How many messages wait, and how many attempts have ended how.
#[derive(Debug, Clone)]
pub struct Stats {
    pub backlog: Backlog,
    pub totals: Totals,
    /// About a second ago.
    pub standing: Standing,
}

/// The statistics of a queue; `None` where there is none that the caller may see.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn stats(app: &App, caller: &Caller, id: i64) -> Result<Option<Stats>, ApiError> {
    match super::is_there::<Queues>(app, caller, id, &[QueueField::Id]).await? {
        true => read_stats(app, Some(QueueId(id))).await.map(Some),
        false => Ok(None),
    }
}

/// The statistics of all queues together. Only for those who may see all of them.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn all_stats(app: &App, caller: &Caller) -> Result<Stats, ApiError> {
    if !caller.grant::<QueueField>(Operation::Find)?.filter.is_empty() {
        return Err(ApiError::Forbidden);
    }
    read_stats(app, None).await
}

async fn read_stats(app: &App, queue: Option<QueueId>) -> Result<Stats, ApiError> {
    app.database
        .read(move |conn| {
            async move {
                let backlog = count::backlog(conn, queue).await?;
                let totals = count::totals(conn, queue).await?;
                Ok(Stats { backlog, totals, standing: flow::standing(conn, queue).await? })
            }
            .boxed()
        })
        .await
}
