use posthaste_core::entity::{CronField, MessageField};
use serde_json::json;

use super::*;

/// The clauses of a `where`.
fn clauses(filter: &serde_json::Value) -> Result<Vec<Clause<MessageField>>, ApiError> {
    let filter = Value::from_json(filter.clone()).unwrap();
    let mut all = Vec::new();
    for (name, value) in object("where", &filter)? {
        match name.as_str() {
            "or" => any(items(value), &mut all)?,
            name => all.extend(conditions(name, value)?.into_iter().map(Clause::One)),
        }
    }
    Ok(all)
}

fn one(filter: &serde_json::Value) -> Test {
    match clauses(filter).unwrap().as_slice() {
        [Clause::One(condition)] => condition.test.clone(),
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
        ("like", Equal),
    ] {
        for id in [json!("7"), json!(7)] {
            assert_eq!(one(&json!({"id": {operator: id}})), Test::Compare(comparison, Operand::Number(7)));
        }
    }
    assert_eq!(one(&json!({"body": {"like": "a%"}})), Test::Like("a%".to_owned()));
    assert_eq!(one(&json!({"body": {"ilike": "a%"}})), Test::Ilike("a%".to_owned()));
    assert_eq!(one(&json!({"id": {"in": ["1", 2]}})), Test::In(vec![Operand::Number(1), Operand::Number(2)]));
    assert_eq!(one(&json!({"id": {"in": "1"}})), Test::In(vec![Operand::Number(1)]));
    assert_eq!(one(&json!({"body": {"nin": []}})), Test::NotIn(vec![]));
    assert_eq!(one(&json!({"sentAt": {"isNull": true}})), Test::IsNull);
    assert_eq!(one(&json!({"sentAt": {"isNull": false}})), Test::IsNotNull);
    assert_eq!(one(&json!({"sentAt": {"eq": null}})), Test::IsNull);
    assert_eq!(one(&json!({"sentAt": {"neq": null}})), Test::IsNotNull);
    assert_eq!(one(&json!({"failed": {"eq": true}})), Test::Compare(Equal, Operand::Boolean(true)));
}

#[test]
fn alternatives_may_be_several_conditions() {
    let found = clauses(&json!({
        "or": [{"id": {"gt": 1, "lt": 5}}, {"body": {"eq": "x"}, "failed": {"eq": true}}, {"retries": {"eq": 3}}],
    }))
    .unwrap();
    let lengths: Vec<_> = found.iter().map(|clause| matches!(clause, Clause::Any(any) if any.len() == 3)).collect();
    assert_eq!(lengths, [true; 4]);
    let filter = Filter { all: found };
    let matches = |id: i64, body: &str, failed: bool, retries: i64| {
        filter.matches(|field| match field {
            MessageField::Id => Some(Operand::Number(id)),
            MessageField::Body => Some(Operand::Text(body.to_owned())),
            MessageField::Failed => Some(Operand::Boolean(failed)),
            MessageField::Retries => Some(Operand::Number(retries)),
            _ => None,
        })
    };
    assert!(matches(3, "", false, 0) && matches(9, "x", true, 0) && matches(9, "", false, 3));
    assert!(!matches(5, "", false, 0) && !matches(9, "x", false, 0) && !matches(1, "y", true, 2));
}

#[test]
fn of_no_alternative_none_holds() {
    let found = clauses(&json!({"or": []})).unwrap();
    assert!(!Filter { all: found }.matches(|_| None));
    // One that asks for nothing holds always.
    assert_eq!(clauses(&json!({"or": [{}, {"id": {"eq": 1}}]})).unwrap(), []);
}

#[test]
fn what_is_wrong_is_named() {
    let problem = |filter: serde_json::Value| clauses(&filter).unwrap_err().to_string();
    assert_eq!(problem(json!(1)), "where must be object");
    assert_eq!(problem(json!({"id": 1})), "where.id must be object");
    assert_eq!(problem(json!({"id": null})), "where.id must be object");
    assert_eq!(problem(json!({"id": {"eq": "x"}})), "where.id.eq must be integer");
    assert_eq!(problem(json!({"id": {"gt": null}})), "where.id.gt must be integer");
    assert_eq!(problem(json!({"id": {"in": [1, null]}})), "where.id.in must be integer");
    assert_eq!(problem(json!({"sentAt": {"isNull": null}})), "where.sentAt.isNull must be boolean");
    assert_eq!(problem(json!({"or": [1]})), "where.or must be object");
    assert!(matches!(clauses(&json!({"id": {"in": vec![1; 1001]}})), Err(ApiError::Limit { .. })));
    let pair = json!({"id": {"gt": 1, "lt": 5}});
    assert!(matches!(clauses(&json!({"or": vec![pair; 6]})), Err(ApiError::Limit { .. })));
}

#[test]
fn orders_are_read() {
    let order = |json: serde_json::Value| order::<CronField>(&Value::from_json(json).unwrap());
    let both = order(json!([
        {"field": "queueId", "direction": "DESC"},
        {"field": "id", "direction": "ASC"},
        {"field": "queueId", "direction": "ASC"},
    ]));
    let expected = [
        Order { field: CronField::QueueId, direction: Direction::Descending },
        Order { field: CronField::Id, direction: Direction::Ascending },
    ];
    assert_eq!(both.unwrap(), expected);
    assert_eq!(order(json!({"field": "queueId", "direction": "DESC"})).unwrap(), expected[..1]);
    assert_eq!(order(json!(null)).unwrap(), []);
    for wrong in [json!([1]), json!([{"direction": "ASC"}]), json!([{"field": "headers", "direction": "ASC"}])] {
        assert!(order(wrong).is_err());
    }
}
