//! Filters and places in an order, as SQL.
//!
//! What a field is depends on the rows that are looked at: of what is pending, `failed` is `false` and `sentAt` null,
//! whatever the row. A condition on such a constant is decided here, so that the statement asks only for what is open.

use posthaste_core::entity::Field;
use posthaste_core::filter::{Clause, Comparison, Condition, Direction, Filter, Test, Value};

use super::sql::{Bind, Sql};

/// What a field is, among the rows that are looked at.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expression {
    /// SQL over their columns.
    Column { text: &'static str, nullable: bool },
    /// The same for all of them. `text` is the same as SQL.
    Constant { value: Option<Value>, text: &'static str },
    /// As a constant, but only a condition that asks for this very value holds.
    Named { value: Option<Value>, text: &'static str },
}

/// A condition, decided as far as it can be. Null is false: nothing here is ever negated.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Logic {
    Always,
    Never,
    Sometimes(Sql),
}

impl Logic {
    fn from(holds: bool) -> Logic {
        if holds { Logic::Always } else { Logic::Never }
    }

    /// Where both hold.
    #[must_use]
    pub(crate) fn and(self, other: Logic) -> Logic {
        match (self, other) {
            (Logic::Never, _) | (_, Logic::Never) => Logic::Never,
            (Logic::Always, logic) | (logic, Logic::Always) => logic,
            (Logic::Sometimes(left), Logic::Sometimes(right)) => Logic::Sometimes(left.text(" AND ").sql(right)),
        }
    }

    /// Where one of them holds.
    fn any(all: impl IntoIterator<Item = Logic>) -> Logic {
        let mut open = Vec::new();
        for logic in all {
            match logic {
                Logic::Always => return Logic::Always,
                Logic::Never => {}
                Logic::Sometimes(sql) => open.push(sql),
            }
        }
        match open.len() {
            0 => Logic::Never,
            1 => open.pop().map_or(Logic::Never, Logic::Sometimes),
            _ => Logic::Sometimes(Sql::new("((").sql(Sql::join(open, ") OR (")).text("))")),
        }
    }
}

/// A filter over rows whose fields are what `fields` says.
pub(crate) fn filter<F: Field>(filter: &Filter<F>, fields: &impl Fn(F) -> Expression) -> Logic {
    filter.all.iter().fold(Logic::Always, |logic, clause| {
        logic.and(match clause {
            Clause::One(one) => condition(one, fields),
            Clause::Any(any) => Logic::any(any.iter().map(|one| condition(one, fields))),
        })
    })
}

fn condition<F: Field>(condition: &Condition<F>, fields: &impl Fn(F) -> Expression) -> Logic {
    match fields(condition.field) {
        Expression::Column { text, nullable } => column(text, nullable, &condition.test),
        Expression::Constant { value, .. } => Logic::from(holds(condition, value)),
        Expression::Named { value, .. } => match condition.test {
            Test::Compare(Comparison::Equal, _) | Test::In(_) => Logic::from(holds(condition, value)),
            Test::Compare(..) | Test::IsNull | Test::IsNotNull | Test::NotIn(_) | Test::Like(_) | Test::Ilike(_) => {
                Logic::Never
            }
        },
    }
}

fn holds<F: Field>(condition: &Condition<F>, value: Option<Value>) -> bool {
    Filter::default().and(condition.clone()).matches(|_| value.clone())
}

fn column(text: &'static str, nullable: bool, test: &Test) -> Logic {
    let sql = Sql::new(text);
    let present = || if nullable { Logic::Sometimes(Sql::new(text).text(" IS NOT NULL")) } else { Logic::Always };
    match test {
        Test::Compare(comparison, value) => compare(text, nullable, *comparison, value),
        Test::IsNull if nullable => Logic::Sometimes(sql.text(" IS NULL")),
        Test::IsNull => Logic::Never,
        Test::IsNotNull => present(),
        Test::In(values) => match Bind::array(&storable(values)) {
            Some(values) => Logic::Sometimes(sql.text(" = ANY (").bind(values).text(")")),
            None => Logic::Never,
        },
        Test::NotIn(values) => match Bind::array(&storable(values)) {
            Some(values) => Logic::Sometimes(sql.text(" <> ALL (").bind(values).text(")")),
            None => present(),
        },
        Test::Like(pattern) | Test::Ilike(pattern) if pattern.contains('\0') => Logic::Never,
        Test::Like(pattern) => Logic::Sometimes(sql.text(" LIKE ").bind(Bind::Text(whole(pattern)))),
        Test::Ilike(pattern) => Logic::Sometimes(sql.text(" ILIKE ").bind(Bind::Text(whole(pattern)))),
    }
}

/// No stored text contains U+0000, and none can be asked for.
fn storable(values: &[Value]) -> Vec<Value> {
    let storable = |value: &&Value| !matches!(value, Value::Text(text) if text.contains('\0'));
    values.iter().filter(storable).cloned().collect()
}

/// Postgres refuses a pattern that ends in an escape of nothing; here, as in core, it stands for itself.
fn whole(pattern: &str) -> String {
    let backslashes = pattern.chars().rev().take_while(|c| *c == '\\').count();
    if backslashes % 2 == 1 { format!("{pattern}\\") } else { pattern.to_owned() }
}

fn compare(text: &'static str, nullable: bool, comparison: Comparison, value: &Value) -> Logic {
    // Before U+0000, which no stored text contains, comes everything up to what precedes it; after it, the rest.
    if let Value::Text(with) = value
        && let Some((before, _)) = with.split_once('\0')
    {
        let before = Value::Text(before.to_owned());
        return match comparison {
            Comparison::Equal => Logic::Never,
            Comparison::NotEqual => column(text, nullable, &Test::IsNotNull),
            Comparison::Less | Comparison::LessOrEqual => compare(text, nullable, Comparison::LessOrEqual, &before),
            Comparison::Greater | Comparison::GreaterOrEqual => compare(text, nullable, Comparison::Greater, &before),
        };
    }
    let operator = match comparison {
        Comparison::Equal => " = ",
        Comparison::NotEqual => " <> ",
        Comparison::Greater => " > ",
        Comparison::GreaterOrEqual => " >= ",
        Comparison::Less => " < ",
        Comparison::LessOrEqual => " <= ",
    };
    let by_bytes = matches!(value, Value::Text(_)) && !matches!(comparison, Comparison::Equal | Comparison::NotEqual);
    let sql = Sql::new(text).text(if by_bytes { " COLLATE \"C\"" } else { "" });
    Logic::Sometimes(sql.text(operator).bind(value.clone().into()))
}

/// One part of a place in an order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) expression: Expression,
    pub(crate) direction: Direction,
    /// `None` is null.
    pub(crate) value: Option<Value>,
}

/// The rows that follow a place. Null is the greatest.
pub(crate) fn after(keys: &[Key]) -> Logic {
    if let Some(row) = row_comparison(keys) {
        return row;
    }
    let follows = Logic::any((0..keys.len()).map(|last| {
        let equal = keys[..last].iter().map(|key| match &key.value {
            Some(value) => one(&key.expression, Comparison::Equal, value),
            None => is_null(&key.expression),
        });
        equal.chain([beyond(&keys[last])]).fold(Logic::Always, Logic::and)
    }));
    // Implied; but an index knows what to do with it.
    let bound = match keys.first() {
        Some(Key { expression: Expression::Column { nullable: false, text }, direction, value: Some(value) }) => {
            let comparison = match direction {
                Direction::Ascending => Comparison::GreaterOrEqual,
                Direction::Descending => Comparison::LessOrEqual,
            };
            compare(text, false, comparison, value)
        }
        _ => Logic::Always,
    };
    bound.and(follows)
}

/// `(a, b) > ($1, $2)`, which an index on `(a, b)` serves whole: for columns without nulls, all in one direction.
fn row_comparison(keys: &[Key]) -> Option<Logic> {
    let open: Vec<&Key> = keys.iter().collect();
    let direction = open.first()?.direction;
    let mut columns = Vec::new();
    let mut values = Vec::new();
    for key in open {
        match (&key.expression, &key.value) {
            (Expression::Column { text, nullable: false }, Some(value))
                if key.direction == direction && !matches!(value, Value::Text(_)) =>
            {
                columns.push(Sql::new(text));
                values.push(Sql::default().bind(value.clone().into()));
            }
            _ => return None,
        }
    }
    let operator = match direction {
        Direction::Ascending => ") > (",
        Direction::Descending => ") < (",
    };
    let sql = Sql::new("(").sql(Sql::join(columns, ", ")).text(operator).sql(Sql::join(values, ", ")).text(")");
    Some(Logic::Sometimes(sql))
}

fn one(expression: &Expression, comparison: Comparison, with: &Value) -> Logic {
    match expression {
        Expression::Column { text, nullable } => compare(text, *nullable, comparison, with),
        Expression::Constant { value, .. } | Expression::Named { value, .. } => {
            Logic::from(value.as_ref().is_some_and(|value| comparison.holds(value, with)))
        }
    }
}

fn is_null(expression: &Expression) -> Logic {
    match expression {
        Expression::Column { text, nullable } => column(text, *nullable, &Test::IsNull),
        Expression::Constant { value, .. } | Expression::Named { value, .. } => Logic::from(value.is_none()),
    }
}

fn is_not_null(expression: &Expression) -> Logic {
    match expression {
        Expression::Column { text, nullable } => column(text, *nullable, &Test::IsNotNull),
        Expression::Constant { value, .. } | Expression::Named { value, .. } => Logic::from(value.is_some()),
    }
}

fn beyond(key: &Key) -> Logic {
    match (key.direction, &key.value) {
        (Direction::Ascending, Some(value)) => {
            Logic::any([one(&key.expression, Comparison::Greater, value), is_null(&key.expression)])
        }
        (Direction::Ascending, None) => Logic::Never,
        (Direction::Descending, Some(value)) => one(&key.expression, Comparison::Less, value),
        (Direction::Descending, None) => is_not_null(&key.expression),
    }
}

#[cfg(test)]
mod tests;
