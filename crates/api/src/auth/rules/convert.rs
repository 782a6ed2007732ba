//! From a claim to what a field is compared with or set to.

use posthaste_core::entity::{Field, Kind};
use posthaste_core::filter::{Test, Value};
use serde_json::Value as Json;

use super::Operator;
use crate::wire::time;

/// What is asked of a field; `None` if the claim cannot be compared with it.
pub(super) fn test<F: Field>(field: F, operator: Operator, claim: &Json) -> Option<Test> {
    let kind = field.kind();
    Some(match operator {
        Operator::Compare(comparison) => Test::Compare(comparison, value(kind, claim)?),
        Operator::In => Test::In(values(kind, claim)?),
        Operator::NotIn => Test::NotIn(values(kind, claim)?),
        Operator::Like => Test::Like(pattern(claim)?),
        Operator::Ilike => Test::Ilike(pattern(claim)?),
    })
}

/// A claim as a value of a kind; `None` if it cannot be one.
pub(super) fn value(kind: Kind, claim: &Json) -> Option<Value> {
    match (kind, claim) {
        (Kind::Id, claim) => number(claim).map(Value::Number),
        (Kind::Integer, claim) => number(claim).filter(|number| i32::try_from(*number).is_ok()).map(Value::Number),
        (Kind::Text, Json::String(text)) => plain(text).map(Value::Text),
        (Kind::Text, Json::Number(number)) => Some(Value::Text(number.to_string())),
        (Kind::Boolean, Json::Bool(value)) => Some(Value::Boolean(*value)),
        (Kind::Boolean, Json::String(text)) => text.parse().ok().map(Value::Boolean),
        (Kind::Time, Json::String(text)) => time::parse(text).map(Value::Time),
        (Kind::Text | Kind::Boolean | Kind::Time | Kind::Json | Kind::AnyJson, _) => None,
    }
}

/// A list: an array, or a single value. Numbers may also come in one text, separated by commas, as they do in a header;
/// texts may not, because a comma in somebody's name must not make two names of it.
fn values(kind: Kind, claim: &Json) -> Option<Vec<Value>> {
    match (kind, claim) {
        (_, Json::Array(items)) => items.iter().map(|item| value(kind, item)).collect(),
        (Kind::Id | Kind::Integer, Json::String(text)) => {
            text.split(',').map(|item| value(kind, &Json::String(item.trim().to_owned()))).collect()
        }
        (_, claim) => value(kind, claim).map(|value| vec![value]),
    }
}

fn number(claim: &Json) -> Option<i64> {
    match claim {
        Json::Number(number) => number.as_i64(),
        Json::String(text) if !text.starts_with('+') => text.parse().ok(),
        _ => None,
    }
}

/// A text that Postgres can hold.
fn plain(text: &str) -> Option<String> {
    (!text.contains('\0')).then(|| text.to_owned())
}

/// A pattern; Postgres refuses one that ends in the middle of an escape.
fn pattern(claim: &Json) -> Option<String> {
    let Json::String(text) = claim else { return None };
    let open = text.len() - text.trim_end_matches('\\').len();
    if open % 2 == 0 { plain(text) } else { None }
}

#[cfg(test)]
mod tests {
    use posthaste_core::entity::{CronField, MessageField, QueueField};
    use posthaste_core::filter::Comparison;
    use posthaste_core::time::Timestamp;
    use serde_json::json;

    use super::*;

    #[test]
    fn claims_become_values_of_the_fields_kind() {
        let (number, text) = (Value::Number, |text: &str| Value::Text(text.to_owned()));
        for (kind, claim, expected) in [
            (Kind::Id, json!(7), Some(number(7))),
            (Kind::Id, json!("7"), Some(number(7))),
            (Kind::Id, json!("-7"), Some(number(-7))),
            (Kind::Id, json!("9223372036854775807"), Some(number(i64::MAX))),
            (Kind::Id, json!("9223372036854775808"), None),
            (Kind::Id, json!(7.5), None),
            (Kind::Id, json!("+7"), None),
            (Kind::Id, json!(" 7"), None),
            (Kind::Id, json!("7x"), None),
            (Kind::Id, json!(""), None),
            (Kind::Id, json!([7]), None),
            (Kind::Id, json!(true), None),
            (Kind::Integer, json!("2147483647"), Some(number(2_147_483_647))),
            (Kind::Integer, json!(2_147_483_648_i64), None),
            (Kind::Text, json!("a"), Some(text("a"))),
            (Kind::Text, json!(42), Some(text("42"))),
            (Kind::Text, json!("a\0b"), None),
            (Kind::Text, json!(true), None),
            (Kind::Text, json!({"a": 1}), None),
            (Kind::Text, json!(["a"]), None),
            (Kind::Boolean, json!(true), Some(Value::Boolean(true))),
            (Kind::Boolean, json!("false"), Some(Value::Boolean(false))),
            (Kind::Boolean, json!("yes"), None),
            (Kind::Boolean, json!(1), None),
            (Kind::Time, json!("1970-01-01T00:00:01Z"), Some(Value::Time(Timestamp(1_000_000)))),
            (Kind::Time, json!(1), None),
            (Kind::Time, json!("tomorrow"), None),
            (Kind::Json, json!({}), None),
            (Kind::Text, json!(null), None),
            (Kind::Id, json!(null), None),
        ] {
            assert_eq!(value(kind, &claim), expected, "{kind:?} {claim}");
        }
    }

    #[test]
    fn lists_of_numbers_may_come_in_one_text() {
        let ids = |claim| test(MessageField::QueueId, Operator::In, &claim);
        let in_ids = |ids: &[i64]| Some(Test::In(ids.iter().copied().map(Value::Number).collect()));
        assert_eq!(ids(json!([1, "2"])), in_ids(&[1, 2]));
        assert_eq!(ids(json!("1, 2,3")), in_ids(&[1, 2, 3]));
        assert_eq!(ids(json!(4)), in_ids(&[4]));
        assert_eq!(ids(json!([])), in_ids(&[]));
        for wrong in [json!("1,x"), json!("1,"), json!(""), json!([1, null]), json!([1, [2]]), json!({"a": 1})] {
            assert_eq!(ids(wrong.clone()), None, "{wrong}");
        }
        let names = |claim| test(QueueField::Name, Operator::NotIn, &claim);
        let not_in = |names: &[&str]| Some(Test::NotIn(names.iter().map(|n| Value::Text(n.to_string())).collect()));
        assert_eq!(names(json!("bob,alice")), not_in(&["bob,alice"]));
        assert_eq!(names(json!(["bob", "alice"])), not_in(&["bob", "alice"]));
    }

    #[test]
    fn patterns_are_text() {
        let like = |claim| test(CronField::Schedule, Operator::Like, &claim);
        assert_eq!(like(json!(r"a%\\")), Some(Test::Like(r"a%\\".to_owned())));
        for wrong in [json!(r"a\"), json!(r"\\\"), json!(7), json!(["a"]), json!("\0")] {
            assert_eq!(like(wrong.clone()), None, "{wrong}");
        }
        assert_eq!(test(CronField::Body, Operator::Ilike, &json!("A_")), Some(Test::Ilike("A_".to_owned())));
        let greater = Operator::Compare(Comparison::Greater);
        assert_eq!(
            test(QueueField::MaxRetries, greater, &json!("3")),
            Some(Test::Compare(Comparison::Greater, Value::Number(3)))
        );
    }
}
