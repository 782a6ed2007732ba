//! Filters as they are stored, with what is to be done by them later: as JSON.
//!
//! A clause is `[field, test]` or `[field, test, value]`, or an array of such in `{"any": …}`. Times are in microseconds.

use serde_json::{Value as Json, json};

use super::{Clause, Comparison, Condition, Filter, Test, Value};
use crate::entity::{Field, Kind};
use crate::time::Timestamp;

const COMPARISONS: [(Comparison, &str); 6] = [
    (Comparison::Equal, "eq"),
    (Comparison::NotEqual, "neq"),
    (Comparison::Greater, "gt"),
    (Comparison::GreaterOrEqual, "gte"),
    (Comparison::Less, "lt"),
    (Comparison::LessOrEqual, "lte"),
];

/// A filter as JSON.
#[must_use]
pub fn write<F: Field>(filter: &Filter<F>) -> Json {
    let clauses = filter.all.iter().map(|clause| match clause {
        Clause::One(condition) => write_condition(condition),
        Clause::Any(conditions) => json!({"any": conditions.iter().map(write_condition).collect::<Vec<_>>()}),
    });
    Json::Array(clauses.collect())
}

/// A filter from JSON; `None`: [`write()`] never wrote that, or for fields that there are no more.
#[must_use]
pub fn read<F: Field>(json: &Json) -> Option<Filter<F>> {
    let clause = |clause: &Json| match clause.get("any") {
        None => read_condition(clause).map(Clause::One),
        Some(any) => any.as_array()?.iter().map(read_condition).collect::<Option<_>>().map(Clause::Any),
    };
    Some(Filter { all: json.as_array()?.iter().map(clause).collect::<Option<_>>()? })
}

fn write_condition<F: Field>(condition: &Condition<F>) -> Json {
    let field = condition.field.name();
    let many = |values: &[Value]| values.iter().map(write_value).collect::<Vec<_>>();
    match &condition.test {
        Test::Compare(comparison, value) => json!([field, comparison_name(*comparison), write_value(value)]),
        Test::IsNull => json!([field, "null"]),
        Test::IsNotNull => json!([field, "notNull"]),
        Test::In(values) => json!([field, "in", many(values)]),
        Test::NotIn(values) => json!([field, "nin", many(values)]),
        Test::Like(pattern) => json!([field, "like", pattern]),
        Test::Ilike(pattern) => json!([field, "ilike", pattern]),
    }
}

fn comparison_name(comparison: Comparison) -> &'static str {
    COMPARISONS.iter().find(|(known, _)| *known == comparison).map_or("eq", |(_, name)| name)
}

fn read_condition<F: Field>(json: &Json) -> Option<Condition<F>> {
    let parts = json.as_array()?;
    let field = F::from_name(parts.first()?.as_str()?)?;
    let value = parts.get(2);
    let many = || value?.as_array()?.iter().map(|value| read_value(field, value)).collect::<Option<Vec<_>>>();
    let test = match parts.get(1)?.as_str()? {
        "null" => Test::IsNull,
        "notNull" => Test::IsNotNull,
        "in" => Test::In(many()?),
        "nin" => Test::NotIn(many()?),
        "like" => Test::Like(value?.as_str()?.to_owned()),
        "ilike" => Test::Ilike(value?.as_str()?.to_owned()),
        name => {
            let (comparison, _) = COMPARISONS.iter().find(|(_, known)| *known == name)?;
            Test::Compare(*comparison, read_value(field, value?)?)
        }
    };
    Some(Condition { field, test })
}

fn write_value(value: &Value) -> Json {
    match value {
        Value::Number(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Boolean(is) => json!(is),
        Value::Time(at) => json!(at.0),
    }
}

fn read_value<F: Field>(field: F, json: &Json) -> Option<Value> {
    match field.kind() {
        Kind::Id | Kind::Integer => json.as_i64().map(Value::Number),
        Kind::Text => json.as_str().map(|text| Value::Text(text.to_owned())),
        Kind::Boolean => json.as_bool().map(Value::Boolean),
        Kind::Time => json.as_i64().map(|micros| Value::Time(Timestamp(micros))),
        Kind::Json | Kind::AnyJson => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::MessageField;

    #[test]
    fn what_is_written_is_read() {
        let one = |field, test| Condition { field, test };
        let time = Value::Time(Timestamp(1_764_000_000_123_456));
        let text = |text: &str| Value::Text(text.to_owned());
        let mut filter = Filter::equal(MessageField::QueueId, Value::Number(i64::MAX))
            .and(one(MessageField::CreatedAt, Test::Compare(Comparison::GreaterOrEqual, time)))
            .and(one(MessageField::SentAt, Test::IsNotNull))
            .and(one(MessageField::CronId, Test::IsNull))
            .and(one(MessageField::Status, Test::In(vec![text("failed"), text("ex\"pired")])))
            .and(one(MessageField::Retries, Test::NotIn(vec![Value::Number(-1)])))
            .and(one(MessageField::Failed, Test::Compare(Comparison::NotEqual, Value::Boolean(true))));
        filter.all.push(Clause::Any(vec![
            one(MessageField::Body, Test::Like("%a_".to_owned())),
            one(MessageField::Body, Test::Ilike("ä".to_owned())),
        ]));
        filter.all.push(Clause::Any(vec![]));
        assert_eq!(read(&write(&filter)), Some(filter));
        assert_eq!(read::<MessageField>(&json!([])), Some(Filter::default()));
    }

    #[test]
    fn what_was_never_written_is_not_read() {
        for other in [
            json!(null),
            json!({}),
            json!([["id"]]),
            json!([["id", "eq"]]),
            json!([["id", "eq", "7"]]),
            json!([["no", "eq", 7]]),
            json!([["id", "is", 7]]),
            json!([["headers", "eq", 7]]),
            json!([{"any": [["id", "in", 7]]}]),
        ] {
            assert_eq!(read::<MessageField>(&other), None, "{other}");
        }
    }
}
