//! The dedicated session that holds a process's locks and hears its notifications.
//!
//! What it promises: while [`LockSession::lease`] is live, the locks that it has told of are held by nobody else.
//! The session is one direct connection. Its advisory locks end with it, however it ends:
//!
//! - the process dies: the socket closes, and the server frees the locks at once;
//! - the process freezes, or the network parts: the server ends a session that has been silent for 5 s
//!   (`idle_session_timeout`), and gives up on unacknowledged data as soon (`tcp_user_timeout`); meanwhile the lease runs
//!   out on our side after 3 s;
//! - the server dies, restarts or is replaced: the socket closes or a ping fails.
//!
//! Every call has a deadline. A call that fails, times out or is dropped half-way leaves it open what the server has done,
//! so it ends the session: the lease is revoked, the socket dropped, [`LockSession::closed`] resolves. There is no way
//! back; open another session and take the locks anew.

mod ending;

use std::collections::BTreeSet;
use std::time::Duration;

use posthaste_core::ids::Shard;
use tokio::sync::{Mutex, mpsc};
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Row, Socket};

use self::ending::{Ending, Unfinished};
use crate::connect::DatabaseUrl;
use crate::error::StoreError;
use crate::lease::{BootTime, Lease};
use crate::wakeup::Wakeup;

/// A call that has no answer after this is given up, and the session with it; less than the lease.
const CALL_DEADLINE: Duration = Duration::from_millis(2500);
const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// Wake-ups that nobody has taken yet; more are dropped, as they only are hints.
const WAKEUPS: usize = 1024;

const SETTINGS: &str = "SET idle_session_timeout = '5s'; SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 2; \
     SET tcp_keepalives_count = 3; SET tcp_user_timeout = 5000; SET statement_timeout = '2s'; SET lock_timeout = '1s'; \
     SET jit = off";

/// A lock that one session of all has. In Postgres: `(classid, objid)` = (oid of the schema, kind · 65536 + n), so that two
/// installations in one database do not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LockKey {
    /// The ownership of a shard.
    Shard(Shard),
    /// The scheduler's leadership.
    Leader,
}

/// Every deliverer has it, shared.
const MEMBER: i32 = 3 << 16;

impl LockKey {
    fn objid(self) -> i32 {
        match self {
            LockKey::Shard(shard) => (1 << 16) | shard.0,
            LockKey::Leader => 2 << 16,
        }
    }
}

/// What a ping tells about the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionFacts {
    /// When the server was started, in microseconds since 1970. Another value means another run of the server, or another
    /// server: transaction ids may not continue, and snapshots of before are worthless.
    pub postmaster_start: i64,
    /// Whether the server is a standby.
    pub in_recovery: bool,
}

/// See the module's description. All methods take `&self` and may run side by side.
pub struct LockSession {
    client: Client,
    classid: i32,
    pid: i32,
    ending: Ending,
    /// What we hold. Advisory locks count how often they were taken; taken twice, one would survive its release.
    held: Mutex<BTreeSet<LockKey>>,
    wakeups: Mutex<mpsc::Receiver<Wakeup>>,
}

impl LockSession {
    /// Opens the session, named `application_name` in `pg_stat_activity`, at a server that takes writes.
    ///
    /// # Errors
    /// As [`crate::connect::connect`]; [`StoreError::Other`] where the schema is missing.
    pub async fn open(url: &DatabaseUrl, application_name: &str) -> Result<LockSession, StoreError> {
        let (mut config, tls) = url.parts();
        config.application_name(application_name);
        config.keepalives_idle(Duration::from_secs(5));
        config.keepalives_interval(Duration::from_secs(2));
        config.keepalives_retries(3);
        config.tcp_user_timeout(Duration::from_secs(5));
        let (wake, wakeups) = mpsc::channel(WAKEUPS);
        let ending = Ending::new();
        let opening = Unfinished::of(&ending);
        let attempt = async {
            let client = match tls {
                None => {
                    let (client, connection) = config.connect(NoTls).await?;
                    tokio::spawn(drive(connection, wake, ending.clone()));
                    client
                }
                Some(tls) => {
                    let (client, connection) = config.connect(tls).await?;
                    tokio::spawn(drive(connection, wake, ending.clone()));
                    client
                }
            };
            client.batch_execute(SETTINGS).await?;
            let row =
                client.query_typed_one("SELECT to_regnamespace('posthaste')::oid::int4, pg_backend_pid()", &[]).await?;
            Ok::<_, StoreError>((client, row))
        };
        let (client, row) = tokio::time::timeout(OPEN_DEADLINE, attempt).await.map_err(|_| {
            StoreError::Unavailable(format!("{url} did not answer within {} s", OPEN_DEADLINE.as_secs()))
        })??;
        let classid: Option<i32> = row.try_get(0)?;
        let classid =
            classid.ok_or_else(|| StoreError::Other("there is no schema: run `posthaste migrate`".to_owned()))?;
        let pid = row.try_get(1)?;
        opening.finish();
        Ok(LockSession {
            client,
            classid,
            pid,
            ending,
            held: Mutex::new(BTreeSet::new()),
            wakeups: Mutex::new(wakeups),
        })
    }

    /// The server's process id of this session: what [`LockSession::members`] knows it by.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether the locks can be trusted now. Live from the first ping.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.ending.lease().clone()
    }

    /// Renews the lease. To be called about once a second; a call that is not answered in time ends the session.
    ///
    /// # Errors
    /// Any; the session is over then.
    pub async fn ping(&self) -> Result<SessionFacts, StoreError> {
        let sent_at = BootTime::now();
        let row = self
            .row(
                "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8, pg_is_in_recovery(), pg_backend_pid()",
                &[],
            )
            .await?;
        let facts = SessionFacts { postmaster_start: row.try_get(0)?, in_recovery: row.try_get(1)? };
        if row.try_get::<_, i32>(2)? != self.pid {
            let reason = "the lock session goes through a pooler in transaction mode, which cannot hold locks: \
                          LOCK_DATABASE_URL takes a direct connection";
            self.close(reason);
            return Err(StoreError::Other(reason.to_owned()));
        }
        self.ending.lease().renew(sent_at);
        Ok(facts)
    }

    /// Takes a lock if nobody else has it; `true` also if we have it already.
    ///
    /// # Errors
    /// Any; the session is over then.
    pub async fn try_lock(&self, key: LockKey) -> Result<bool, StoreError> {
        Ok(self.try_lock_keys(&[key]).await?.contains(&key))
    }

    /// Frees a lock; `false` if we did not have it.
    ///
    /// # Errors
    /// Any; the session is over then.
    pub async fn unlock(&self, key: LockKey) -> Result<bool, StoreError> {
        Ok(self.unlock_keys(&[key]).await?.contains(&key))
    }

    /// Takes those of the shards that nobody else has, in one statement; returns those that are ours now, among them what
    /// was ours already.
    ///
    /// # Errors
    /// Any; the session is over then.
    pub async fn try_lock_many(&self, shards: &[Shard]) -> Result<Vec<Shard>, StoreError> {
        let keys: Vec<LockKey> = shards.iter().copied().map(LockKey::Shard).collect();
        Ok(only_shards(self.try_lock_keys(&keys).await?))
    }

    /// Frees the shards, in one statement; returns those that were ours.
    ///
    /// # Errors
    /// Any; the session is over then.
    pub async fn unlock_many(&self, shards: &[Shard]) -> Result<Vec<Shard>, StoreError> {
        let keys: Vec<LockKey> = shards.iter().copied().map(LockKey::Shard).collect();
        Ok(only_shards(self.unlock_keys(&keys).await?))
    }

    /// Becomes a member of the deliverers. To be called once, or again after [`LockSession::leave_members`].
    ///
    /// # Errors
    /// Any; the session is over then.
    pub async fn join_members(&self) -> Result<(), StoreError> {
        // Only sharers take this key, so it is granted at once.
        self.row("SELECT pg_try_advisory_lock_shared($1, $2)", &[(&self.classid, Type::INT4), (&MEMBER, Type::INT4)])
            .await?;
        Ok(())
    }

    /// Ceases to be a member.
    ///
    /// # Errors
    /// Any; the session is over then.
    pub async fn leave_members(&self) -> Result<(), StoreError> {
        self.row("SELECT pg_advisory_unlock_shared($1, $2)", &[(&self.classid, Type::INT4), (&MEMBER, Type::INT4)])
            .await?;
        Ok(())
    }

    /// The members' sessions by their process ids, ascending; ours among them if we joined.
    ///
    /// # Errors
    /// Any; the session is over then.
    pub async fn members(&self) -> Result<Vec<i32>, StoreError> {
        let rows = self
            .rows(
                "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ShareLock' AND objsubid = 2
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 AND classid = $1::oid AND objid = $2::oid ORDER BY pid",
                // int4 to oid takes the bits as they are, as the lock functions do.
                &[(&self.classid, Type::INT4), (&MEMBER, Type::INT4)],
            )
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Hears a channel from now on (`wakeup::PENDING`, `wakeup::CRONS`).
    ///
    /// # Errors
    /// Any; the session is over then.
    pub async fn listen(&self, channel: &str) -> Result<(), StoreError> {
        let statement = format!("LISTEN \"{}\"", channel.replace('"', "\"\""));
        self.call(self.client.batch_execute(&statement)).await
    }

    /// The next wake-up; `None` when the session is over. May be dropped and called again without losing any.
    pub async fn wakeup(&self) -> Option<Wakeup> {
        self.wakeups.lock().await.recv().await
    }

    /// Resolves when the session is over, and tells why.
    pub async fn closed(&self) -> String {
        self.ending.ended().await
    }

    /// Ends the session: revokes the lease and drops the socket, upon which the server frees the locks. The first reason
    /// stays.
    pub fn close(&self, reason: &str) {
        self.ending.end(reason);
    }

    async fn try_lock_keys(&self, keys: &[LockKey]) -> Result<Vec<LockKey>, StoreError> {
        // Held over the statement, so that no key is asked for twice.
        let mut held = self.held.lock().await;
        let wanted: Vec<i32> = keys.iter().filter(|key| !held.contains(key)).map(|key| key.objid()).collect();
        if !wanted.is_empty() {
            let taken =
                self.numbers("SELECT n FROM unnest($2) AS n WHERE pg_try_advisory_lock($1, n)", &wanted).await?;
            held.extend(keys.iter().filter(|key| taken.contains(&key.objid())));
        }
        Ok(keys.iter().copied().filter(|key| held.contains(key)).collect())
    }

    async fn unlock_keys(&self, keys: &[LockKey]) -> Result<Vec<LockKey>, StoreError> {
        let mut held = self.held.lock().await;
        let ours: Vec<LockKey> = keys.iter().copied().filter(|key| held.contains(key)).collect();
        if !ours.is_empty() {
            let numbers: Vec<i32> = ours.iter().map(|key| key.objid()).collect();
            self.numbers("SELECT n FROM unnest($2) AS n WHERE pg_advisory_unlock($1, n)", &numbers).await?;
            held.retain(|key| !ours.contains(key));
        }
        Ok(ours)
    }

    async fn numbers(&self, sql: &str, numbers: &[i32]) -> Result<BTreeSet<i32>, StoreError> {
        let rows = self.rows(sql, &[(&self.classid, Type::INT4), (&numbers, Type::INT4_ARRAY)]).await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn row(&self, sql: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Row, StoreError> {
        self.call(self.client.query_typed_one(sql, parameters)).await
    }

    async fn rows(&self, sql: &str, parameters: &[(&(dyn ToSql + Sync), Type)]) -> Result<Vec<Row>, StoreError> {
        self.call(self.client.query_typed(sql, parameters)).await
    }

    async fn call<T>(&self, call: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, StoreError> {
        let unfinished = Unfinished::of(&self.ending);
        let error = match tokio::time::timeout(CALL_DEADLINE, call).await {
            Ok(Ok(answer)) => {
                unfinished.finish();
                return Ok(answer);
            }
            Ok(Err(error)) => StoreError::from(error),
            Err(_) => StoreError::Unavailable("the lock session's server does not answer".to_owned()),
        };
        self.close(&error.to_string());
        Err(error)
    }
}

impl Drop for LockSession {
    fn drop(&mut self) {
        self.close("the lock session was dropped");
    }
}

fn only_shards(keys: Vec<LockKey>) -> Vec<Shard> {
    keys.into_iter()
        .filter_map(|key| match key {
            LockKey::Shard(shard) => Some(shard),
            LockKey::Leader => None,
        })
        .collect()
}

/// Moves the bytes of the connection until it ends, or the session is over; then drops the socket.
async fn drive<S>(mut connection: Connection<Socket, S>, wake: mpsc::Sender<Wakeup>, ending: Ending)
where
    S: tokio_postgres::tls::TlsStream + Unpin + Send + 'static,
{
    let messages = async {
        loop {
            match std::future::poll_fn(|context| connection.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(notification))) => {
                    if let Some(wakeup) = Wakeup::parse(notification.channel(), notification.payload()) {
                        // Full: the reader has wake-ups enough, and polls.
                        let _ = wake.try_send(wakeup);
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return StoreError::from(error).to_string(),
                None => return "the lock session's connection was closed".to_owned(),
            }
        }
    };
    tokio::select! {
        why = messages => ending.end(&why),
        _ = ending.ended() => {}
    }
}
