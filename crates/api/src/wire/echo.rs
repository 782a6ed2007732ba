//! Fields that only Posthaste sets, in requests.
//!
//! A client may send back what it was answered, whole. So such a field is accepted where it says what is true anyway, and
//! otherwise refused with the call that does what its sender wants. The times of creation and change are never looked at.

use posthaste_core::entity::Field;
use serde_json::value::RawValue;

use super::fields::Fields;
use super::output::{IdStyle, Output};
use super::time;
use crate::error::ApiError;

/// A field that is not set by clients, and what to call instead.
pub type ReadOnly<F> = (F, &'static str);

/// What a request says about fields that it cannot set.
#[derive(Debug, Clone, Default)]
pub struct Echo<F>(Vec<(F, &'static str, Box<RawValue>)>);

impl<F: Field> Echo<F> {
    /// Takes read-only fields, and the times that are ignored, out of a request.
    pub fn take(fields: &mut Fields<'_>, read_only: &[ReadOnly<F>]) -> Echo<F> {
        fields.ignore_times();
        let taken = read_only
            .iter()
            .filter_map(|&(field, instead)| fields.take(field.name()).map(|value| (field, instead, value.to_owned())));
        Echo(taken.collect())
    }

    /// Holds them against the row: each must be what the row has.
    ///
    /// # Errors
    /// [`ApiError::ReadOnlyField`] for the first that is not.
    pub fn check<'r>(&self, row: impl Fn(F) -> Output<'r>) -> Result<(), ApiError> {
        self.find(|field, given| !says(given, &row(field)))
    }

    /// Holds them against what a new row begins with; null leaves a field to Posthaste.
    ///
    /// # Errors
    /// As [`Echo::check`].
    pub fn check_new<'r>(&self, row: impl Fn(F) -> Output<'r>) -> Result<(), ApiError> {
        self.find(|field, given| given != "null" && !says(given, &row(field)))
    }

    fn find(&self, differs: impl Fn(F, &str) -> bool) -> Result<(), ApiError> {
        match self.0.iter().find(|(field, _, given)| differs(*field, given.get())) {
            None => Ok(()),
            Some((field, instead, _)) => Err(ApiError::ReadOnlyField { field: field.name(), instead }),
        }
    }
}

/// Whether JSON means the same as what a row holds.
fn says(given: &str, held: &Output<'_>) -> bool {
    let Ok(given) = serde_json::from_str::<serde_json::Value>(given) else { return false };
    match (&given, held) {
        (serde_json::Value::String(text), Output::Time(at)) => {
            // Answers have milliseconds.
            time::parse(text).is_some_and(|given| given.0.div_euclid(1000) == at.0.div_euclid(1000))
        }
        _ => given == held.to_json(IdStyle::Text) || given == held.to_json(IdStyle::Number),
    }
}

#[cfg(test)]
mod tests {
    use posthaste_core::entity::MessageField;
    use posthaste_core::time::Timestamp;

    use super::*;

    #[test]
    fn what_is_true_anyway_may_be_said() {
        let row = |field| match field {
            MessageField::Id => Output::Id(7),
            MessageField::SentAt => Output::Time(Timestamp(1_795_439_754_470_999)),
            MessageField::Failed => Output::Boolean(false),
            _ => Output::Null,
        };
        let check = |json: &str| {
            let mut fields = Fields::parse(json).unwrap();
            let read_only = [
                (MessageField::Id, "PUT /messages/{id}"),
                (MessageField::SentAt, "POST /messages/{id}/cancel"),
                (MessageField::Failed, "POST /messages/{id}/cancel"),
                (MessageField::CronId, "POST /crons"),
            ];
            let echo = Echo::take(&mut fields, &read_only);
            fields.finish().unwrap();
            echo.check(row)
        };
        for json in [
            "{}",
            r#"{"id":7,"failed":false,"cronId":null,"createdAt":"x","updatedAt":0}"#,
            r#"{"id":"7","sentAt":"2026-11-23T13:15:54.470Z"}"#,
        ] {
            assert_eq!(check(json), Ok(()), "{json}");
        }
        for (json, field, instead) in [
            (r#"{"id":8}"#, "id", "PUT /messages/{id}"),
            (r#"{"id":null}"#, "id", "PUT /messages/{id}"),
            (r#"{"sentAt":null}"#, "sentAt", "POST /messages/{id}/cancel"),
            (r#"{"sentAt":"2026-11-23T13:15:54.471Z"}"#, "sentAt", "POST /messages/{id}/cancel"),
            (r#"{"failed":true}"#, "failed", "POST /messages/{id}/cancel"),
            (r#"{"cronId":"1"}"#, "cronId", "POST /crons"),
        ] {
            assert_eq!(check(json), Err(ApiError::ReadOnlyField { field, instead }), "{json}");
        }
    }
}
