//! The all-in-one: an embedded PostgreSQL, the three services in one process, and the operator's commands.
//!
//! | module | holds |
//! | --- | --- |
//! | [`embedded`] | a PostgreSQL server of our own |
//! | [`dev`] | everything in one process |
//! | [`announcement`] | what `posthaste dev` tells the person who started it |
//! | [`migrate`] | the command that brings a database up to date |

pub mod announcement;
pub mod dev;
pub mod embedded;
pub mod migrate;
mod secrets_key;
