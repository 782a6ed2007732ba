//! Pages of lists.

/// Which rows of a list, in its order. The caller has validated both: neither is negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many rows at most.
    pub limit: i64,
    /// How many rows to leave out before them.
    pub offset: i64,
}
