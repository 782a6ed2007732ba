//! The label `queue`, bounded: a deployment may have a hundred thousand queues, and a time series for each would drown whoever keeps
//! them.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::environment::Faults;
use crate::parse;

/// What all queues share that have no label of their own.
pub const OTHER: &str = "other";

/// What `METRICS_QUEUES` says: how many queues may have metrics of their own, 0 to 10,000. Default 100.
pub fn most_queues(faults: &mut Faults, given: Option<String>) -> usize {
    faults.or("METRICS_QUEUES", 100, given, parse::integer(0..=10_000))
}

/// Which queues have a label of their own: the first so many that the process has met. Clones share them.
#[derive(Debug, Clone)]
pub struct QueueLabels {
    most: usize,
    known: Arc<Mutex<HashSet<i64>>>,
}

impl QueueLabels {
    /// At most so many; with 0, all are [`OTHER`].
    #[must_use]
    pub fn new(most: usize) -> QueueLabels {
        QueueLabels { most, known: Arc::default() }
    }

    /// The queue's id, or [`OTHER`].
    #[must_use]
    pub fn label(&self, queue: i64) -> String {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&queue) || (known.len() < self.most && known.insert(queue)) {
            queue.to_string()
        } else {
            OTHER.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_queues_keep_their_labels() {
        let labels = QueueLabels::new(2);
        assert_eq!([7, 8, 9, 7].map(|queue| labels.label(queue)), ["7", "8", "other", "7"]);
        assert_eq!(labels.clone().label(8), "8");
        assert_eq!(QueueLabels::new(0).label(7), OTHER);
    }
}
