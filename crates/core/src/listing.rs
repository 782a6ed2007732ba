//! What a list is asked for: which rows, in which order, and which part of them.

use crate::entity::Field;
use crate::filter::{Direction, Filter, Value};

/// A question for rows. The caller has validated it: every field is comparable, every value of its field's kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Listing<F> {
    pub filter: Filter<F>,
    /// Most significant first, no field twice. Whatever it says, rows that are equal in it come by id, upwards; so does
    /// everything where it is empty.
    pub order: Vec<Order<F>>,
    /// How many rows at most.
    pub limit: i64,
    /// How many rows to leave out before them.
    pub offset: i64,
    /// Where to begin, or to end.
    pub cursor: Option<Cursor<F>>,
    /// Whether bodies are read. Without, rows come as if they had none.
    pub bodies: bool,
}

/// One field of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order<F> {
    pub field: F,
    pub direction: Direction,
}

/// A place in an order.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor<F> {
    pub side: Side,
    /// A value for each field of the order, in its order; `None` is null. The id is among them.
    pub key: Vec<(F, Option<Value>)>,
}

/// On which side of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The rows that follow it.
    After,
    /// The last rows that come before it, in the same order.
    Before,
}

impl<F: Field> Listing<F> {
    /// The first `limit` rows that a filter lets through, by id.
    #[must_use]
    pub fn first(limit: i64, filter: Filter<F>) -> Listing<F> {
        Listing { filter, order: Vec::new(), limit, offset: 0, cursor: None, bodies: true }
    }
}
