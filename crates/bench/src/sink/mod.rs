//! The receiver of all deliveries: an HTTP server in a process of its own, so that its CPU is counted apart.
//!
//! It answers every delivery with an empty 200 as fast as one thread can, and remembers which numbers arrived and when.

mod handle;
mod ledger;
mod server;

pub use handle::Sink;
pub use ledger::{Latency, Stats, histogram};
pub use server::run;
