//! Purges, replays and redrives: what goes over many messages of a queue. The scheduler does them; here they are begun, shown and steered.
//!
//! Who may store messages of a queue and change it, whole, may have it done with its messages; a rule that limits messages limits the job
//! as well. What a job stores goes to the queues that messages came from, so a redrive is only for those who may use every queue.

use futures_util::FutureExt;
use posthaste_core::entity::{Entity, MessageField, QueueField};
use posthaste_core::filter::{Comparison, Condition, Filter, Test, Value};
use posthaste_core::ids::QueueId;
use posthaste_core::listing::Listing;
use posthaste_core::transition::ErrorClass;
use posthaste_store::job::{self, Job, Kind, NewJob, Order, Target};
use posthaste_store::queue::Queue;

use super::{Messages, Queues, Resource};
use crate::app::App;
use crate::auth::{Caller, Operation};
use crate::error::ApiError;

/// Jobs of a list.
pub const MOST_LISTED: i64 = 100;
/// Messages that are looked at to tell where a redrive goes.
const SAMPLE: i64 = 10_000;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Asked {
    pub filter: Filter<MessageField>,
    pub error_class: Option<ErrorClass>,
    pub rate_per_second: Option<f64>,
}

/// What a job would do.
#[derive(Debug)]
pub struct Preview {
    /// Messages that the filter lets through; those of other error classes are counted, too. `None`: too many to be counted.
    pub count: Option<i64>,
    pub targets: Vec<Target>,
}

/// Begins a job; `None` where there is no such queue for the caller.
///
/// # Errors
/// What the caller may not do; as any transaction.
pub async fn begin(app: &App, caller: &Caller, queue: i64, kind: Kind, asked: Asked) -> Result<Option<Job>, ApiError> {
    let Some((queue, filter)) = theirs(app, caller, queue, kind, asked.filter).await? else { return Ok(None) };
    let new = NewJob {
        kind,
        queue: queue.id,
        total: count(app, &queue, &filter).await?,
        filter,
        error_class: asked.error_class.map(|class| class.as_str().to_owned()),
        rate_per_second: asked.rate_per_second,
        actor: caller.actor().to_owned(),
    };
    let job = app.database.write(move |conn| async move { job::create(conn, new).await }.boxed()).await?;
    app.audit(caller, Entity::Queue, kind.as_str(), &[queue.id.0], None).await;
    Ok(Some(job))
}

/// What a job would do, if it were begun now; `None` where there is no such queue for the caller.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn preview(
    app: &App,
    caller: &Caller,
    queue: i64,
    kind: Kind,
    asked: Asked,
) -> Result<Option<Preview>, ApiError> {
    let Some((queue, filter)) = theirs(app, caller, queue, kind, asked.filter).await? else { return Ok(None) };
    let count = count(app, &queue, &filter).await?;
    let targets = match kind {
        Kind::Purge => Vec::new(),
        Kind::Replay => vec![Target {
            queue: queue.id,
            name: queue.name,
            callback_url: queue.callback_url,
            messages: count.unwrap_or(0),
        }],
        Kind::Redrive => {
            let listing = Listing::first(SAMPLE, of_queue(queue.id, filter));
            app.database.read(move |conn| async move { job::origins(conn, &listing).await }.boxed()).await?
        }
    };
    Ok(Some(Preview { count, targets }))
}

/// A job, if the caller may see its queue.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn get(app: &App, caller: &Caller, id: i64) -> Result<Option<Job>, ApiError> {
    let Some(job) = app.database.read(move |conn| job::get(conn, id).boxed()).await? else { return Ok(None) };
    Ok(may(app, caller, job.queue, Operation::Find).await?.then_some(job))
}

/// The latest jobs of a queue, or of all for those who may see all queues.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn list(app: &App, caller: &Caller, queue: Option<i64>) -> Result<Vec<Job>, ApiError> {
    let grant = caller.grant::<QueueField>(Operation::Find)?;
    let queue = queue.map(QueueId);
    match queue {
        Some(queue) if !may(app, caller, queue, Operation::Find).await? => return Ok(Vec::new()),
        None if !grant.filter.is_empty() => return Err(ApiError::Forbidden),
        Some(_) | None => {}
    }
    app.database.read(move |conn| job::list(conn, queue, MOST_LISTED).boxed()).await
}

/// Pauses, resumes or cancels a job, and answers how it stands then; one that has ended stays as it is.
///
/// # Errors
/// What the caller may not do; as any statement.
pub async fn tell(app: &App, caller: &Caller, id: i64, order: Order) -> Result<Option<Job>, ApiError> {
    let Some(job) = app.database.read(move |conn| job::get(conn, id).boxed()).await? else { return Ok(None) };
    if !may(app, caller, job.queue, Operation::Save).await? {
        return Ok(None);
    }
    app.database.write(move |conn| job::tell(conn, id, order).boxed()).await
}

/// Whether the caller may do this with a queue; those who may with every queue also with one that is gone.
async fn may(app: &App, caller: &Caller, queue: QueueId, operation: Operation) -> Result<bool, ApiError> {
    let grant = caller.grant::<QueueField>(operation)?;
    if grant.filter.is_empty() {
        return Ok(true);
    }
    let theirs = Filter::equal(QueueField::Id, Value::Number(queue.0)).intersect(grant.filter);
    Ok(!Queues::find(app, Listing::first(1, theirs)).await?.is_empty())
}

/// The queue, and which of its messages the caller may have this done with.
async fn theirs(
    app: &App,
    caller: &Caller,
    id: i64,
    kind: Kind,
    filter: Filter<MessageField>,
) -> Result<Option<(Queue, Filter<MessageField>)>, ApiError> {
    let queues = caller.grant::<QueueField>(Operation::Save)?;
    let (save, find) = (caller.grant::<MessageField>(Operation::Save)?, caller.grant::<MessageField>(Operation::Find)?);
    if queues.fields.is_some() || save.fields.is_some() || find.fields.is_some() {
        return Err(ApiError::Forbidden);
    }
    if kind == Kind::Redrive && !(queues.filter.is_empty() && save.filter.is_empty()) {
        return Err(ApiError::Forbidden);
    }
    let one = Filter::equal(QueueField::Id, Value::Number(id)).intersect(queues.filter);
    let Some(queue) = Queues::find(app, Listing::first(1, one)).await?.pop() else { return Ok(None) };
    let filter = meant(kind, filter).intersect(save.filter).intersect(find.filter);
    Ok(Some((queue, filter)))
}

/// What a filter means for a kind of job, which has nothing to do with some messages.
fn meant(kind: Kind, filter: Filter<MessageField>) -> Filter<MessageField> {
    let says = filter.fields().any(|field| matches!(field, MessageField::Status | MessageField::Failed));
    let status = |test| Condition { field: MessageField::Status, test };
    let text = |status: &str| Value::Text(status.to_owned());
    match kind {
        Kind::Purge => filter.and(status(Test::Compare(Comparison::Equal, text("pending")))),
        Kind::Replay if says => filter.and(status(Test::Compare(Comparison::NotEqual, text("pending")))),
        Kind::Replay => filter.and(status(Test::In(vec![text("failed"), text("expired")]))),
        Kind::Redrive if says => filter,
        Kind::Redrive => filter.and(status(Test::Compare(Comparison::NotEqual, text("cancelled")))),
    }
}

fn of_queue(queue: QueueId, filter: Filter<MessageField>) -> Filter<MessageField> {
    Filter::equal(MessageField::QueueId, Value::Number(queue.0)).intersect(filter)
}

async fn count(app: &App, queue: &Queue, filter: &Filter<MessageField>) -> Result<Option<i64>, ApiError> {
    match Messages::count(app, of_queue(queue.id, filter.clone())).await {
        Ok(count) => Ok(Some(count)),
        Err(ApiError::TooExpensive) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_leaves_out_what_it_has_nothing_to_do_with() {
        let says = Filter::equal(MessageField::Status, Value::Text("delivered".to_owned()));
        let other = Filter::equal(MessageField::Priority, Value::Number(1));
        let last = |kind, filter: &Filter<MessageField>| {
            let meant = meant(kind, filter.clone());
            (meant.all.len() - filter.all.len(), format!("{:?}", meant.all.last()))
        };
        for kind in [Kind::Purge, Kind::Replay, Kind::Redrive] {
            assert_eq!(last(kind, &other).0, 1, "{kind:?}");
        }
        assert!(last(Kind::Purge, &says).1.contains("pending"));
        let (count, test) = last(Kind::Replay, &says);
        assert!(count == 1 && test.contains("NotEqual") && test.contains("pending"), "{test}");
        assert_eq!(last(Kind::Redrive, &says).0, 0);
    }
}
