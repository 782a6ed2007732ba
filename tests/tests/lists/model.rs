//! Lists as they should be: a sorted vector.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use posthaste_core::entity::{Field, Kind};
use posthaste_core::filter::{Clause, Comparison, Condition, Direction, Filter, Test, Value};
use posthaste_core::listing::{Cursor, Listing, Order, Side};
use posthaste_core::time::Timestamp;

/// Numbers that look random and are the same in every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Below `sides`.
    pub fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(sides).unwrap()).unwrap()
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.roll(chances) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len())].clone()
    }
}

/// A row by its fields; a field that it lacks is null.
pub type Row<F> = BTreeMap<F, Value>;

fn id<F: Field>() -> F {
    F::from_name("id").unwrap()
}

/// The id of a row.
pub fn id_of<F: Field>(row: &Row<F>) -> i64 {
    match row[&id()] {
        Value::Number(number) => number,
        ref other => panic!("{other:?}"),
    }
}

/// The order that a list is in, to its last field.
pub fn whole_order<F: Field>(listing: &Listing<F>) -> Vec<Order<F>> {
    let mut order = listing.order.clone();
    match order.iter().position(|order| order.field == id()) {
        Some(last) => order.truncate(last + 1),
        None => order.push(Order { field: id(), direction: Direction::Ascending }),
    }
    order
}

/// What a list should be, of `rows`; `lets_through` says which rows a filter lets through.
pub fn find<F: Field>(
    rows: &[Row<F>],
    listing: &Listing<F>,
    lets_through: impl Fn(&Filter<F>, &Row<F>) -> bool,
) -> Vec<i64> {
    let order = whole_order(listing);
    let mut found: Vec<&Row<F>> = rows.iter().filter(|row| lets_through(&listing.filter, row)).collect();
    let key = |row: &Row<F>| order.iter().map(|order| row.get(&order.field).cloned()).collect::<Vec<_>>();
    let compare = |left: &[Option<Value>], right: &[Option<Value>]| {
        let each = order.iter().zip(left.iter().zip(right)).map(|(order, (left, right))| {
            let up = match (left, right) {
                (Some(left), Some(right)) => left.cmp(right),
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
            };
            if order.direction == Direction::Ascending { up } else { up.reverse() }
        });
        each.fold(Ordering::Equal, Ordering::then)
    };
    found.sort_by(|left, right| compare(&key(left), &key(right)));
    let (limit, offset) = (usize::try_from(listing.limit).unwrap(), usize::try_from(listing.offset).unwrap());
    let place = |cursor: &Cursor<F>| -> Vec<Option<Value>> {
        order
            .iter()
            .map(|order| cursor.key.iter().find(|(field, _)| *field == order.field).unwrap().1.clone())
            .collect()
    };
    let ids = |rows: Vec<&Row<F>>| rows.into_iter().map(id_of).collect();
    match &listing.cursor {
        None => ids(found.into_iter().skip(offset).take(limit).collect()),
        Some(cursor) if cursor.side == Side::After => {
            let place = place(cursor);
            let after = found.into_iter().filter(|row| compare(&key(row), &place).is_gt());
            ids(after.skip(offset).take(limit).collect())
        }
        Some(cursor) => {
            let place = place(cursor);
            let before = found.into_iter().rev().filter(|row| compare(&key(row), &place).is_lt());
            let mut last: Vec<_> = before.skip(offset).take(limit).collect();
            last.reverse();
            ids(last)
        }
    }
}

/// A place right at a row.
pub fn cursor_at<F: Field>(listing: &Listing<F>, row: &Row<F>, side: Side) -> Cursor<F> {
    let key = whole_order(listing).iter().map(|order| (order.field, row.get(&order.field).cloned())).collect();
    Cursor { side, key }
}

/// A question that may be asked of `rows`.
pub fn random<F: Field>(dice: &mut Dice, rows: &[Row<F>]) -> Listing<F> {
    let mut clauses = Vec::new();
    for _ in 0..dice.roll(4) {
        clauses.push(if dice.one_in(4) {
            Clause::Any((0..dice.roll(4)).map(|_| condition(dice, rows)).collect())
        } else {
            Clause::One(condition(dice, rows))
        });
    }
    let mut order: Vec<Order<F>> = Vec::new();
    for _ in 0..dice.roll(4) {
        let field = comparable(dice);
        if order.iter().all(|order| order.field != field) {
            let direction = if dice.one_in(2) { Direction::Ascending } else { Direction::Descending };
            order.push(Order { field, direction });
        }
    }
    let mut listing = Listing {
        filter: Filter { all: clauses },
        order,
        limit: dice.pick(&[0, 1, 3, 10, 50, 1000]),
        offset: if dice.one_in(3) { i64::try_from(dice.roll(20)).unwrap() } else { 0 },
        cursor: None,
        bodies: true,
    };
    if dice.one_in(2) {
        let side = if dice.one_in(2) { Side::After } else { Side::Before };
        let mut cursor = cursor_at(&listing, &dice.pick(rows), side);
        if dice.one_in(4) {
            // A place where there is no row, perhaps.
            for (field, value) in &mut cursor.key {
                if *field != id() && dice.one_in(2) {
                    *value = dice.pick(rows).get(field).cloned();
                }
            }
        }
        listing.cursor = Some(cursor);
    }
    listing
}

fn comparable<F: Field>(dice: &mut Dice) -> F {
    let fields: Vec<F> = F::ALL.iter().copied().filter(|field| field.is_comparable()).collect();
    dice.pick(&fields)
}

fn condition<F: Field>(dice: &mut Dice, rows: &[Row<F>]) -> Condition<F> {
    let field = comparable::<F>(dice);
    let test = match dice.roll(if field.kind() == Kind::Text { 12 } else { 10 }) {
        0..=5 => {
            use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
            let comparison = dice.pick(&[Equal, Equal, NotEqual, Greater, GreaterOrEqual, Less, LessOrEqual]);
            Test::Compare(comparison, value(dice, rows, field))
        }
        6 => Test::IsNull,
        7 => Test::IsNotNull,
        8 => Test::In((0..dice.roll(4)).map(|_| value(dice, rows, field)).collect()),
        9 => Test::NotIn((0..dice.roll(4)).map(|_| value(dice, rows, field)).collect()),
        10 => Test::Like(pattern(dice, rows, field)),
        _ => Test::Ilike(pattern(dice, rows, field).to_uppercase()),
    };
    Condition { field, test }
}

/// Mostly one that a row has.
fn value<F: Field>(dice: &mut Dice, rows: &[Row<F>], field: F) -> Value {
    if !dice.one_in(10)
        && let Some(value) = dice.pick(rows).get(&field)
    {
        return value.clone();
    }
    match field.kind() {
        Kind::Id | Kind::Integer => Value::Number(dice.pick(&[0, 1, 2, 3, 150, i64::MIN, i64::MAX])),
        Kind::Text => {
            Value::Text(dice.pick(&["", "a", "b\0c", "\0", "B", "ü", "pending", "unknown", "failed"]).to_owned())
        }
        Kind::Boolean => Value::Boolean(dice.one_in(2)),
        Kind::Time => Value::Time(Timestamp(dice.pick(&[0, i64::MIN, i64::MAX, 1_700_000_000_000_000]))),
        Kind::Json | Kind::AnyJson => panic!("{field:?} is not compared"),
    }
}

fn pattern<F: Field>(dice: &mut Dice, rows: &[Row<F>], field: F) -> String {
    let Value::Text(text) = value(dice, rows, field) else { panic!("{field:?} is text") };
    let mut pattern = String::new();
    for c in text.chars().filter(char::is_ascii) {
        match dice.roll(8) {
            0 => pattern.push('%'),
            1 => pattern.push('_'),
            2 => pattern.push('\\'),
            3 => pattern.extend(['\\', c]),
            _ => pattern.push(c),
        }
    }
    pattern.push_str(dice.pick(&["", "", "%", "\\", "\\\\"]));
    pattern
}
