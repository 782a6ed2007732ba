//! Which queues a shard that was taken over has rows of: found in steps, by ascending id, while delivery goes on.

use super::Windows;
use super::hash::IdMap;
use crate::ids::{QueueId, Shard};

/// A shard while it is owned.
#[derive(Default)]
pub(super) struct Tenure {
    pub windows: IdMap<QueueId, usize>,
    /// All queues up to this one are discovered.
    discovered: Option<QueueId>,
    /// All queues are: a queue without a window has nothing that was visible to a read.
    pub complete: bool,
    pub step_under_way: bool,
}

impl Windows {
    /// The next steps of discovery, at most `max`: shards whose queues must be read further, each with the id beyond which
    /// they are to be read. Every step must be answered with `discovered` or `discovery_failed`, in the order in which the
    /// steps of a shard were handed out.
    pub fn next_discovery(&mut self, max: usize) -> Vec<(Shard, Option<QueueId>)> {
        let due = self.undiscovered.len().min(max);
        let mut steps = Vec::with_capacity(due);
        for shard in self.undiscovered.drain(..due) {
            if let Some(tenure) = self.shards.get_mut(&shard) {
                tenure.step_under_way = true;
                steps.push((shard, tenure.discovered));
            }
        }
        steps
    }

    /// The answer to a step: the queues, by ascending id. `complete`: there are no more beyond them.
    pub fn discovered(&mut self, shard: Shard, queues: &[QueueId], complete: bool) {
        if self.is_of_former_tenure(shard) {
            return self.discovery_failed(shard);
        }
        let Some(tenure) = self.shards.get_mut(&shard) else {
            return;
        };
        if !std::mem::take(&mut tenure.step_under_way) {
            return;
        }
        tenure.discovered = tenure.discovered.max(queues.last().copied());
        for queue in queues {
            if let Some(window) = self.window_of(shard, *queue) {
                self.settle(window);
            }
        }
        if !complete && !queues.is_empty() {
            return self.undiscovered.push_back(shard);
        }
        let Some(tenure) = self.shards.get_mut(&shard) else {
            return;
        };
        tenure.complete = true;
        // From now on a window that was read to its end and is empty says no more than none.
        let windows: Vec<usize> = tenure.windows.values().copied().collect();
        for window in windows {
            self.settle(window);
        }
    }

    /// A step failed; it will be handed out again.
    pub fn discovery_failed(&mut self, shard: Shard) {
        if let Some(tenure) = self.shards.get_mut(&shard)
            && std::mem::take(&mut tenure.step_under_way)
        {
            self.undiscovered.push_back(shard);
        }
    }

    /// Whether this answer may be to a step of a former tenure, whose snapshot can be older than the arrivals that the
    /// present one began with. Steps carry no mark; but their answers come in order, so after a release with a step under
    /// way it is the next one. If its answer never comes, the first of this tenure is read twice, no harm.
    fn is_of_former_tenure(&mut self, shard: Shard) -> bool {
        let Some(abandoned) = self.abandoned_steps.get_mut(&shard) else {
            return false;
        };
        *abandoned -= 1;
        if *abandoned == 0 {
            self.abandoned_steps.remove(&shard);
        }
        true
    }
}
