//! Paused queues: nothing of them starts, and they cost nothing.
//!
//! A pause changes nothing of what is known, so nothing can be lost by one: what arrives joins as ever, as far as the tail
//! reaches. It only keeps the queue out of the ring, its windows without alarm and unread, and lets them give up their
//! keys, down to one each, to whoever has something to deliver. When it ends, each window wakes and is read on from where
//! it stood.

use std::collections::BTreeSet;

use super::Windows;
use crate::ids::QueueId;

impl Windows {
    /// The queues that are paused now, and no others: as they were read after everything that was told of them before.
    pub fn set_paused(&mut self, queues: &BTreeSet<QueueId>) {
        let resumed: Vec<QueueId> = self.queues.paused().filter(|queue| !queues.contains(queue)).collect();
        for queue in resumed {
            self.queues.resume(queue);
            self.settle_queue(queue);
        }
        for queue in queues {
            self.pause(*queue);
        }
    }

    /// This queue is paused as well, as a read of something else has shown.
    pub fn pause(&mut self, queue: QueueId) {
        if self.queues.pause(queue) {
            self.settle_queue(queue);
        }
    }

    /// Whether the queue is believed to be paused.
    #[must_use]
    pub fn is_paused(&self, queue: QueueId) -> bool {
        self.queues.is_paused(queue)
    }

    pub(super) fn rests(&self, window: usize) -> bool {
        self.queues.rests(self.windows[window].lane)
    }

    fn settle_queue(&mut self, queue: QueueId) {
        let Some(lane) = self.queues.lane_of(queue) else { return };
        for window in self.queues.lane(lane).windows.clone() {
            self.settle(window);
        }
    }
}
