//! Single values of answers, and rows made of them.
//!
//! Every interface shows a row field by field: REST in the order of the entity's fields and as far as `fields=` asks for
//! them, GraphQL as a query selects them. What a field holds is said once, by the entity's `output`.

use std::borrow::Cow;

use posthaste_core::entity::Field;
use posthaste_core::filter::Value;
use posthaste_core::time::Timestamp;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// How ids are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdStyle {
    /// JavaScript's numbers do not hold all ids, strings do.
    #[default]
    Text,
    /// As pg-hooks did before it wrote strings.
    Number,
}

/// What a field of a row holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Output<'a> {
    Null,
    Id(i64),
    Number(i64),
    Text(Cow<'a, str>),
    Boolean(bool),
    Time(Timestamp),
    Json(Cow<'a, serde_json::Value>),
}

impl<'a> Output<'a> {
    /// Nothing, or text.
    #[must_use]
    pub fn text(text: Option<&'a str>) -> Output<'a> {
        text.map_or(Output::Null, |text| Output::Text(Cow::Borrowed(text)))
    }

    /// Nothing, or an id.
    #[must_use]
    pub fn id(id: Option<i64>) -> Output<'static> {
        id.map_or(Output::Null, Output::Id)
    }

    /// Nothing, or a time.
    #[must_use]
    pub fn time(at: Option<Timestamp>) -> Output<'static> {
        at.map_or(Output::Null, Output::Time)
    }

    /// Nothing, or a number.
    #[must_use]
    pub fn number(number: Option<i32>) -> Output<'static> {
        number.map_or(Output::Null, |number| Output::Number(number.into()))
    }

    /// Nothing, or JSON that was made for the answer.
    #[must_use]
    pub fn made(json: Option<serde_json::Value>) -> Output<'static> {
        json.map_or(Output::Null, |json| Output::Json(Cow::Owned(json)))
    }

    /// Nothing, or JSON.
    #[must_use]
    pub fn json(json: Option<&'a serde_json::Value>) -> Output<'a> {
        json.map_or(Output::Null, |json| Output::Json(Cow::Borrowed(json)))
    }

    /// As conditions compare it. JSON is not compared.
    #[must_use]
    pub fn value(self) -> Option<Value> {
        match self {
            Output::Null | Output::Json(_) => None,
            Output::Id(number) | Output::Number(number) => Some(Value::Number(number)),
            Output::Text(text) => Some(Value::Text(text.into_owned())),
            Output::Boolean(boolean) => Some(Value::Boolean(boolean)),
            Output::Time(at) => Some(Value::Time(at)),
        }
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self, ids: IdStyle) -> serde_json::Value {
        serde_json::to_value(Styled { output: self, ids }).unwrap_or_default()
    }
}

struct Styled<'a> {
    output: &'a Output<'a>,
    ids: IdStyle,
}

impl Serialize for Styled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.output, self.ids) {
            (Output::Null, _) => serializer.serialize_none(),
            (Output::Id(id), IdStyle::Text) => serializer.collect_str(id),
            (Output::Id(number), IdStyle::Number) | (Output::Number(number), _) => serializer.serialize_i64(*number),
            (Output::Text(text), _) => serializer.serialize_str(text),
            (Output::Boolean(boolean), _) => serializer.serialize_bool(*boolean),
            (Output::Time(at), _) => super::Date(*at).serialize(serializer),
            (Output::Json(json), _) => json.serialize(serializer),
        }
    }
}

/// A row with some of its fields, as a JSON object.
pub struct View<'a, F, R> {
    pub row: &'a R,
    pub fields: &'a [F],
    pub ids: IdStyle,
    pub output: for<'r> fn(&'r R, F) -> Output<'r>,
}

impl<F: Field, R> Serialize for View<'_, F, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for &field in self.fields {
            map.serialize_entry(field.name(), &Styled { output: &(self.output)(self.row, field), ids: self.ids })?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_asked() {
        let id = Output::Id(9_007_199_254_740_993);
        assert_eq!(id.to_json(IdStyle::Text).to_string(), r#""9007199254740993""#);
        assert_eq!(id.to_json(IdStyle::Number).to_string(), "9007199254740993");
        assert_eq!(Output::Number(7).to_json(IdStyle::Text).to_string(), "7");
    }

    #[test]
    fn what_is_not_there_is_null() {
        for nothing in [Output::text(None), Output::id(None), Output::time(None), Output::json(None)] {
            assert_eq!(nothing.to_json(IdStyle::Text), serde_json::Value::Null);
            assert_eq!(nothing.value(), None);
        }
    }
}
