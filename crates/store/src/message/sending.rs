//! What is particular about how a message is sent.

/// What is particular about how a message is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sending {
    /// `None`: as the queue says.
    pub connect_timeout_ms: Option<i32>,
    /// `None`: as the queue says.
    pub timeout_ms: Option<i32>,
    /// The trace that it belongs to, as [`trace::parent`](posthaste_core::trace::parent) reads it.
    pub traceparent: Option<String>,
    /// Only together with a `traceparent`.
    pub tracestate: Option<String>,
    /// Messages of a queue that have the same one are sent one at a time, in the order of their ids. 1 to 255 characters.
    pub ordering_key: Option<String>,
    /// Of what is due in its queue the highest goes first; -9 to 9.
    pub priority: i16,
}

/// What is particular about sending the messages of a batch; all `None` mostly.
#[derive(Debug, Clone, Default)]
pub(super) struct Sendings {
    pub connect_timeouts: Vec<Option<i32>>,
    pub timeouts: Vec<Option<i32>>,
    pub parents: Vec<Option<String>>,
    pub states: Vec<Option<String>>,
    pub ordering_keys: Vec<Option<String>>,
    pub priorities: Vec<i16>,
}

impl Sendings {
    pub fn push(&mut self, sending: Sending) {
        self.connect_timeouts.push(sending.connect_timeout_ms);
        self.timeouts.push(sending.timeout_ms);
        self.parents.push(sending.traceparent);
        self.states.push(sending.tracestate);
        self.ordering_keys.push(sending.ordering_key);
        self.priorities.push(sending.priority);
    }

    pub fn split_off(&mut self, at: usize) -> Sendings {
        Sendings {
            connect_timeouts: self.connect_timeouts.split_off(at),
            timeouts: self.timeouts.split_off(at),
            parents: self.parents.split_off(at),
            states: self.states.split_off(at),
            ordering_keys: self.ordering_keys.split_off(at),
            priorities: self.priorities.split_off(at),
        }
    }

    pub fn into_each(self) -> impl Iterator<Item = Sending> {
        let timeouts = self.connect_timeouts.into_iter().zip(self.timeouts);
        let traces = self.parents.into_iter().zip(self.states);
        let order = self.ordering_keys.into_iter().zip(self.priorities);
        timeouts.zip(traces).zip(order).map(|((timeouts, trace), (ordering_key, priority))| {
            let ((connect_timeout_ms, timeout_ms), (traceparent, tracestate)) = (timeouts, trace);
            Sending { connect_timeout_ms, timeout_ms, traceparent, tracestate, ordering_key, priority }
        })
    }
}
