//! What can be done with a cron beyond reading and writing it, and what there is to know about it.

use async_graphql::dynamic::{Field, FieldValue, InputValue, Object, ObjectAccessor, TypeRef};

use super::execution::{Asking, answer, refused};
use super::extras::{changed, json_object, shown};
use super::node::Node;
use super::queries::id_argument;
use super::{scalars, type_name};
use crate::ops::{Crons, Messages, crons};
use crate::wire::tick::{self, PreviewView, TickView};

const TICK: &str = "CronTick";
const PREVIEW: &str = "CronPreview";

/// The object types of what is here.
pub fn objects() -> [Object; 2] {
    [
        json_object(
            TICK,
            &[
                ("at", scalars::TIME),
                ("outcome", TypeRef::STRING),
                ("reason", TypeRef::STRING),
                ("number", scalars::COUNT),
                ("messageId", TypeRef::ID),
                ("until", scalars::TIME),
                ("count", TypeRef::INT),
            ],
        ),
        json_object(PREVIEW, &[("description", TypeRef::STRING), ("ticks", scalars::JSON)]),
    ]
}

/// Adds the questions.
pub fn queries(query: Object) -> Object {
    query.field(preview())
}

/// Adds the actions.
pub fn mutations(mutation: Object) -> Object {
    mutation.field(trigger()).field(set_paused("pauseCron", true)).field(set_paused("resumeCron", false))
}

fn id() -> InputValue {
    InputValue::new("id", TypeRef::named_nn(TypeRef::ID))
}

/// `Cron.ticks`. Only for those who may see every field of the cron.
pub fn ticks() -> Field {
    Field::new("ticks", TypeRef::named_list(TICK), |context| {
        answer(context.ctx, async move {
            let Some(node) = context.parent_value.downcast_ref::<Node<Crons>>() else { return Ok(None) };
            let asking = Asking::of(&context)?;
            let before = tick::time_of("before", text(&context.args, "before")).map_err(refused)?;
            let limit = context.args.get("limit").and_then(|limit| limit.i64().ok());
            let limit = tick::count("limit", limit, tick::DEFAULT, tick::MOST).map_err(refused)?;
            let found =
                crons::ticks(&asking.app, &asking.caller, node.row.id.0, before, limit).await.map_err(refused)?;
            let views: Result<Vec<_>, _> =
                found.unwrap_or_default().iter().map(|tick| shown(&TickView::from(tick))).collect();
            Ok(Some(FieldValue::list(views?)))
        })
    })
    .argument(InputValue::new("limit", TypeRef::named(TypeRef::INT)))
    .argument(InputValue::new("before", TypeRef::named(TypeRef::STRING)))
    .description("What became of its latest ticks, latest first.")
}

fn preview() -> Field {
    let field = Field::new("previewCron", TypeRef::named(PREVIEW), |context| {
        answer(context.ctx, async move {
            let asking = Asking::of(&context)?;
            let given = |name| Some((name, text(&context.args, name)?.to_owned()));
            let given: Vec<_> = tick::FIELDS.into_iter().filter_map(given).collect();
            let from = tick::time_of("from", text(&context.args, "from")).map_err(refused)?.unwrap_or_else(tick::now);
            let count = context.args.get("count").and_then(|count| count.i64().ok());
            let count = tick::count("count", count, tick::PREVIEWED, tick::MOST_PREVIEWED).map_err(refused)?;
            let settings = tick::settings(given).map_err(refused)?;
            let count = usize::try_from(count).unwrap_or_default();
            let preview = crons::preview(&asking.caller, &settings, from, count).map_err(refused)?;
            shown(&PreviewView::from(&preview)).map(Some)
        })
    });
    tick::FIELDS
        .into_iter()
        .chain(["from"])
        .fold(field, |field, name| field.argument(InputValue::new(name, TypeRef::named(TypeRef::STRING))))
        .argument(InputValue::new("count", TypeRef::named(TypeRef::INT)))
        .description("When a cron with these settings would fire.")
}

fn text<'a>(arguments: &'a ObjectAccessor<'_>, name: &str) -> Option<&'a str> {
    arguments.get(name).and_then(|text| text.string().ok())
}

fn trigger() -> Field {
    Field::new("triggerCron", TypeRef::named(type_name::<Messages>()), |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let row = crons::trigger(&asking.app, &asking.caller, id).await.map_err(refused)?;
            changed::<Messages>(asking, id, row)
        })
    })
    .argument(id())
    .description("Fires a cron now, beside its schedule.")
}

fn set_paused(name: &'static str, paused: bool) -> Field {
    Field::new(name, TypeRef::named(type_name::<Crons>()), move |context| {
        answer(context.ctx, async move {
            let (asking, id) = (Asking::of(&context)?, id_argument(&context.args).map_err(refused)?);
            let row = crons::set_paused(&asking.app, &asking.caller, id, paused).await.map_err(refused)?;
            changed::<Crons>(asking, id, row)
        })
    })
    .argument(id())
}
