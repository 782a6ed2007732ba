//! The domain of Posthaste: what a queue, a message and an attempt are, and every decision about them.
//!
//! Pure: no I/O, no clock, no randomness of its own. What depends on time takes `now`; what depends on chance takes the
//! chance. So every rule here can be tested over all its cases, and no rule can differ between two services.

pub mod address;
pub mod backoff;
pub mod credentials;
pub mod cron;
pub mod entity;
mod excerpt;
pub mod filter;
pub mod final_status;
pub mod gate;
pub mod ids;
pub mod listing;
pub mod queue;
pub mod refusal;
pub mod retry_after;
pub mod schedule;
pub mod scope;
pub mod seal;
pub mod signature;
pub mod target;
pub mod time;
pub mod topic;
pub mod trace;
pub mod transition;
pub mod window;
