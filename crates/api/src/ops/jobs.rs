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
use crate::wire::value::invalid;

/// Jobs of a list.
pub const MOST_LISTED: i64 = 100;
/// Messages that are looked at to tell where a redrive goes, and how many are of an error class.
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
    /// Messages that it would meet. `None`: too many to be counted.
    pub count: Option<i64>,
    pub targets: Vec<Target>,
}

/// Begins a job; `None` where there is no such queue for the caller.
///
/// # Errors
/// What the caller may not do; as any transaction.
pub async fn begin(app: &App, caller: &Caller, queue: i64, kind: Kind, asked: Asked) -> Result<Option<Job>, ApiError> {
    let (error_class, rate_per_second) = (asked.error_class, asked.rate_per_second);
    let Some((queue, filter)) = theirs(app, caller, queue, kind, asked).await? else { return Ok(None) };
    let total = match error_class {
        None => count(app, &queue, &filter).await?,
        Some(_) => extent(app, &queue, kind, &filter, error_class).await?.0,
    };
    let new = NewJob {
        kind,
        queue: queue.id,
        total,
        filter,
        error_class: error_class.map(|class| class.as_str().to_owned()),
        rate_per_second,
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
    let error_class = asked.error_class;
    let Some((queue, filter)) = theirs(app, caller, queue, kind, asked).await? else { return Ok(None) };
    let (count, targets) = extent(app, &queue, kind, &filter, error_class).await?;
    Ok(Some(Preview { count, targets }))
}

/// How many messages a job would meet, and what would become of them. Of a sample where they are too many to be counted.
async fn extent(
    app: &App,
    queue: &Queue,
    kind: Kind,
    filter: &Filter<MessageField>,
    error_class: Option<ErrorClass>,
) -> Result<(Option<i64>, Vec<Target>), ApiError> {
    let listing = Listing::first(SAMPLE, of_queue(queue.id, filter.clone()));
    let class = error_class.map(ErrorClass::as_str);
    let all = count(app, queue, filter).await?;
    let exact = |of_class: i64| if class.is_none() { all } else { all.filter(|all| *all <= SAMPLE).map(|_| of_class) };
    Ok(match kind {
        Kind::Purge => (all, Vec::new()),
        Kind::Replay => {
            let messages = match class {
                None => all.unwrap_or(0),
                Some(class) => {
                    app.database
                        .read(move |conn| async move { job::count_of_class(conn, &listing, class).await }.boxed())
                        .await?
                }
            };
            let (name, callback_url) = (queue.name.clone(), queue.callback_url.clone());
            (exact(messages), vec![Target { queue: queue.id, name, callback_url, messages }])
        }
        Kind::Redrive => {
            let targets =
                app.database.read(move |conn| async move { job::origins(conn, &listing, class).await }.boxed()).await?;
            (exact(targets.iter().map(|target| target.messages).sum()), targets)
        }
    })
}

/// `None`: too many to be counted.
async fn count(app: &App, queue: &Queue, filter: &Filter<MessageField>) -> Result<Option<i64>, ApiError> {
    match Messages::count(app, of_queue(queue.id, filter.clone())).await {
        Ok(count) => Ok(Some(count)),
        Err(ApiError::TooExpensive) => Ok(None),
        Err(error) => Err(error),
    }
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
    asked: Asked,
) -> Result<Option<(Queue, Filter<MessageField>)>, ApiError> {
    let queues = caller.grant::<QueueField>(Operation::Save)?;
    let (save, find) = (caller.grant::<MessageField>(Operation::Save)?, caller.grant::<MessageField>(Operation::Find)?);
    if queues.fields.is_some() || save.fields.is_some() || find.fields.is_some() {
        return Err(ApiError::Forbidden);
    }
    if kind == Kind::Redrive && !(queues.filter.is_empty() && save.filter.is_empty()) {
        return Err(ApiError::Forbidden);
    }
    if kind == Kind::Purge && asked.error_class.is_some() {
        return Err(invalid("errorClass", "what is purged is pending, and has none"));
    }
    let one = Filter::equal(QueueField::Id, Value::Number(id)).intersect(queues.filter);
    let Some(queue) = Queues::find(app, Listing::first(1, one)).await?.pop() else { return Ok(None) };
    let filter = meant(kind, asked.filter).intersect(save.filter).intersect(find.filter);
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
        Kind::Redrive => {
            let letters = filter.and(Condition { field: MessageField::Origin, test: Test::IsNotNull });
            if says { letters } else { letters.and(status(Test::Compare(Comparison::NotEqual, text("cancelled")))) }
        }
    }
}

fn of_queue(queue: QueueId, filter: Filter<MessageField>) -> Filter<MessageField> {
    Filter::equal(MessageField::QueueId, Value::Number(queue.0)).intersect(filter)
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
        for (kind, count) in [(Kind::Purge, 1), (Kind::Replay, 1), (Kind::Redrive, 2)] {
            assert_eq!(last(kind, &other).0, count, "{kind:?}");
        }
        assert!(last(Kind::Purge, &says).1.contains("pending"));
        let (count, test) = last(Kind::Replay, &says);
        assert!(count == 1 && test.contains("NotEqual") && test.contains("pending"), "{test}");
        let (count, test) = last(Kind::Redrive, &says);
        assert!(count == 1 && test.contains("Origin"), "{test}");
    }
}
