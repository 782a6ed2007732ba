//! `where.<field>.<operator>=value` and `where.or=(…)`: conditions as query strings write them.

use posthaste_core::entity::{Field, Kind};
use posthaste_core::filter::{Clause, Comparison, Condition, Filter, Test, Value};
use posthaste_core::time::Timestamp;

use crate::error::ApiError;
use crate::wire::time;

/// Values of one `in` or `nin`.
const LARGEST_SET: usize = 1_000;
/// Conditions of one request.
const MOST_CONDITIONS: usize = 100;

/// The operators, as they are written.
pub const OPERATORS: [&str; 11] = ["eq", "neq", "gt", "gte", "lt", "lte", "like", "ilike", "in", "nin", "isNull"];

/// Adds `where.<path>=<value>` to a filter.
///
/// # Errors
/// An unknown field or operator, a value of the wrong type, too many conditions.
pub fn add<F: Field>(filter: &mut Filter<F>, path: &str, value: &str) -> Result<(), ApiError> {
    let clause = if path == "or" {
        Clause::Any(alternatives(value)?)
    } else {
        let (field, operator) = path.split_once('.').ok_or_else(|| unknown(&format!("where.{path}")))?;
        let field = F::from_name(field).ok_or_else(|| unknown(&format!("where.{path}")))?;
        Clause::One(condition(field, operator, value)?)
    };
    filter.all.push(clause);
    if filter.fields().count() > MOST_CONDITIONS {
        return Err(ApiError::value_limit(format!("a request may have at most {MOST_CONDITIONS} conditions")));
    }
    Ok(())
}

/// `field.operator=value`, of which the operator and the value are given.
///
/// # Errors
/// As [`add`].
pub fn condition<F: Field>(field: F, operator: &str, value: &str) -> Result<Condition<F>, ApiError> {
    let name = || format!("where.{}.{operator}", field.name());
    if !field.is_comparable() || !OPERATORS.contains(&operator) {
        return Err(unknown(&name()));
    }
    let one = |value: &str| read(field, &name(), value);
    let is_null = value == "null" && field.is_nullable();
    let compare = |comparison| Ok(Test::Compare(comparison, one(value)?));
    let test = match operator {
        "eq" if is_null => Ok(Test::IsNull),
        "neq" if is_null => Ok(Test::IsNotNull),
        "eq" => compare(Comparison::Equal),
        "neq" => compare(Comparison::NotEqual),
        "gt" => compare(Comparison::Greater),
        "gte" => compare(Comparison::GreaterOrEqual),
        "lt" => compare(Comparison::Less),
        "lte" => compare(Comparison::LessOrEqual),
        // As the original: of anything but text, only the very value is like it.
        "like" | "ilike" if field.kind() != Kind::Text => compare(Comparison::Equal),
        "like" => text(&name(), value).map(Test::Like),
        "ilike" => text(&name(), value).map(Test::Ilike),
        "in" => Ok(Test::In(set(value, one)?)),
        "nin" => Ok(Test::NotIn(set(value, one)?)),
        _ => boolean(&name(), value).map(|is_null| if is_null { Test::IsNull } else { Test::IsNotNull }),
    };
    test.map(|test| Condition { field, test })
}

fn set(values: &str, read: impl Fn(&str) -> Result<Value, ApiError>) -> Result<Vec<Value>, ApiError> {
    if values.is_empty() {
        return Ok(Vec::new());
    }
    if values.split(',').count() > LARGEST_SET {
        return Err(ApiError::value_limit(format!("in and nin take at most {LARGEST_SET} values")));
    }
    values.split(',').map(|value| read(value.trim())).collect()
}

fn read<F: Field>(field: F, name: &str, value: &str) -> Result<Value, ApiError> {
    match field.kind() {
        Kind::Id | Kind::Integer => integer(name, value).map(Value::Number),
        Kind::Boolean => boolean(name, value).map(Value::Boolean),
        Kind::Text | Kind::Json | Kind::AnyJson => text(name, value).map(Value::Text),
        Kind::Time => moment(name, value).map(Value::Time),
    }
}

/// No text in the database has U+0000.
fn text(name: &str, value: &str) -> Result<String, ApiError> {
    let problem = || ApiError::Validation(format!("querystring/{name} must not contain U+0000"));
    if value.contains('\0') { Err(problem()) } else { Ok(value.to_owned()) }
}

/// A whole number.
///
/// # Errors
/// It is something else.
pub fn integer(name: &str, value: &str) -> Result<i64, ApiError> {
    let number = if value.starts_with('+') { None } else { value.parse().ok() };
    number.ok_or_else(|| ApiError::Validation(format!("querystring/{name} must be integer")))
}

/// A time.
///
/// # Errors
/// It is something else.
pub fn moment(name: &str, value: &str) -> Result<Timestamp, ApiError> {
    time::parse(value).ok_or_else(|| ApiError::Validation(format!("querystring/{name} {}", time::EXPECTED)))
}

/// `true` or `false`.
///
/// # Errors
/// It is something else.
pub fn boolean(name: &str, value: &str) -> Result<bool, ApiError> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ApiError::Validation(format!("querystring/{name} must be boolean"))),
    }
}

/// `(field.operator=value|field.operator=value)`. A value ends at a `|` or at the last parenthesis.
fn alternatives<F: Field>(text: &str) -> Result<Vec<Condition<F>>, ApiError> {
    let malformed =
        || ApiError::Validation("querystring/where.or must be (field.operator=value|field.operator=value)".to_owned());
    let inner = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(malformed)?;
    inner
        .split('|')
        .map(|alternative| {
            let (path, value) = alternative.split_once('=').ok_or_else(malformed)?;
            let (name, operator) = path.trim().split_once('.').ok_or_else(malformed)?;
            let field = F::from_name(name).ok_or_else(|| ApiError::UnknownFilterField(excerpt(name)))?;
            condition(field, operator, value)
        })
        .collect()
}

fn unknown(name: &str) -> ApiError {
    ApiError::UnknownParameter(excerpt(name))
}

fn excerpt(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use posthaste_core::entity::{MessageField, QueueField};

    use super::*;

    fn filter<F: Field>(pairs: &[(&str, &str)]) -> Result<Filter<F>, ApiError> {
        let mut filter = Filter::default();
        pairs.iter().try_for_each(|(path, value)| add(&mut filter, path, value))?;
        Ok(filter)
    }

    fn test(path: &str, value: &str) -> Test {
        match filter::<MessageField>(&[(path, value)]).unwrap().all.pop() {
            Some(Clause::One(condition)) => condition.test,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_operator() {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        for (operator, comparison) in [
            ("eq", Equal),
            ("neq", NotEqual),
            ("gt", Greater),
            ("gte", GreaterOrEqual),
            ("lt", Less),
            ("lte", LessOrEqual),
        ] {
            assert_eq!(test(&format!("id.{operator}"), "7"), Test::Compare(comparison, Value::Number(7)));
        }
        assert_eq!(test("body.like", "a%"), Test::Like("a%".to_owned()));
        assert_eq!(test("body.ilike", "a%"), Test::Ilike("a%".to_owned()));
        assert_eq!(test("id.like", "7"), Test::Compare(Equal, Value::Number(7)));
        assert_eq!(test("id.in", "1, 2"), Test::In(vec![Value::Number(1), Value::Number(2)]));
        assert_eq!(test("body.nin", "a,b"), Test::NotIn(vec![Value::Text("a".into()), Value::Text("b".into())]));
        assert_eq!(test("id.in", ""), Test::In(vec![]));
        assert_eq!(test("sentAt.isNull", "true"), Test::IsNull);
        assert_eq!(test("sentAt.isNull", "false"), Test::IsNotNull);
        assert_eq!(test("failed.eq", "true"), Test::Compare(Equal, Value::Boolean(true)));
        let epoch = Value::Time(Timestamp(0));
        assert_eq!(test("when.eq", "1970-01-01T00:00:00Z"), Test::Compare(Equal, epoch));
    }

    #[test]
    fn null_is_a_word_where_there_can_be_null() {
        assert_eq!(test("sentAt.eq", "null"), Test::IsNull);
        assert_eq!(test("sentAt.neq", "null"), Test::IsNotNull);
        assert_eq!(filter(&[("name.eq", "null")]), Ok(Filter::equal(QueueField::Name, Value::Text("null".to_owned()))));
    }

    #[test]
    fn alternatives_are_one_clause() {
        let found = filter::<MessageField>(&[("or", "(id.eq=1|body.eq=x=y|id.in=1,2)"), ("id.gt", "0")]).unwrap();
        assert_eq!(found.all.len(), 2);
        let Clause::Any(conditions) = &found.all[0] else { panic!("{found:?}") };
        assert_eq!(conditions.len(), 3);
        assert_eq!(conditions[1].test, Test::Compare(Comparison::Equal, Value::Text("x=y".to_owned())));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let problem = |path: &str, value: &str| filter::<MessageField>(&[(path, value)]).unwrap_err();
        for path in ["bodi.eq", "body.equals", "body", "body.", ".eq", "headers.eq", "bodyBase64.eq", "body.contains"] {
            let expected = format!("querystring has no parameter 'where.{path}' here");
            assert_eq!(problem(path, "x").to_string(), expected);
        }
        assert_eq!(problem("id.eq", "x").to_string(), "querystring/where.id.eq must be integer");
        assert_eq!(problem("body.eq", "\0").to_string(), "querystring/where.body.eq must not contain U+0000");
        assert_eq!(problem("id.like", "1%").to_string(), "querystring/where.id.like must be integer");
        assert_eq!(problem("failed.eq", "1").to_string(), "querystring/where.failed.eq must be boolean");
        assert!(problem("when.gt", "soon").to_string().starts_with("querystring/where.when.gt takes a time"));
        assert_eq!(problem("or", "(bodi.eq=1)"), ApiError::UnknownFilterField("bodi".to_owned()));
        for malformed in ["", "id.eq=1", "(id.eq)", "(id=1)", "()"] {
            assert!(matches!(problem("or", malformed), ApiError::Validation(_)), "{malformed}");
        }
        assert!(matches!(problem("id.in", &"1,".repeat(1000)), ApiError::Limit { .. }));
        let many = vec![("id.gt", "1"); 101];
        assert!(matches!(filter::<MessageField>(&many), Err(ApiError::Limit { .. })));
    }
}
