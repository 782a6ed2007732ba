//! x
pub mod embedded;
