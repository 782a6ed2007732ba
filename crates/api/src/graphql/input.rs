//! The inputs of mutations: their types, and what they say as JSON.
//!
//! No field of an input is required by the schema, as in the original; what is missing is told by `ops`, in the words of
//! REST.

use async_graphql::Value;
use async_graphql::dynamic::{InputObject, InputValue, TypeRef};
use posthaste_core::entity::Field;
use serde_json::{Map, Value as Json};

use super::arguments::{object as fields_of, whole};
use super::entities::Shown;
use super::{scalars, type_name};
use crate::error::ApiError;

/// The type of an entity's inputs.
pub fn object<R: Shown>() -> InputObject {
    let fields = R::Field::ALL.iter().filter(|field| !R::NEVER_GIVEN.contains(field));
    let object = fields.fold(InputObject::new(format!("{}Input", type_name::<R>())), |object, field| {
        object.field(InputValue::new(field.name(), TypeRef::named(scalars::of(field.kind()))))
    });
    R::ALSO_GIVEN.iter().fold(object, |object, (name, ty)| object.field(InputValue::new(*name, TypeRef::named(*ty))))
}

/// An input: the row that it is about, if it is there already, and everything else as a JSON object.
#[derive(Debug, PartialEq, Eq)]
pub struct Input {
    pub id: Option<i64>,
    pub json: String,
}

impl Input {
    /// Reads one.
    ///
    /// # Errors
    /// It is no object, or its id is none.
    pub fn read(value: &Value) -> Result<Input, ApiError> {
        let mut id = None;
        let mut json = Map::new();
        for (name, value) in fields_of("input", value)? {
            match (name.as_str(), value) {
                ("id", Value::Null) => {}
                ("id", value) => {
                    let number = whole(value);
                    id = Some(number.ok_or_else(|| ApiError::Validation("input/id must be integer".to_owned()))?);
                }
                // A string is the JSON of an object.
                ("headers", Value::String(_)) => {
                    let headers = scalars::object(value);
                    let headers =
                        headers.ok_or_else(|| ApiError::Validation("body/headers must be object".to_owned()))?;
                    json.insert("headers".to_owned(), headers);
                }
                (name, value) => {
                    json.insert(name.to_owned(), value.clone().into_json().map_err(|_| ApiError::InvalidJson)?);
                }
            }
        }
        Ok(Input { id, json: Json::Object(json).to_string() })
    }

    /// What a row is to be created of.
    ///
    /// # Errors
    /// It names one that is there already.
    pub fn whole(self) -> Result<String, ApiError> {
        match self.id {
            None => Ok(self.json),
            Some(_) => Err(ApiError::ReadOnlyField { field: "id", instead: "leave it out" }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(json: Json) -> Result<Input, ApiError> {
        Input::read(&Value::from_json(json).unwrap())
    }

    #[test]
    fn inputs_become_json() {
        let input = read(json!({"id": "7", "headers": "{\"a\":1}", "body": "x", "maxRetries": null})).unwrap();
        assert_eq!(input.id, Some(7));
        assert_eq!(
            serde_json::from_str::<Json>(&input.json).unwrap(),
            json!({"headers": {"a": 1}, "body": "x", "maxRetries": null})
        );
        assert!(input.whole().is_err());
        assert_eq!(read(json!({"id": null})).unwrap().whole().as_deref(), Ok("{}"));
    }

    #[test]
    fn what_is_wrong_is_told() {
        assert_eq!(read(json!(null)).unwrap_err().to_string(), "input must be object");
        assert_eq!(read(json!({"id": "x"})).unwrap_err().to_string(), "input/id must be integer");
        assert_eq!(read(json!({"headers": "[]"})).unwrap_err().to_string(), "body/headers must be object");
    }
}
