//! Who may start now.
//!
//! Two questions, asked in turn for the queue whose turn it is. [`share`]: do the others leave it a slot? [`flow`]: do its own
//! limits, its receiver's health and its rate let it start one more? Everything here is pure: counts and time are the caller's, and
//! one owner sees all messages of a queue that has a limit, so what it counts is exact.
//!
//! | part | bounds |
//! | --- | --- |
//! | [`share`] | slots that one queue may hold, by how many are free |
//! | [`congestion`] | requests in flight to one receiver, by how it answers |
//! | [`breaker`] | requests to a receiver that does not answer at all: one now and then |
//! | [`rate`] | requests a second, exactly, also over restarts |
//! | [`flow`] | all of these and `maxConcurrency`, for one queue |

pub mod breaker;
pub mod congestion;
pub mod flow;
pub mod rate;
pub mod share;

pub use share::Gate;
