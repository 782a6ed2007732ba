use posthaste_core::filter::{Clause, Test, Value};
use serde_json::{Value as Json, json};

use super::*;

fn compiled(rules: &Json) -> Rules {
    Rules::compile(&rules.to_string()).unwrap()
}

fn claims(json: &Json) -> Claims {
    json.as_object().unwrap().clone().into()
}

fn grant<F: Field>(rules: &Json, operation: Operation, roles: &[&str], given: &Json) -> Option<Grant<F>> {
    let roles: Vec<String> = roles.iter().map(ToString::to_string).collect();
    compiled(rules).grant(operation, &roles, &claims(given))
}

const OPERATIONS: [(&str, Operation); 4] = [
    ("find", Operation::Find),
    ("save", Operation::Save),
    ("updateMany", Operation::UpdateMany),
    ("delete", Operation::Delete),
];

#[test]
fn what_a_rule_does_not_allow_is_denied() {
    for (name, operation) in OPERATIONS {
        for (value, allowed) in [(json!(true), true), (json!(false), false)] {
            let rules = json!([{"role": "user", "entity": "queue", name: value}]);
            for (_, tried) in OPERATIONS {
                let granted = grant::<QueueField>(&rules, tried, &["user"], &json!({}));
                assert_eq!(granted.is_some(), allowed && tried == operation, "{rules} {tried:?}");
                assert!(granted.is_none_or(|granted| granted == Grant::everything()));
            }
            // Another role, and another entity.
            assert_eq!(grant::<QueueField>(&rules, operation, &["users", ""], &json!({})), None);
            assert_eq!(grant::<MessageField>(&rules, operation, &["user"], &json!({})), None);
        }
    }
    assert!(Rules::default().grant::<QueueField>(Operation::Find, &["user".to_owned()], &Claims::default()).is_none());
}

#[test]
fn the_first_rule_of_any_role_decides() {
    let rules = json!([
        {"role": "b", "entity": "queue", "find": false},
        {"role": "a", "entities": ["queue", "cron"], "find": true, "save": true},
        {"role": "b", "entity": "*", "find": true, "save": true},
    ]);
    let find = |roles: &[&str]| grant::<QueueField>(&rules, Operation::Find, roles, &json!({})).is_some();
    assert!(find(&["a"]) && !find(&["b"]) && !find(&["a", "b"]) && !find(&["b", "a"]) && !find(&[]));
    assert!(grant::<QueueField>(&rules, Operation::Save, &["a", "b"], &json!({})).is_none());
    for roles in [&["a"][..], &["b"], &["b", "a"]] {
        assert!(grant::<CronField>(&rules, Operation::Save, roles, &json!({})).is_some(), "{roles:?}");
    }
    assert!(grant::<MessageField>(&rules, Operation::Save, &["b"], &json!({})).is_some());
    assert!(grant::<MessageField>(&rules, Operation::Save, &["a"], &json!({})).is_none());
}

#[test]
fn checks_become_conditions() {
    let number = |number| Value::Number(number);
    for (check, claim, expected) in [
        (json!("ID"), json!("7"), Test::Compare(Comparison::Equal, number(7))),
        (json!({"eq": "ID"}), json!(7), Test::Compare(Comparison::Equal, number(7))),
        (json!({"neq": "ID"}), json!(7), Test::Compare(Comparison::NotEqual, number(7))),
        (json!({"gt": "ID"}), json!(7), Test::Compare(Comparison::Greater, number(7))),
        (json!({"gte": "ID"}), json!(7), Test::Compare(Comparison::GreaterOrEqual, number(7))),
        (json!({"lt": "ID"}), json!(7), Test::Compare(Comparison::Less, number(7))),
        (json!({"lte": "ID"}), json!(7), Test::Compare(Comparison::LessOrEqual, number(7))),
        (json!({"in": "ID"}), json!(["7", 8]), Test::In(vec![number(7), number(8)])),
        (json!({"nin": "ID"}), json!("7,8"), Test::NotIn(vec![number(7), number(8)])),
    ] {
        for (name, operation) in OPERATIONS {
            let rules = json!([{"role": "user", "entity": "message", name: {"checks": {"queueId": check}}}]);
            let granted = grant::<MessageField>(&rules, operation, &["user"], &json!({"ID": claim})).unwrap();
            let condition = Condition { field: MessageField::QueueId, test: expected.clone() };
            assert_eq!(granted.filter.all, [Clause::One(condition)], "{rules}");
            assert_eq!((granted.fields, granted.defaults.len()), (None, 0));
            // Missing, null, or nothing that a queue's id can be: denied, and not compared with null.
            for without in [json!({}), json!({"ID": null}), json!({"id": 7}), json!({"ID": "x"}), json!({"ID": {}})] {
                let granted = grant::<MessageField>(&rules, operation, &["user"], &without);
                assert_eq!(granted, None, "{rules} {without}");
            }
        }
    }
}

#[test]
fn all_checks_must_hold() {
    let checks = json!({"id": {"gte": "FROM", "lt": "TO"}, "name": {"ilike": "NAME"}});
    let rules = json!([{"role": "user", "entity": "queue", "delete": {"checks": checks}}]);
    let all = json!({"FROM": 1, "TO": 9, "NAME": "a%"});
    let granted = grant::<QueueField>(&rules, Operation::Delete, &["user"], &all).unwrap();
    assert_eq!(granted.filter.all.len(), 3);
    let matches = |id, name: &str| {
        granted.filter.matches(|field| match field {
            QueueField::Id => Some(Value::Number(id)),
            QueueField::Name => Some(Value::Text(name.to_owned())),
            _ => None,
        })
    };
    assert!(matches(1, "Anna") && !matches(9, "Anna") && !matches(1, "Bert"));
    for missing in ["FROM", "TO", "NAME"] {
        let mut some = all.clone();
        some.as_object_mut().unwrap().remove(missing);
        assert_eq!(grant::<QueueField>(&rules, Operation::Delete, &["user"], &some), None, "{missing}");
    }
}

#[test]
fn fields_and_defaults() {
    let rules = json!([{
        "role": "user", "entity": "cron", "find": {"fields": ["id", "schedule"]}, "save": {"fields": ["schedule"]},
        "updateMany": true, "delete": true, "defaults": {"queueId": "QUEUE", "body": "sub"},
    }]);
    let given = json!({"QUEUE": "7", "sub": 42});
    let of = |operation| grant::<CronField>(&rules, operation, &["user"], &given).unwrap();
    let defaults =
        BTreeMap::from([(CronField::QueueId, Value::Number(7)), (CronField::Body, Value::Text("42".to_owned()))]);
    assert_eq!(of(Operation::Find).fields, Some(BTreeSet::from([CronField::Id, CronField::Schedule])));
    assert_eq!(of(Operation::Find).defaults, BTreeMap::new());
    assert_eq!(of(Operation::Delete).defaults, BTreeMap::new());
    assert_eq!(of(Operation::Save).fields, Some(BTreeSet::from([CronField::Schedule])));
    assert_eq!(of(Operation::Save).defaults, defaults);
    assert_eq!((of(Operation::UpdateMany).fields, of(Operation::UpdateMany).defaults), (None, defaults));
    // A default that cannot be told is no default.
    for without in [json!({"QUEUE": 7}), json!({"sub": "x"}), json!({"QUEUE": "x", "sub": "x"})] {
        assert_eq!(grant::<CronField>(&rules, Operation::Save, &["user"], &without), None, "{without}");
        assert!(grant::<CronField>(&rules, Operation::Find, &["user"], &without).is_some());
    }
}
