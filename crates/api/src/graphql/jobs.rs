//! Purges, replays and redrives.

use async_graphql::dynamic::{Field, FieldValue, InputValue, Object, ObjectAccessor, TypeRef};
use posthaste_core::entity::MessageField;
use posthaste_store::job::{Kind, Order};
use serde_json::{Value as Json, json};

use super::arguments::{filter, where_argument};
use super::execution::{Asking, answer, refused};
use super::extras::{changed, json_object, shown};
use super::mutations::missing;
use super::queries::{id_argument, named_id};
use super::{scalars, type_name};
use crate::error::ApiError;
use crate::ops::{Messages, Queues, jobs, messages};
use crate::wire::fields::Fields;
use crate::wire::job::{JobInput, JobView, PreviewView};

const JOB: &str = "Job";
const PREVIEW: &str = "JobPreview";

/// The object types of what is here.
pub fn objects() -> [Object; 2] {
    [
        json_object(
            JOB,
            &[
                ("id", TypeRef::ID),
                ("kind", TypeRef::STRING),
                ("state", TypeRef::STRING),
                ("queueId", TypeRef::ID),
                ("errorClass", TypeRef::STRING),
                ("ratePerSecond", TypeRef::FLOAT),
                ("total", scalars::COUNT),
                ("done", scalars::COUNT),
                ("createdAt", scalars::TIME),
                ("finishedAt", scalars::TIME),
            ],
        ),
        json_object(PREVIEW, &[("total", scalars::COUNT), ("targets", scalars::JSON)]),
    ]
}

/// Adds the questions.
pub fn queries(query: Object) -> Object {
    query.field(list()).field(one()).field(preview())
}

/// Adds the actions.
pub fn mutations(mutation: Object) -> Object {
    let begun = [("purgeQueue", Kind::Purge), ("replayQueue", Kind::Replay), ("redriveQueue", Kind::Redrive)];
    let told = [("pauseJob", Order::Pause), ("resumeJob", Order::Resume), ("cancelJob", Order::Cancel)];
    let mutation = begun.into_iter().fold(mutation, |all, (name, kind)| all.field(begin(name, kind)));
    told.into_iter().fold(mutation, |all, (name, order)| all.field(tell(name, order))).field(replay())
}

fn id() -> InputValue {
    InputValue::new("id", TypeRef::named_nn(TypeRef::ID))
}

fn list() -> Field {
    Field::new("jobs", TypeRef::named_list(JOB), |context| {
        answer(context.ctx, async move {
            let asking = Asking::of(&context)?;
            let queue = match context.args.get("queueId").filter(|id| !id.is_null()) {
                Some(_) => Some(named_id(&context.args, "queueId").map_err(refused)?),
                None => None,
            };
            let found = jobs::list(&asking.app, &asking.caller, queue).await.map_err(refused)?;
            let views: Result<Vec<_>, _> = found.iter().map(|job| shown(&JobView::from(job))).collect();
            Ok(Some(FieldValue::list(views?)))
        })
    })
    .argument(InputValue::new("queueId", TypeRef::named(TypeRef::ID)))
    .description("The latest purges, replays and redrives.")
}

fn one() -> Field {
    Field::new("getJobById", TypeRef::named(JOB), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let found = jobs::get(&asking.app, &asking.caller, id).await.map_err(refused)?;
            found.map(|job| shown(&JobView::from(&job))).transpose()
        })
    })
    .argument(id())
}

fn input(arguments: &ObjectAccessor<'_>) -> Result<JobInput, ApiError> {
    let mut given = serde_json::Map::new();
    if let Some(class) = arguments.get("errorClass").and_then(|class| class.string().ok().map(str::to_owned)) {
        given.insert("errorClass".to_owned(), Json::String(class));
    }
    if let Some(rate) = arguments.get("ratePerSecond").and_then(|rate| rate.f64().ok()) {
        given.insert("ratePerSecond".to_owned(), json!(rate));
    }
    let mut input = JobInput::read(Some(Fields::parse(&Json::Object(given).to_string())?))?;
    input.asked.filter = filter::<MessageField>(arguments)?.unwrap_or_default();
    Ok(input)
}

fn with_arguments(field: Field) -> Field {
    field
        .argument(id())
        .argument(where_argument::<Messages>())
        .argument(InputValue::new("errorClass", TypeRef::named(TypeRef::STRING)))
        .argument(InputValue::new("ratePerSecond", TypeRef::named(TypeRef::FLOAT)))
}

fn preview() -> Field {
    let field = Field::new("previewJob", TypeRef::named(PREVIEW), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let kind = context.args.get("kind").and_then(|kind| kind.string().ok().and_then(Kind::parse));
            let must_be = || ApiError::Validation("kind must be purge, replay or redrive".to_owned());
            let kind = kind.ok_or_else(|| refused(must_be()))?;
            let asked = input(&context.args).map_err(refused)?.asked;
            let preview = jobs::preview(&asking.app, &asking.caller, id, kind, asked).await.map_err(refused)?;
            let preview = preview.ok_or_else(|| refused(missing::<Queues>(id)))?;
            shown(&PreviewView::from(&preview)).map(Some)
        })
    });
    with_arguments(field)
        .argument(InputValue::new("kind", TypeRef::named_nn(TypeRef::STRING)))
        .description("What a purge, replay or redrive of a queue would do.")
}

fn begin(name: &'static str, kind: Kind) -> Field {
    let field = Field::new(name, TypeRef::named(JOB), move |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let asked = input(&context.args).map_err(refused)?.asked;
            let job = jobs::begin(&asking.app, &asking.caller, id, kind, asked).await.map_err(refused)?;
            let job = job.ok_or_else(|| refused(missing::<Queues>(id)))?;
            shown(&JobView::from(&job)).map(Some)
        })
    });
    with_arguments(field).description(match kind {
        Kind::Purge => "Cancels pending messages of a queue, in steps.",
        Kind::Replay => "Stores messages of a queue that have ended once more, in steps.",
        Kind::Redrive => "Stores the dead letters of a queue once more in the queues that they come from, in steps.",
    })
}

fn tell(name: &'static str, order: Order) -> Field {
    Field::new(name, TypeRef::named(JOB), move |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let job = jobs::tell(&asking.app, &asking.caller, id, order).await.map_err(refused)?;
            let job = job.ok_or_else(|| refused(ApiError::Validation(format!("there is no job with id {id}"))))?;
            shown(&JobView::from(&job)).map(Some)
        })
    })
    .argument(id())
}

fn replay() -> Field {
    Field::new("replayMessage", TypeRef::named(type_name::<Messages>()), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let row = messages::replay(&asking.app, &asking.caller, id).await.map_err(refused)?;
            changed::<Messages>(asking, id, row)
        })
    })
    .argument(id())
    .description("Stores a message that has ended once more, and answers the new one.")
}
