//! API keys: who shows one, and what it is good for.
//!
//! What is known of a key is forgotten after a second, so that one that is revoked, or expires, is refused by every API
//! within two. Keys that are not known are remembered as well, and looked up only so often: who tries keys does not keep
//! the database busy, and those who have one are not slowed down by it. The rate limit of a key is kept by each API
//! process for itself.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use moka::future::Cache;
use posthaste_core::entity::{Entity, Field};
use posthaste_core::filter::{Clause, Condition, Filter, Test, Value};
use posthaste_core::ids::ApiKeyId;
use posthaste_core::scope::{Access, Scope};
use posthaste_store::api_key::{self, ApiKey};

use super::caller::Caller;
use super::grant::{Grant, Operation};
use super::rules::Rules;
use super::secret::{Hash, digest};
use crate::database::Database;
use crate::error::ApiError;

/// What every key begins with, so that it is recognised where it should not be.
const PREFIX: &str = "phk_";
/// The characters of 32 bytes in base64.
const LENGTH: usize = 43;
/// How much of a key is shown later, after its beginning.
const SHOWN: usize = 6;

/// How long what is known of a key counts.
const KNOWN_FOR: Duration = Duration::from_secs(1);
/// How many keys are known at most, good and bad.
const MOST_KNOWN: u64 = 20_000;
/// How long a key that is not used any more keeps its place among those that were good.
const REMEMBERED_FOR: Duration = Duration::from_secs(600);
/// Look-ups of keys that were not good lately, a second.
const STRANGERS: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
/// How often the use of a key is noted.
const NOTED_EVERY: Duration = Duration::from_secs(60);

/// A new key: what its owner gets, once.
#[must_use]
pub fn generate() -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()))
}

/// What is stored of a key: its hash, and what is shown of it.
#[must_use]
pub fn stored(key: &str) -> (Hash, String) {
    (digest(key.as_bytes()), key.chars().take(PREFIX.len() + SHOWN).collect())
}

/// Whether a text is meant as a key of ours.
#[must_use]
pub fn is_key(text: &str) -> bool {
    text.starts_with(PREFIX)
}

fn is_well_formed(key: &str) -> bool {
    let characters = |rest: &str| rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    key.strip_prefix(PREFIX).is_some_and(|rest| rest.len() == LENGTH && characters(rest))
}

/// What a key is good for.
#[derive(Debug, Clone)]
pub(super) struct KeyAccess {
    scopes: Vec<Scope>,
    /// The ids of the queues that it may touch; `None`: all.
    queues: Option<Vec<Value>>,
}

impl KeyAccess {
    fn of(key: &ApiKey) -> KeyAccess {
        let queues = key.queue_ids.as_ref().map(|ids| ids.iter().map(|id| Value::Number(id.0)).collect());
        KeyAccess { scopes: key.scopes.clone(), queues }
    }

    /// `None`: nothing.
    pub(super) fn grant<F: Field>(&self, operation: Operation) -> Option<Grant<F>> {
        let (access, writes) = match operation {
            Operation::Find => (Access::Read, false),
            Operation::Save | Operation::UpdateMany => (Access::Write, true),
            Operation::Delete => (Access::Write, false),
        };
        if !self.scopes.contains(&Scope { entity: F::ENTITY, access }) {
            return None;
        }
        let filter = match &self.queues {
            None => Filter::default(),
            Some(queues) => bounds(queues, writes)?,
        };
        Some(Grant { filter, ..Grant::everything() })
    }
}

/// The rows that belong to these queues. A new queue is none of them, so a key with a list of queues creates none. Neither
/// may it send what fails in its queues to somebody else's.
fn bounds<F: Field>(queues: &[Value], writes: bool) -> Option<Filter<F>> {
    let among = |name: &str| Some(Condition { field: F::from_name(name)?, test: Test::In(queues.to_vec()) });
    let of_queue = match F::ENTITY {
        Entity::Queue => "id",
        Entity::Message | Entity::Cron => "queueId",
    };
    let mut filter = Filter::default().and(among(of_queue)?);
    if writes && F::ENTITY == Entity::Queue {
        let dead_letters = among("deadLetterQueueId")?;
        let none = Condition { field: dead_letters.field, test: Test::IsNull };
        filter.all.push(Clause::Any(vec![none, dead_letters]));
    }
    Some(filter)
}

/// The keys that requests come with.
#[derive(Debug)]
pub(super) struct ApiKeys {
    database: Database,
    rules: Arc<Rules>,
    /// What is known right now; `None`: that a key is not good.
    known: Cache<Hash, Option<Arc<Known>>>,
    /// What is remembered of keys that were good lately.
    uses: Cache<Hash, Arc<Use>>,
    strangers: DefaultDirectRateLimiter,
}

/// A key that is good.
#[derive(Debug)]
struct Known {
    id: ApiKeyId,
    caller: Caller,
    uses: Arc<Use>,
}

/// How much a key was used.
#[derive(Debug)]
struct Use {
    limiter: Option<DefaultDirectRateLimiter>,
    /// When that was noted in the database.
    noted: Mutex<Option<Instant>>,
}

impl ApiKeys {
    pub(super) fn new(database: Database, rules: Arc<Rules>) -> ApiKeys {
        ApiKeys {
            database,
            rules,
            known: Cache::builder().max_capacity(MOST_KNOWN).time_to_live(KNOWN_FOR).build(),
            uses: Cache::builder().max_capacity(MOST_KNOWN).time_to_idle(REMEMBERED_FOR).build(),
            strangers: RateLimiter::direct(Quota::per_second(STRANGERS)),
        }
    }

    /// Who has this key; `None` if it is not good.
    ///
    /// # Errors
    /// It was used too often, or cannot be looked up now.
    pub(super) async fn find(&self, key: &str) -> Result<Option<Caller>, ApiError> {
        if !is_well_formed(key) {
            return Ok(None);
        }
        let hash = digest(key.as_bytes());
        let known = self.known.try_get_with(hash, self.look_up(hash)).await.map_err(|error| (*error).clone())?;
        let Some(known) = known else { return Ok(None) };
        if let Some(limiter) = &known.uses.limiter {
            within(limiter)?;
        }
        if known.uses.is_to_be_noted() {
            let id = known.id;
            self.database.in_background("the use of an API key", move |conn| api_key::touch(conn, id).boxed());
        }
        Ok(Some(known.caller.clone()))
    }

    async fn look_up(&self, hash: Hash) -> Result<Option<Arc<Known>>, ApiError> {
        let remembered = self.uses.get(&hash).await;
        if remembered.is_none() {
            within(&self.strangers)?;
        }
        let found =
            self.database.read(move |conn| async move { api_key::find_good(conn, &hash).await }.boxed()).await?;
        let Some(key) = found else { return Ok(None) };
        let uses = match remembered {
            Some(uses) => uses,
            None => self.uses.get_with(hash, async { Arc::new(Use::of(&key)) }).await,
        };
        let caller = Caller::with_key(&self.rules, key.id, KeyAccess::of(&key));
        Ok(Some(Arc::new(Known { id: key.id, caller, uses })))
    }
}

impl Use {
    fn of(key: &ApiKey) -> Use {
        let rate = key.rate_limit.and_then(|rate| u32::try_from(rate).ok()).and_then(NonZeroU32::new);
        Use { limiter: rate.map(|rate| RateLimiter::direct(Quota::per_second(rate))), noted: Mutex::new(None) }
    }

    /// Whether this use is to be noted; it then counts as noted.
    fn is_to_be_noted(&self) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let due = noted.is_none_or(|at| at.elapsed() >= NOTED_EVERY);
        if due {
            *noted = Some(Instant::now());
        }
        due
    }
}

fn within(limiter: &DefaultDirectRateLimiter) -> Result<(), ApiError> {
    limiter.check().map_err(|not_until| {
        let wait = not_until.wait_time_from(DefaultClock::default().now());
        // Rounded up: who comes as early as we say must not be refused again.
        ApiError::RateLimited { retry_after: wait.as_secs() + 1 }
    })
}

#[cfg(test)]
mod tests {
    use posthaste_core::entity::{CronField, MessageField, QueueField};

    use super::*;

    fn access(scopes: &[&str], queues: Option<&[i64]>) -> KeyAccess {
        KeyAccess {
            scopes: scopes.iter().filter_map(|name| Scope::from_name(name)).collect(),
            queues: queues.map(|ids| ids.iter().copied().map(Value::Number).collect()),
        }
    }

    #[test]
    fn keys_are_recognised() {
        let key = generate();
        assert!(is_key(&key) && is_well_formed(&key), "{key}");
        assert_ne!(key, generate());
        let (hash, shown) = stored(&key);
        assert_eq!((hash, shown.as_str()), (digest(key.as_bytes()), &key[..10]));
        for wrong in ["", "phk_", "phk_x", &key[1..], &key[..46], &format!("{key}x"), &key.replace(&key[20..21], "+")] {
            assert!(!is_well_formed(wrong), "{wrong}");
        }
    }

    #[test]
    fn scopes_allow_what_they_name() {
        let operations = [Operation::Find, Operation::Save, Operation::UpdateMany, Operation::Delete];
        for scope in Scope::ALL {
            let access = access(&[scope.name()], None);
            for operation in operations {
                let reads = operation == Operation::Find;
                let allowed = |entity| scope.entity == entity && (scope.access == Access::Read) == reads;
                let queue = access.grant::<QueueField>(operation);
                assert_eq!(queue, allowed(Entity::Queue).then(Grant::everything), "{scope} {operation:?}");
                let message = access.grant::<MessageField>(operation);
                assert_eq!(message, allowed(Entity::Message).then(Grant::everything), "{scope} {operation:?}");
                let cron = access.grant::<CronField>(operation);
                assert_eq!(cron, allowed(Entity::Cron).then(Grant::everything), "{scope} {operation:?}");
            }
        }
    }

    #[test]
    fn a_list_of_queues_bounds_rows() {
        let all: Vec<&str> = Scope::ALL.into_iter().map(Scope::name).collect();
        let access = access(&all, Some(&[1, 2]));
        let matches = |operation, id: Option<i64>, dead: Option<i64>| {
            access.grant::<QueueField>(operation).unwrap().filter.matches(|field| match field {
                QueueField::Id => id.map(Value::Number),
                QueueField::DeadLetterQueueId => dead.map(Value::Number),
                _ => None,
            })
        };
        for operation in [Operation::Find, Operation::Delete] {
            assert!(matches(operation, Some(1), None) && matches(operation, Some(2), Some(9)));
            assert!(!matches(operation, Some(3), None));
        }
        for operation in [Operation::Save, Operation::UpdateMany] {
            assert!(matches(operation, Some(1), None) && matches(operation, Some(2), Some(1)));
            // Not there, not to there, and not a new one.
            assert!(!matches(operation, Some(3), None) && !matches(operation, Some(1), Some(3)));
            assert!(!matches(operation, None, None));
        }
        for operation in [Operation::Find, Operation::Save, Operation::UpdateMany, Operation::Delete] {
            let of = |id| {
                let message = access.grant::<MessageField>(operation).unwrap().filter;
                let cron = access.grant::<CronField>(operation).unwrap().filter;
                let message = message.matches(|field| (field == MessageField::QueueId).then_some(Value::Number(id)));
                let cron = cron.matches(|field| (field == CronField::QueueId).then_some(Value::Number(id)));
                (message, cron)
            };
            assert_eq!((of(2), of(3)), ((true, true), (false, false)), "{operation:?}");
        }
    }

    #[test]
    fn a_limit_says_when_to_come_again() {
        let limiter = RateLimiter::direct(Quota::per_second(NonZeroU32::new(2).unwrap()));
        assert_eq!((within(&limiter), within(&limiter)), (Ok(()), Ok(())));
        assert_eq!(within(&limiter), Err(ApiError::RateLimited { retry_after: 1 }));
    }
}
