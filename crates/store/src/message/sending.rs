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
}

/// What is particular about sending the messages of a batch; all `None` mostly.
#[derive(Debug, Clone, Default)]
pub(super) struct Sendings {
    pub connect_timeouts: Vec<Option<i32>>,
    pub timeouts: Vec<Option<i32>>,
    pub parents: Vec<Option<String>>,
    pub states: Vec<Option<String>>,
}

impl Sendings {
    pub fn push(&mut self, sending: Sending) {
        self.connect_timeouts.push(sending.connect_timeout_ms);
        self.timeouts.push(sending.timeout_ms);
        self.parents.push(sending.traceparent);
        self.states.push(sending.tracestate);
    }

    pub fn split_off(&mut self, at: usize) -> Sendings {
        Sendings {
            connect_timeouts: self.connect_timeouts.split_off(at),
            timeouts: self.timeouts.split_off(at),
            parents: self.parents.split_off(at),
            states: self.states.split_off(at),
        }
    }

    pub fn into_each(self) -> impl Iterator<Item = Sending> {
        let timeouts = self.connect_timeouts.into_iter().zip(self.timeouts);
        timeouts.zip(self.parents.into_iter().zip(self.states)).map(
            |((connect_timeout_ms, timeout_ms), (traceparent, tracestate))| Sending {
                connect_timeout_ms,
                timeout_ms,
                traceparent,
                tracestate,
            },
        )
    }
}
