use posthaste_core::entity::QueueField;

use super::*;

fn fields(field: QueueField) -> Expression {
    match field {
        QueueField::Id => Expression::Column { text: "q.id", nullable: false },
        QueueField::Method => Expression::Constant { value: Some(text("POST")), text: "'POST'::text" },
        QueueField::PausedReason => Expression::Named { value: Some(text("why")), text: "'why'::text" },
        _ => Expression::Column { text: "q.name", nullable: true },
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn sql(field: QueueField, test: Test) -> String {
    match condition(&Condition { field, test }, &fields) {
        Logic::Always => "always".to_owned(),
        Logic::Never => "never".to_owned(),
        Logic::Sometimes(sql) => sql.to_string(),
    }
}

#[test]
fn values_are_binds() {
    use Comparison::{Equal, Greater};
    let hostile = "'; DROP TABLE posthaste.queues; --";
    for (test, expected) in [
        (Test::Compare(Equal, text(hostile)), format!("q.name = Text({hostile:?})")),
        (Test::Compare(Greater, text("a")), "q.name COLLATE \"C\" > Text(\"a\")".to_owned()),
        (Test::In(vec![text("a"), text("b")]), "q.name = ANY (Texts([\"a\", \"b\"]))".to_owned()),
        (Test::In(vec![]), "never".to_owned()),
        (Test::NotIn(vec![]), "q.name IS NOT NULL".to_owned()),
        (Test::Like("a%".to_owned()), "q.name LIKE Text(\"a%\")".to_owned()),
    ] {
        assert_eq!(sql(QueueField::Name, test), expected);
    }
}

#[test]
fn a_pattern_never_ends_in_an_escape_of_nothing() {
    for (pattern, expected) in [("\\", "\\\\"), ("a\\\\", "a\\\\"), ("a\\\\\\", "a\\\\\\\\"), ("a\\b", "a\\b")] {
        assert_eq!(whole(pattern), expected);
    }
}

#[test]
fn what_no_text_can_hold_is_decided_here() {
    use Comparison::{Equal, Greater, LessOrEqual, NotEqual};
    for (test, expected) in [
        (Test::Compare(Equal, text("a\0")), "never"),
        (Test::Compare(NotEqual, text("a\0")), "q.name IS NOT NULL"),
        (Test::Compare(LessOrEqual, text("a\0b")), "q.name COLLATE \"C\" <= Text(\"a\")"),
        (Test::Compare(Greater, text("a\0b")), "q.name COLLATE \"C\" > Text(\"a\")"),
        (Test::In(vec![text("\0")]), "never"),
        (Test::Like("%\0".to_owned()), "never"),
    ] {
        assert_eq!(sql(QueueField::Name, test), expected);
    }
}

#[test]
fn constants_are_decided_here() {
    use Comparison::{Equal, NotEqual};
    for (field, test, expected) in [
        (QueueField::Method, Test::Compare(Equal, text("POST")), "always"),
        (QueueField::Method, Test::Compare(NotEqual, text("POST")), "never"),
        (QueueField::Method, Test::IsNull, "never"),
        (QueueField::PausedReason, Test::Compare(Equal, text("why")), "always"),
        (QueueField::PausedReason, Test::IsNotNull, "never"),
        (QueueField::PausedReason, Test::Compare(NotEqual, text("other")), "never"),
    ] {
        assert_eq!(sql(field, test), expected);
    }
    let one = |field, name: &str| Condition { field, test: Test::Compare(Equal, text(name)) };
    let any = Filter { all: vec![Clause::Any(vec![one(QueueField::Method, "GET"), one(QueueField::Name, "q")])] };
    let Logic::Sometimes(open) = filter(&any, &fields) else { panic!() };
    assert_eq!(open.to_string(), "q.name = Text(\"q\")");
    assert_eq!(filter(&Filter { all: vec![Clause::Any(vec![])] }, &fields), Logic::Never);
}

#[test]
fn a_place_in_one_direction_is_compared_as_a_row() {
    let key = |field, direction, value| Key { expression: fields(field), direction, value };
    let id = |direction| key(QueueField::Id, direction, Some(Value::Number(7)));
    let Logic::Sometimes(row) = after(&[id(Direction::Descending)]) else { panic!() };
    assert_eq!(row.to_string(), "(q.id) < (Number(7))");
    // Null is the greatest: downwards everything else follows it, upwards only more of it.
    let Logic::Sometimes(mixed) =
        after(&[key(QueueField::Name, Direction::Descending, None), id(Direction::Ascending)])
    else {
        panic!()
    };
    assert_eq!(mixed.to_string(), "((q.name IS NOT NULL) OR (q.name IS NULL AND q.id > Number(7)))");
    // A constant that is the same there decides nothing.
    let Logic::Sometimes(rest) =
        after(&[key(QueueField::Method, Direction::Ascending, Some(text("POST"))), id(Direction::Ascending)])
    else {
        panic!()
    };
    assert_eq!(rest.to_string(), "q.id > Number(7)");
}
