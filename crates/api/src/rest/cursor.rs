//! Cursors: places in the order of a list, as clients carry them from one answer to the next request.
//!
//! The base64 of a JSON object with the value of each field of the order. Times keep their microseconds in it, or rows that
//! share a millisecond would be passed over.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use posthaste_core::entity::{Field, Kind};
use posthaste_core::filter::Value;
use posthaste_core::listing::{Cursor, Order, Side};
use serde_json::{Map, Value as Json};

use crate::error::ApiError;
use crate::wire::time;

/// The place of a row whose fields `value` tells.
#[must_use]
pub fn encode<F: Field>(order: &[Order<F>], value: impl Fn(F) -> Option<Value>) -> String {
    let object: Map<String, Json> = order
        .iter()
        .map(|Order { field, .. }| {
            let json = match value(*field) {
                None => Json::Null,
                Some(Value::Number(number)) => Json::from(number),
                Some(Value::Text(text)) => Json::from(text),
                Some(Value::Boolean(boolean)) => Json::from(boolean),
                Some(Value::Time(at)) => Json::from(at.to_string()),
            };
            (field.name().to_owned(), json)
        })
        .collect();
    STANDARD.encode(Json::Object(object).to_string())
}

/// Reads the place that a client gives back.
///
/// # Errors
/// It is not one of this order.
pub fn decode<F: Field>(parameter: &str, text: &str, order: &[Order<F>], side: Side) -> Result<Cursor<F>, ApiError> {
    let wrong = || {
        ApiError::Validation(format!(
            "querystring/{parameter} must be a cursor from an answer to the same list in the same order"
        ))
    };
    // A blank where a `+` was not escaped; and what some clients make of base64 for URLs.
    let text = text.replace(' ', "+");
    let bytes = STANDARD.decode(&text).or_else(|_| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')));
    let object: Map<String, Json> =
        bytes.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(wrong)?;
    if object.len() != order.len() {
        return Err(wrong());
    }
    let key = order.iter().map(|Order { field, .. }| {
        let json = object.get(field.name())?;
        let value = match (field.kind(), json) {
            (_, Json::Null) if field.is_nullable() => return Some((*field, None)),
            (Kind::Id | Kind::Integer, Json::Number(number)) => Value::Number(number.as_i64()?),
            // Of a client that builds its own, as ids are strings in answers.
            (Kind::Id, Json::String(text)) => Value::Number(text.parse().ok()?),
            (Kind::Text, Json::String(text)) if !text.contains('\0') => Value::Text(text.clone()),
            (Kind::Boolean, Json::Bool(boolean)) => Value::Boolean(*boolean),
            (Kind::Time, Json::String(text)) => Value::Time(time::parse(text)?),
            _ => return None,
        };
        Some((*field, Some(value)))
    });
    Ok(Cursor { side, key: key.collect::<Option<_>>().ok_or_else(wrong)? })
}

#[cfg(test)]
mod tests {
    use posthaste_core::entity::MessageField;
    use posthaste_core::filter::Direction;
    use posthaste_core::time::Timestamp;

    use super::*;

    fn order(fields: &[MessageField]) -> Vec<Order<MessageField>> {
        fields.iter().map(|field| Order { field: *field, direction: Direction::Ascending }).collect()
    }

    #[test]
    fn the_original_reads_ours_and_we_its() {
        let order = order(&[MessageField::Id]);
        let text = encode(&order, |_| Some(Value::Number(2)));
        assert_eq!(STANDARD.decode(&text).unwrap(), br#"{"id":2}"#);
        for given in [text, STANDARD.encode(r#"{"id":"2"}"#)] {
            let cursor = decode("startAfter", &given, &order, Side::After).unwrap();
            assert_eq!(cursor.key, [(MessageField::Id, Some(Value::Number(2)))]);
        }
    }

    #[test]
    fn a_place_survives_the_journey() {
        let order = order(&[MessageField::SentAt, MessageField::Body, MessageField::Failed, MessageField::Id]);
        for sent_at in [None, Some(Value::Time(Timestamp(1_795_439_754_470_999)))] {
            let value = |field| match field {
                MessageField::SentAt => sent_at.clone(),
                MessageField::Body => Some(Value::Text("ü+/".to_owned())),
                MessageField::Failed => Some(Value::Boolean(true)),
                _ => Some(Value::Number(i64::MAX)),
            };
            let cursor = decode("startAfter", &encode(&order, value), &order, Side::After).unwrap();
            assert!(cursor.key.iter().all(|(field, given)| *given == value(*field)));
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        let order = order(&[MessageField::Id]);
        for json in ["", "{}", "[]", r#"{"id":null}"#, r#"{"id":1.5}"#, r#"{"id":1,"body":"x"}"#, r#"{"body":"x"}"#] {
            let given = STANDARD.encode(json);
            assert!(decode("endBefore", &given, &order, Side::Before).is_err(), "{json}");
        }
        assert!(decode("endBefore", "%%%", &order, Side::Before).is_err());
    }
}
