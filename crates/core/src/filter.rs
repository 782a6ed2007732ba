//! Which rows: conditions on the fields of an entity.
//!
//! Two things must agree on what a condition means: the SQL that a list is filtered with (`store`), and
//! [`Filter::matches`], by which a rule's checks are held against a row that is about to be written. Both follow SQL: a
//! comparison with null is not true.

pub mod stored;

use crate::entity::Field;
use crate::time::Timestamp;

/// Conditions that must all hold. The default, none, holds for every row.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter<F> {
    pub all: Vec<Clause<F>>,
}

impl<F> Default for Filter<F> {
    fn default() -> Filter<F> {
        Filter { all: Vec::new() }
    }
}

/// One condition, or several of which one must hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Clause<F> {
    One(Condition<F>),
    /// Of none, none holds.
    Any(Vec<Condition<F>>),
}

/// A field, and what is asked of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition<F> {
    pub field: F,
    pub test: Test,
}

/// What is asked of a field. Values are of the field's kind: see [`Value`].
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Compare(Comparison, Value),
    IsNull,
    IsNotNull,
    In(Vec<Value>),
    NotIn(Vec<Value>),
    /// SQL's LIKE: `%` stands for any text, `_` for one character, `\` takes the meaning of the next. For text only.
    Like(String),
    /// The same without case.
    Ilike(String),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// A value that is not null. Text is compared by its bytes where it is ordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// Of [`Kind::Id`](crate::entity::Kind::Id) and [`Kind::Integer`](crate::entity::Kind::Integer).
    Number(i64),
    Text(String),
    Boolean(bool),
    Time(Timestamp),
}

/// Up or down; null is the greatest, as in SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    Ascending,
    Descending,
}

impl<F: Field> Filter<F> {
    /// Exactly the rows whose `field` is `value`.
    #[must_use]
    pub fn equal(field: F, value: Value) -> Filter<F> {
        Filter::default().and(Condition { field, test: Test::Compare(Comparison::Equal, value) })
    }

    /// With one more condition.
    #[must_use]
    pub fn and(mut self, condition: Condition<F>) -> Filter<F> {
        self.all.push(Clause::One(condition));
        self
    }

    /// What both let through.
    #[must_use]
    pub fn intersect(mut self, other: Filter<F>) -> Filter<F> {
        self.all.extend(other.all);
        self
    }

    /// Whether every row is let through.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Every field that a condition is about, as often as it is.
    pub fn fields(&self) -> impl Iterator<Item = F> {
        let conditions = self.all.iter().flat_map(|clause| match clause {
            Clause::One(condition) => std::slice::from_ref(condition),
            Clause::Any(conditions) => conditions,
        });
        conditions.map(|condition| condition.field)
    }

    /// Whether a row is let through, whose fields `value` tells; `None` is null.
    #[must_use]
    pub fn matches(&self, value: impl Fn(F) -> Option<Value>) -> bool {
        self.all.iter().all(|clause| match clause {
            Clause::One(condition) => condition.matches(&value),
            Clause::Any(conditions) => conditions.iter().any(|condition| condition.matches(&value)),
        })
    }
}

impl<F: Field> Condition<F> {
    fn matches(&self, value: &impl Fn(F) -> Option<Value>) -> bool {
        let value = value(self.field);
        match &self.test {
            Test::IsNull => value.is_none(),
            Test::IsNotNull => value.is_some(),
            Test::Compare(comparison, with) => value.is_some_and(|value| comparison.holds(&value, with)),
            Test::In(values) => value.is_some_and(|value| values.contains(&value)),
            Test::NotIn(values) => value.is_some_and(|value| !values.contains(&value)),
            Test::Like(pattern) => value.is_some_and(|value| like(&value, pattern, false)),
            Test::Ilike(pattern) => value.is_some_and(|value| like(&value, pattern, true)),
        }
    }
}

impl Comparison {
    /// Whether `left` and `right` compare so.
    #[must_use]
    pub fn holds(self, left: &Value, right: &Value) -> bool {
        match self {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
        }
    }
}

fn like(value: &Value, pattern: &str, fold: bool) -> bool {
    let Value::Text(text) = value else { return false };
    let characters =
        |text: &str| -> Vec<char> { if fold { text.to_lowercase().chars().collect() } else { text.chars().collect() } };
    let pattern = tokens(&characters(pattern));
    let text = characters(text);
    // Where the last `%` stood, and how much it has taken so far: a mismatch lets it take one more. So the work is at
    // most text times pattern, whatever the pattern.
    let (mut at, mut next, mut wild) = (0, 0, None);
    while at < text.len() {
        match pattern.get(next) {
            Some(Token::Any) => {
                wild = Some((next, at));
                next += 1;
            }
            Some(Token::One) => (at, next) = (at + 1, next + 1),
            Some(Token::Character(c)) if *c == text[at] => (at, next) = (at + 1, next + 1),
            Some(Token::Character(_)) | None => match wild {
                Some((star, taken)) => {
                    wild = Some((star, taken + 1));
                    (at, next) = (taken + 1, star + 1);
                }
                None => return false,
            },
        }
    }
    pattern[next..].iter().all(|token| *token == Token::Any)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Any,
    One,
    Character(char),
}

fn tokens(pattern: &[char]) -> Vec<Token> {
    let mut rest = pattern.iter().copied();
    let mut tokens = Vec::with_capacity(pattern.len());
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '%' => Token::Any,
            '_' => Token::One,
            '\\' => Token::Character(rest.next().unwrap_or('\\')),
            other => Token::Character(other),
        });
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::QueueField;

    fn holds(test: Test, value: Option<Value>) -> bool {
        let filter = Filter::default().and(Condition { field: QueueField::Name, test });
        filter.matches(|_| value.clone())
    }

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn comparisons_follow_sql() {
        use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
        for (comparison, with_less, with_same, with_greater) in [
            (Equal, false, true, false),
            (NotEqual, true, false, true),
            (Greater, true, false, false),
            (GreaterOrEqual, true, true, false),
            (Less, false, false, true),
            (LessOrEqual, false, true, true),
        ] {
            for (with, expected) in [(4, with_less), (5, with_same), (6, with_greater)] {
                let test = Test::Compare(comparison, Value::Number(with));
                assert_eq!(holds(test.clone(), Some(Value::Number(5))), expected, "5 {comparison:?} {with}");
                assert!(!holds(test, None), "null {comparison:?} {with}");
            }
        }
    }

    #[test]
    fn null_is_found_only_by_asking_for_it() {
        assert!(holds(Test::IsNull, None) && !holds(Test::IsNull, Some(text(""))));
        assert!(!holds(Test::IsNotNull, None) && holds(Test::IsNotNull, Some(text(""))));
        for test in
            [Test::In(vec![text("a")]), Test::NotIn(vec![text("a")]), Test::Like("%".into()), Test::Ilike("%".into())]
        {
            assert!(!holds(test, None));
        }
        assert!(!holds(Test::In(vec![]), Some(text("a"))) && holds(Test::NotIn(vec![]), Some(text("a"))));
    }

    #[test]
    fn like_follows_sql() {
        for (pattern, value, expected) in [
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("a%", "abcd", true),
            ("%d", "abcd", true),
            ("%b%d%", "abcd", true),
            ("%bd%", "abcd", false),
            ("a__d", "abcd", true),
            ("a_d", "abcd", false),
            ("%", "", true),
            ("_", "", false),
            ("", "", true),
            ("50\\%", "50%", true),
            ("50\\%", "50x", false),
            ("a%a%a", "aa", false),
            ("%aab", "aaaab", true),
            ("ü_", "üß", true),
            ("A", "a", false),
        ] {
            assert_eq!(holds(Test::Like(pattern.into()), Some(text(value))), expected, "{value} LIKE {pattern}");
        }
        assert!(holds(Test::Ilike("ÄB%".into()), Some(text("äBC"))));
    }

    #[test]
    fn like_takes_its_time_in_bounds() {
        let pattern = "%a".repeat(200) + "b";
        assert!(!holds(Test::Like(pattern), Some(text(&"a".repeat(5000)))));
    }

    #[test]
    fn clauses_are_all_or_any() {
        let is = |field, name: &str| Condition { field, test: Test::Compare(Comparison::Equal, text(name)) };
        let row = |field| match field {
            QueueField::Name => Some(text("q")),
            QueueField::Method => Some(text("POST")),
            _ => None,
        };
        let mut filter = Filter::default().and(is(QueueField::Name, "q"));
        assert!(filter.matches(row));
        filter.all.push(Clause::Any(vec![is(QueueField::Method, "GET"), is(QueueField::Method, "POST")]));
        assert!(filter.matches(row));
        assert_eq!(filter.fields().collect::<Vec<_>>(), [QueueField::Name, QueueField::Method, QueueField::Method]);
        let nothing = Filter { all: vec![Clause::Any(vec![])] };
        assert!(!filter.clone().intersect(nothing).matches(row));
        assert!(!filter.and(is(QueueField::Name, "p")).matches(row));
        assert!(Filter::<QueueField>::default().matches(row));
    }
}
