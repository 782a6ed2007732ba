//! What becomes of a message after an attempt: the one place where that is decided.
//!
//! | the attempt | verdict |
//! | --- | --- |
//! | answered 200–299 | delivered |
//! | answered 489, a final status of the queue's, or with `Posthaste-No-Retry: true` | failed |
//! | answered anything else, or failed, and a retry is left | retried after the backoff's wait |
//! | answered anything else, or failed, and no retry is left | failed |
//! | not made: the message was cancelled, or its queue is gone | cancelled |
//! | not made: the message was too old, or had expired | expired |
//!
//! A retry is left while fewer than `max_retries` were made *and* it would start before the message is `max_age` old *and*
//! before it expires. With 429 and 503 a receiver may ask for a longer wait ([`crate::retry_after`]). A redirect is a failure like any
//! other: following it would let a receiver choose the address that is called. Every verdict but "retried" is final; failed messages go
//! to the dead letter queue, expired ones if their queue says so.
//!
//! An answer of 410 besides pauses the queue ([`pauses_queue`]): the receiver says that it is gone for good.

use std::fmt;
use std::time::Duration;

use crate::backoff::Backoff;
use crate::final_status::FinalStatuses;

/// Through how many dead letter queues a message may go. Queues can name each other in a circle; this ends it.
pub const MAX_DEAD_LETTER_HOPS: i16 = 8;

/// The status by which a receiver says that it will never take this message, as with QStash.
const NO_RETRY_STATUS: u16 = 489;

/// How many dead letter queues a message has been through once it is put in the next, or `None` where it has been
/// through [`MAX_DEAD_LETTER_HOPS`] already and ends here. `hops` is how many it has been through, 0 for an original.
#[must_use]
pub fn next_dead_letter_hop(hops: i16) -> Option<i16> {
    (hops < MAX_DEAD_LETTER_HOPS).then(|| hops.max(0) + 1)
}

macro_rules! codes {
    ($(#[$enum_doc:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $code:literal,)* }) => {
        $(#[$enum_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// Every one there is.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The stable code, as it is stored and shown.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $code,)*
                }
            }

            /// The inverse of `as_str`.
            #[must_use]
            pub fn parse(code: &str) -> Option<$name> {
                match code {
                    $($code => Some($name::$variant),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

codes! {
    /// Why an attempt did not deliver. The codes are stored with every attempt and shown to users: never rename one.
    ErrorClass {
        /// The host name could not be resolved.
        Dns => "dns",
        /// Nothing listens there, or the network has no way to it.
        Refused => "refused",
        /// The receiver closed the connection before its answer was complete.
        Reset => "reset",
        /// No TLS session: a certificate that does not verify, or no common protocol.
        Tls => "tls",
        /// No connection within the connect timeout.
        ConnectTimeout => "connect_timeout",
        /// No complete answer within the time for the whole attempt.
        TotalTimeout => "total_timeout",
        /// The callback resolves to an address that may not be called, or has a port or scheme that may not be; see
        /// [`crate::address`].
        BlockedAddress => "blocked_address",
        /// The forward proxy cannot be reached, or refuses.
        Proxy => "proxy",
        /// The OAuth2 token that the queue's credentials ask for cannot be had; no request was made.
        Oauth => "oauth",
        /// The queue's secrets cannot be opened by this deliverer, so that nothing could be signed; no request was made.
        Secrets => "secrets",
        /// An answer with a status other than 2xx.
        Status => "status",
        /// The answer is not HTTP, or breaks its rules.
        Protocol => "protocol",
        /// No request can be made of what is stored: it was stored past the API's checks.
        InvalidRequest => "invalid_request",
        /// The queue was deleted; no request was made.
        QueueDeleted => "queue_deleted",
        /// The message was cancelled; no request was made.
        Cancelled => "cancelled",
        /// The message was older than the queue's maximum age, or had reached the end that it was given itself; no request
        /// was made.
        Expired => "expired",
    }
}

/// What an answer says about the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signals {
    /// The HTTP status.
    pub status: u16,
    /// `Retry-After`, where it can be understood.
    pub retry_after: Option<Duration>,
    /// `Posthaste-No-Retry: true`.
    pub no_retry: bool,
}

impl Signals {
    /// An answer that says nothing but this status.
    #[must_use]
    pub const fn status(status: u16) -> Signals {
        Signals { status, retry_after: None, no_retry: false }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptResult {
    /// A complete answer.
    Answered(Signals),
    /// No answer, for this reason.
    Error(ErrorClass),
}

impl AttemptResult {
    /// The class that is stored with the attempt; `None` where it delivered.
    #[must_use]
    pub const fn error_class(self) -> Option<ErrorClass> {
        match self {
            AttemptResult::Answered(Signals { status: 200..=299, .. }) => None,
            AttemptResult::Answered(Signals { status: 0..=199 | 300..=u16::MAX, .. }) => Some(ErrorClass::Status),
            AttemptResult::Error(class) => Some(class),
        }
    }
}

/// Why the queue is to be paused after this attempt; `None` where it is not.
#[must_use]
pub const fn pauses_queue(result: AttemptResult) -> Option<&'static str> {
    match result {
        AttemptResult::Answered(Signals { status: 410, .. }) => Some("the receiver answered 410 Gone"),
        AttemptResult::Answered(_) | AttemptResult::Error(_) => None,
    }
}

/// What becomes of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The receiver has it.
    Delivered,
    /// Another attempt follows `wait` after this one ended.
    Retried {
        /// From the end of the attempt to the earliest start of the next.
        wait: Duration,
    },
    /// The retries are over.
    Failed,
    /// Someone asked not to deliver it.
    Cancelled,
    /// It became too old before it could be tried.
    Expired,
}

impl Verdict {
    /// The code stored as the attempt's `outcome`; stable.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Delivered => "delivered",
            Verdict::Retried { .. } => "retried",
            Verdict::Failed => "failed",
            Verdict::Cancelled => "cancelled",
            Verdict::Expired => "expired",
        }
    }

    /// Whether this ends the message.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Verdict::Retried { .. } => false,
            Verdict::Delivered | Verdict::Failed | Verdict::Cancelled | Verdict::Expired => true,
        }
    }

    /// Whether the message goes to its queue's dead letter queue, if it has one: it was wanted and did not arrive. What expired
    /// goes there only where the queue says so.
    #[must_use]
    pub const fn is_dead_letter(self, with_expired: bool) -> bool {
        match self {
            Verdict::Failed => true,
            Verdict::Expired => with_expired,
            Verdict::Delivered | Verdict::Retried { .. } | Verdict::Cancelled => false,
        }
    }
}

/// How often, and for how long, a queue's messages are retried.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// The waits between attempts.
    pub backoff: Backoff,
    /// Retries after the first attempt, so N allows N + 1 attempts; `None` retries until `max_age` is over.
    pub max_retries: Option<u32>,
    /// No attempt starts once the message is this old.
    pub max_age: Duration,
    /// The answers after which there is no retry.
    pub final_statuses: FinalStatuses,
}

impl Default for RetryPolicy {
    /// What a queue has that sets nothing: 5 retries, 7 days.
    fn default() -> RetryPolicy {
        RetryPolicy {
            backoff: Backoff::default(),
            max_retries: Some(5),
            max_age: Duration::from_secs(7 * 24 * 60 * 60),
            final_statuses: FinalStatuses::default(),
        }
    }
}

impl RetryPolicy {
    /// Whether a message of this age may no longer be tried.
    #[must_use]
    pub fn is_too_old(&self, age: Duration) -> bool {
        age >= self.max_age
    }
}

/// How much time a message has had, and still has, at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Since it was to be delivered.
    pub age: Duration,
    /// Until it expires, zero from then on; `None` where only the queue's maximum age ends it.
    pub left: Option<Duration>,
}

impl Lifetime {
    /// The same message, that much later.
    #[must_use]
    pub fn after(self, by: Duration) -> Lifetime {
        Lifetime { age: self.age.saturating_add(by), left: self.left.map(|left| left.saturating_sub(by)) }
    }

    fn has_expired(self) -> bool {
        self.left.is_some_and(|left| left.is_zero())
    }
}

/// Whether a message whose turn has come is recorded as expired instead of sent. Its own end counts always; the queue's
/// maximum age only for a retry, so that an outage of ours does not expire what nobody ever tried to deliver.
#[must_use]
pub fn is_expired(retries_done: u32, lifetime: Lifetime, policy: &RetryPolicy) -> bool {
    lifetime.has_expired() || retries_done > 0 && policy.is_too_old(lifetime.age)
}

/// Decides. `retries_done` is how many retries came before this attempt (0 for the first attempt), `lifetime` the
/// message's at the end of the attempt, `chance` a random number from 0 to 1 for the backoff's jitter.
#[must_use]
pub fn decide(
    result: AttemptResult,
    retries_done: u32,
    lifetime: Lifetime,
    policy: &RetryPolicy,
    chance: f64,
) -> Verdict {
    let asked_to_wait = match result {
        AttemptResult::Answered(Signals { status: 200..=299, .. }) => return Verdict::Delivered,
        AttemptResult::Error(ErrorClass::Cancelled | ErrorClass::QueueDeleted) => return Verdict::Cancelled,
        AttemptResult::Error(ErrorClass::Expired) => return Verdict::Expired,
        AttemptResult::Answered(Signals { status, no_retry, .. })
            if no_retry || status == NO_RETRY_STATUS || policy.final_statuses.contains(status) =>
        {
            return Verdict::Failed;
        }
        AttemptResult::Answered(Signals { status: 429 | 503, retry_after, .. }) => retry_after,
        AttemptResult::Answered(Signals { status: 0..=199 | 300..=u16::MAX, .. })
        | AttemptResult::Error(
            ErrorClass::Dns
            | ErrorClass::Refused
            | ErrorClass::Reset
            | ErrorClass::Tls
            | ErrorClass::ConnectTimeout
            | ErrorClass::TotalTimeout
            | ErrorClass::BlockedAddress
            | ErrorClass::Proxy
            | ErrorClass::Oauth
            | ErrorClass::Secrets
            | ErrorClass::Status
            | ErrorClass::Protocol
            | ErrorClass::InvalidRequest,
        ) => None,
    };
    if policy.max_retries.is_some_and(|max| retries_done >= max) {
        return Verdict::Failed;
    }
    // Never earlier than the receiver asks, and never earlier than the queue's backoff.
    let wait = policy.backoff.wait(retries_done, chance).max(asked_to_wait.unwrap_or_default());
    // A retry that would start too late is not waited for: whoever watches the dead letters learns of it now.
    let then = lifetime.after(wait);
    if policy.is_too_old(then.age) || then.has_expired() { Verdict::Failed } else { Verdict::Retried { wait } }
}

#[cfg(test)]
mod tests;
