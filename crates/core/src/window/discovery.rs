//! Which queues, and priorities of them, a shard that was taken over has rows of: found in steps, in ascending order, while
//! delivery goes on.

use super::hash::IdMap;
use super::{Band, Windows};
use crate::ids::Shard;

/// A shard while it is owned.
#[derive(Default)]
pub(super) struct Tenure {
    pub windows: IdMap<Band, usize>,
    /// All up to this one are discovered.
    discovered: Option<Band>,
    /// All queues are: a queue without a window has nothing that was visible to a read.
    pub complete: bool,
    pub step_under_way: bool,
}

impl Windows {
    /// The next steps of discovery, at most `max`: shards whose queues must be read further, each with what was found last, beyond
    /// which it is to be read. Every step must be answered with `discovered` or `discovery_failed`, in the order in which the
    /// steps of a shard were handed out.
    pub fn next_discovery(&mut self, max: usize) -> Vec<(Shard, Option<Band>)> {
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

    /// The answer to a step, ascending. `complete`: there are no more beyond them.
    pub fn discovered(&mut self, shard: Shard, bands: &[Band], complete: bool) {
        if self.is_of_former_tenure(shard) {
            return self.discovery_failed(shard);
        }
        let Some(tenure) = self.shards.get_mut(&shard) else {
            return;
        };
        if !std::mem::take(&mut tenure.step_under_way) {
            return;
        }
        tenure.discovered = tenure.discovered.max(bands.last().copied());
        for band in bands {
            if let Some(window) = self.window_of(shard, *band) {
                self.settle(window);
            }
        }
        if !complete && !bands.is_empty() {
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
