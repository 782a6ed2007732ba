//! Relations between rows, and the loaders that read them: all rows that one level of a query asks for at once.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

use actix_web::web::Data;
use async_graphql::dataloader::Loader;
use async_graphql::dynamic::{Field, FieldValue, TypeRef};
use posthaste_core::filter::{Condition, Filter, Test, Value};
use posthaste_core::listing::Listing;

use super::arguments::{list_arguments, listing};
use super::entities::Shown;
use super::execution::{Asking, answer, refused};
use super::node::{Node, selected};
use super::type_name;
use crate::app::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::memory::Answer;
use crate::ops::{self, Resource};

/// Reads rows for one caller.
pub struct Rows {
    pub app: Data<App>,
    pub caller: Caller,
    pub answer: Answer,
}

/// A row that is wanted by its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct One<R: Resource> {
    id: i64,
    fields: Vec<R::Field>,
    of: PhantomData<R>,
}

impl<R: Resource> One<R> {
    pub fn new(id: i64, fields: Vec<R::Field>) -> One<R> {
        One { id, fields, of: PhantomData }
    }
}

impl<R: Shown> Loader<One<R>> for Rows {
    type Value = Arc<R::Row>;
    type Error = ApiError;

    async fn load(&self, wanted: &[One<R>]) -> Result<HashMap<One<R>, Arc<R::Row>>, ApiError> {
        let mut groups: HashMap<&[R::Field], Vec<i64>> = HashMap::new();
        for one in wanted {
            groups.entry(&one.fields).or_default().push(one.id);
        }
        let mut found = HashMap::new();
        for (fields, ids) in groups {
            let limit = i64::try_from(ids.len()).unwrap_or(i64::MAX);
            let test = Test::In(ids.into_iter().map(Value::Number).collect());
            let filter = Filter::default().and(Condition { field: R::ID, test });
            let listing = Listing::first(limit, filter);
            for row in ops::find::<R>(&self.app, &self.caller, listing, fields, &self.answer).await? {
                found.insert(One::new(R::id(&row), fields.to_vec()), Arc::new(row));
            }
        }
        Ok(found)
    }
}

/// The list of the rows that belong to one.
#[derive(Debug, Clone)]
pub struct Many<R: Resource> {
    parent: i64,
    /// The field that names the parent.
    by: R::Field,
    question: Arc<Question<R>>,
}

/// What is asked about the rows of each parent.
#[derive(Debug)]
struct Question<R: Resource> {
    listing: Listing<R::Field>,
    fields: Vec<R::Field>,
    /// All of it; equal texts are equal questions.
    text: String,
}

impl<R: Resource> PartialEq for Many<R> {
    fn eq(&self, other: &Many<R>) -> bool {
        (self.parent, self.by, &self.question.text) == (other.parent, other.by, &other.question.text)
    }
}

impl<R: Resource> Eq for Many<R> {}

impl<R: Resource> Hash for Many<R> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.parent, self.by, &self.question.text).hash(state);
    }
}

impl<R: Resource> Many<R> {
    fn new(parent: i64, by: R::Field, listing: Listing<R::Field>, fields: Vec<R::Field>) -> Many<R> {
        let text = format!("{listing:?} {fields:?}");
        Many { parent, by, question: Arc::new(Question { listing, fields, text }) }
    }
}

impl<R: Shown> Loader<Many<R>> for Rows {
    type Value = Vec<Arc<R::Row>>;
    type Error = ApiError;

    async fn load(&self, wanted: &[Many<R>]) -> Result<HashMap<Many<R>, Vec<Arc<R::Row>>>, ApiError> {
        let mut groups: HashMap<(R::Field, &str), Vec<&Many<R>>> = HashMap::new();
        for many in wanted {
            groups.entry((many.by, &many.question.text)).or_default().push(many);
        }
        let mut found: HashMap<Many<R>, Vec<Arc<R::Row>>> = HashMap::new();
        for group in groups.into_values() {
            let Some(first) = group.first() else { continue };
            let parents: Vec<i64> = group.iter().map(|many| many.parent).collect();
            let Question { listing, fields, .. } = &*first.question;
            let listing = listing.clone();
            let (app, caller, answer) = (&self.app, &self.caller, &self.answer);
            let rows = ops::find_each::<R>(app, caller, first.by, parents, listing, fields, answer).await?;
            let mut by_parent: HashMap<i64, Vec<Arc<R::Row>>> = HashMap::new();
            for row in rows {
                if let Some(Value::Number(parent)) = R::output(&row, first.by).value() {
                    by_parent.entry(parent).or_default().push(Arc::new(row));
                }
            }
            for many in group {
                found.insert(many.clone(), by_parent.remove(&many.parent).unwrap_or_default());
            }
        }
        Ok(found)
    }
}

/// The rows of `R` whose field `by` is the id of a row of `P`.
pub fn children<P: Shown, R: Shown>(name: &str, by: R::Field) -> Field {
    let field = Field::new(name, TypeRef::named_list(type_name::<R>()), move |context| {
        answer(context.ctx, async move {
            let Some(node) = context.parent_value.downcast_ref::<Node<P>>() else { return Ok(None) };
            let asking = Asking::to_find::<R>(&context)?;
            let listing = listing(&context.args).map_err(refused)?;
            let many = Many::<R>::new(P::id(&node.row), by, listing, selected::<R>(&context));
            let rows = asking.rows.load_one(many).await.map_err(refused)?.unwrap_or_default();
            Ok(Some(FieldValue::list(rows.into_iter().map(Node::<R>::found))))
        })
    });
    list_arguments::<R>().into_iter().fold(field, Field::argument)
}

/// The row of `R` that a field of a row of `P` names.
pub fn parent<P: Shown, R: Shown>(name: &str, by: P::Field) -> Field {
    Field::new(name, TypeRef::named(type_name::<R>()), move |context| {
        answer(context.ctx, async move {
            let node = context.parent_value.downcast_ref::<Node<P>>().filter(|node| node.may_read(by));
            let id = node.and_then(|node| P::output(&node.row, by).value());
            let Some(Value::Number(id)) = id else { return Ok(None) };
            let asking = Asking::to_find::<R>(&context)?;
            let row = asking.rows.load_one(One::<R>::new(id, selected::<R>(&context))).await.map_err(refused)?;
            Ok(row.map(Node::<R>::found))
        })
    })
}
