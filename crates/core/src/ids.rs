//! Ids, one type per aggregate, so that two cannot be swapped.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A queue: a callback URL and how to call it.
    QueueId(i64)
);
id!(
    /// A message. Ids rise with insertion, though not with commit.
    MessageId(i64)
);
id!(
    /// A cron: a schedule that puts messages in a queue.
    CronId(i64)
);
id!(
    /// A key that an application uses the API with.
    ApiKeyId(i64)
);
id!(
    /// A secret that a queue's requests are signed with.
    SecretId(i64)
);
id!(
    /// A shard of the pending work, from 0; at any time one deliverer owns it.
    Shard(i32)
);
id!(
    /// How often a shard has been taken over; an owner's writes carry the epoch it got when it took the shard.
    Epoch(i64)
);
