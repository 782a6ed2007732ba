//! Crons: the resource, and what can be done with one beyond reading and writing it.

use futures_util::FutureExt;
use posthaste_core::entity::{CronField, Entity, Field, MessageField};
use posthaste_core::filter::{Filter, Value};
use posthaste_core::ids::{CronId, QueueId};
use posthaste_core::listing::Listing;
use posthaste_core::schedule::Timing;
use posthaste_core::time::Timestamp;
use posthaste_store::changing::Changed;
use posthaste_store::cron::{self, Cron, NewCron, Settings, Tick, Triggered};
use posthaste_store::error::StoreError;
use posthaste_store::message::Message;
use posthaste_store::partition::ensure_partitions;

use super::{Deletion, Messages, Resource, Stored};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;
use crate::wire::cron::{CronPatch, new_output, output, wrong};
use crate::wire::fields::Fields;
use crate::wire::output::Output;
use crate::wire::value::invalid;

/// The crons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Crons;

impl Resource for Crons {
    type Field = CronField;
    type Row = Cron;
    type New = NewCron;
    type Patch = CronPatch;

    const ID: CronField = CronField::Id;

    fn output(row: &Cron, field: CronField) -> Output<'_> {
        output(row, field)
    }

    fn id(row: &Cron) -> i64 {
        row.id.0
    }

    fn read_new(_: &App, fields: Fields<'_>) -> Result<NewCron, ApiError> {
        CronPatch::read_whole(fields)?.create()
    }

    fn new_value(new: &NewCron, field: CronField) -> Option<Value> {
        new_output(new, field).value()
    }

    fn read_patch(fields: Fields<'_>, whole: bool) -> Result<CronPatch, ApiError> {
        if whole { CronPatch::read_whole(fields) } else { CronPatch::read(fields) }
    }

    async fn find(app: &App, listing: Listing<CronField>) -> Result<Vec<Cron>, ApiError> {
        app.database.read(move |conn| async move { cron::find(conn, &listing).await }.boxed()).await
    }

    async fn find_each(
        app: &App,
        by: CronField,
        parents: Vec<i64>,
        listing: Listing<CronField>,
    ) -> Result<Vec<Cron>, ApiError> {
        if by != CronField::QueueId {
            return Err(ApiError::Internal);
        }
        let parents: Vec<QueueId> = parents.into_iter().map(QueueId).collect();
        app.database.read(move |conn| async move { cron::of_queues(conn, &parents, &listing).await }.boxed()).await
    }

    async fn count(app: &App, filter: Filter<CronField>) -> Result<i64, ApiError> {
        app.database.read(move |conn| async move { cron::count(conn, &filter).await }.boxed()).await
    }

    async fn create(app: &App, new: NewCron) -> Result<Stored<Cron>, ApiError> {
        let row = Self::create_all(app, vec![new]).await?.pop().ok_or(ApiError::Internal)?;
        Ok(Stored { row, replayed: false })
    }

    async fn create_all(app: &App, new: Vec<NewCron>) -> Result<Vec<Cron>, ApiError> {
        let named = new.iter().map(|cron| cron.queue_id).next();
        let stored = app
            .database
            .write(move |conn| {
                async move {
                    match cron::insert_all(conn, &new, &next_tick).await {
                        Err(StoreError::MissingPartition) => {
                            ensure_partitions(conn).await?;
                            cron::insert_all(conn, &new, &next_tick).await
                        }
                        result => result,
                    }
                }
                .boxed()
            })
            .await?;
        done(app, stored, named)
    }

    async fn change(
        app: &App,
        ids: Vec<i64>,
        patch: CronPatch,
        bounds: Filter<CronField>,
    ) -> Result<Vec<Cron>, ApiError> {
        let named = patch.queue();
        let ids: Vec<CronId> = ids.into_iter().map(CronId).collect();
        let plan = move |cron: &Cron| Self::within(&bounds, cron, || patch.apply(cron));
        let stored = app
            .database
            .write(move |conn| {
                async move {
                    match cron::change(conn, &ids, &plan, &next_tick).await {
                        Err(StoreError::MissingPartition) => {
                            ensure_partitions(conn).await?;
                            cron::change(conn, &ids, &plan, &next_tick).await
                        }
                        result => result,
                    }
                }
                .boxed()
            })
            .await?;
        done(app, stored, named)
    }

    async fn delete(app: &App, ids: Vec<i64>, _: Deletion) -> Result<Vec<Cron>, ApiError> {
        let ids: Vec<CronId> = ids.into_iter().map(CronId).collect();
        let deleted = app.database.write(move |conn| async move { cron::delete_all(conn, &ids).await }.boxed()).await?;
        app.waker.pending(deleted.iter().filter_map(|deleted| deleted.shard));
        app.waker.crons();
        app.waker.changes([]);
        Ok(deleted.into_iter().map(|deleted| deleted.cron).collect())
    }
}

fn done(app: &App, changed: Changed<cron::Stored, ApiError>, named: Option<QueueId>) -> Result<Vec<Cron>, ApiError> {
    match changed {
        Changed::Done((rows, shards)) => {
            app.waker.pending(shards);
            app.waker.crons();
            app.waker.changes([]);
            Ok(rows)
        }
        Changed::Refused(error) => Err(error),
        Changed::UnknownQueue => Err(ApiError::UnknownQueue { field: "queueId", id: named.map_or(0, |queue| queue.0) }),
    }
}

fn next_tick(timing: &Timing, after: Timestamp) -> Result<Timestamp, ApiError> {
    let schedule = timing.schedule().map_err(|problem| wrong(&problem))?;
    let field = if timing.at.is_some() { "at" } else { "schedule" };
    schedule.next_after(after).ok_or_else(|| invalid(field, "it never fires again"))
}

/// Stops or resumes a cron; answers it, `None` where there is none that the caller may change. Doing it twice is doing it once.
///
/// # Errors
/// What the caller may not do; as any transaction.
pub async fn set_paused(app: &App, caller: &Caller, id: i64, paused: bool) -> Result<Option<Cron>, ApiError> {
    super::update::<Crons>(app, caller, id, if paused { r#"{"paused":true}"# } else { r#"{"paused":false}"# }, false)
        .await
}

/// Fires a cron now, beside its schedule; answers the message, `None` where there is no such cron for the caller.
///
/// # Errors
/// [`ApiError::Unfinished`]; what the caller may not do; as any transaction.
pub async fn trigger(app: &App, caller: &Caller, id: i64) -> Result<Option<Message>, ApiError> {
    let grant = caller.grant::<CronField>(Operation::Save)?;
    caller.grant::<MessageField>(Operation::Save)?;
    let theirs = Filter::equal(CronField::Id, Value::Number(id)).intersect(grant.filter);
    let Some(cron) = Crons::find(app, Listing::first(1, theirs)).await?.pop() else { return Ok(None) };
    app.backlogs.check([cron.queue_id])?;
    let write = app.database.write(move |conn| {
        async move {
            match cron::trigger(conn, cron.id).await {
                Err(StoreError::MissingPartition) => {
                    ensure_partitions(conn).await?;
                    cron::trigger(conn, cron.id).await
                }
                triggered => triggered,
            }
        }
        .boxed()
    });
    match write.await? {
        None => Ok(None),
        Some(Triggered::Unfinished) => Err(ApiError::Unfinished),
        Some(Triggered::Stored { message, shard }) => {
            app.waker.pending([shard]);
            app.waker.changes([message]);
            app.audit(caller, Entity::Cron, "trigger", &[id], None).await;
            let one = Filter::equal(MessageField::Id, Value::Number(message.0));
            Ok(Messages::find(app, Listing::first(1, one)).await?.pop())
        }
    }
}

/// What became of the latest ticks of a cron, latest first; `None` where there is none that the caller may see whole.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn ticks(
    app: &App,
    caller: &Caller,
    id: i64,
    before: Option<Timestamp>,
    limit: i64,
) -> Result<Option<Vec<Tick>>, ApiError> {
    if !super::is_there::<Crons>(app, caller, id, CronField::ALL).await? {
        return Ok(None);
    }
    app.database
        .read(move |conn| async move { cron::ticks(conn, CronId(id), before, limit).await }.boxed())
        .await
        .map(Some)
}

/// When a cron would fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// In plain English.
    pub description: String,
    pub ticks: Vec<Timestamp>,
}

/// When a cron with these settings that is created at `from` would fire, the first `count` times after it.
///
/// # Errors
/// What the caller may not do; what is wrong with the settings.
pub fn preview(caller: &Caller, settings: &Settings, from: Timestamp, count: usize) -> Result<Preview, ApiError> {
    caller.grant::<CronField>(Operation::Find)?;
    let schedule = settings.timing(from).schedule().map_err(|problem| wrong(&problem))?;
    let ticks = std::iter::successors(schedule.next_after(from), |tick| schedule.next_after(*tick));
    Ok(Preview { description: schedule.describe(), ticks: ticks.take(count).collect() })
}
