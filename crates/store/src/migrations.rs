//! The schema: bringing it up to date, and asking whether it fits this program.
//!
//! Migrations are compiled in and applied one transaction each, under an advisory lock, so that any number of processes
//! may migrate at once: the first does it, the others find it done. They are expand/contract only: services of the
//! version before go on working on the new schema, as `schema_info.compatible_from` says.

use std::time::Duration;

use diesel::migration::MigrationVersion;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text};
use diesel::{OptionalExtension, QueryableByName};
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tokio::time::{Instant, sleep};

use crate::connect::{DatabaseUrl, Purpose, connect};
use crate::error::StoreError;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// The version of the schema that this program is built for.
pub const SCHEMA_VERSION: i32 = 9;

/// The oldest server that has all that is needed (`idle_session_timeout`, `DETACH PARTITION CONCURRENTLY`).
const OLDEST_SERVER: i32 = 140_000;

/// The migration lock. The other locks carry the oid of the schema; here the schema may not exist yet, so it is one number
/// for the whole database, taken from the ASCII of `posthast` to be nobody else's.
const MIGRATION_LOCK: i64 = 0x706f_7374_6861_7374;
const LOCK_POLL: Duration = Duration::from_millis(100);
const LOCK_DEADLINE: Duration = Duration::from_secs(60);

/// What [`migrate`] has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The versions of the migrations that were applied now, in order; empty if the schema was up to date.
    pub applied: Vec<String>,
    /// The schema as it is now.
    pub schema: SchemaInfo,
}

/// The schema that a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaInfo {
    /// Raised by every migration.
    pub version: i32,
    /// How many shards the work is split into, 1 to 1024; fixed at the first migration.
    pub shards: u16,
}

/// Why a program cannot work with a database's schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// There is no schema of Posthaste.
    #[error("the database has no schema of Posthaste: run `posthaste migrate`")]
    Missing,
    /// Migrations are pending.
    #[error("the database has schema version {found}, this program needs {needed}: run `posthaste migrate`")]
    TooOld {
        /// The database's.
        found: i32,
        /// [`SCHEMA_VERSION`].
        needed: i32,
    },
    /// The schema has gone on too far for this program.
    #[error(
        "the database has schema version {found}, for programs built for {oldest} or later; this one is for {ours}: update it"
    )]
    TooNew {
        /// The database's.
        found: i32,
        /// The oldest version that still works with it.
        oldest: i32,
        /// [`SCHEMA_VERSION`].
        ours: i32,
    },
    /// The server itself is too old.
    #[error("the server is PostgreSQL {}; Posthaste needs 14 or later", .found / 10_000)]
    ServerTooOld {
        /// `server_version_num`.
        found: i32,
    },
    /// The question failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why [`migrate`] failed. What was applied before stays; a migration that failed left nothing behind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// The schema, after or before migrating.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The number of shards is fixed by the first migration.
    #[error("the database has {stored} shards, and {given} are asked for; the number is fixed by the first migration")]
    Shards {
        /// What the caller asked for.
        given: u16,
        /// What the database has.
        stored: u16,
    },
    /// Another process kept the migration lock.
    #[error("another migration has been running for {} s: {holder}", LOCK_DEADLINE.as_secs())]
    Locked {
        /// The other process, as Postgres knows it.
        holder: String,
    },
    /// A migration failed.
    #[error("a migration failed: {0}")]
    Migration(String),
}

impl From<StoreError> for MigrateError {
    fn from(error: StoreError) -> MigrateError {
        MigrateError::Schema(SchemaError::Store(error))
    }
}

/// Brings the schema up to date, making it where there is none. `shards` (1 to 1024, default 64) counts at the first
/// migration; later it must be `None` or what the database has.
///
/// Holds a session lock, so `url` must not lead through a pooler in transaction mode.
///
/// # Errors
/// See [`MigrateError`]; a schema that is too new for this program is one.
pub async fn migrate(url: &DatabaseUrl, shards: Option<u16>) -> Result<Migrated, MigrateError> {
    let mut conn = open_for_migration(url).await?;
    if let (Some(given), Some(stored)) = (shards, stored_shards(&mut conn).await?)
        && given != stored
    {
        return Err(MigrateError::Shards { given, stored });
    }
    diesel::sql_query("SELECT set_config('posthaste.shards', $1, false)")
        .bind::<Text, _>(shards.map(|shards| shards.to_string()).unwrap_or_default())
        .execute(&mut conn)
        .await
        .map_err(StoreError::from)?;
    let (mut conn, applied) = with_harness(conn, |conn| names(conn.run_pending_migrations(MIGRATIONS))).await?;
    let schema = check_schema(&mut conn).await?;
    unlock(&mut conn).await?;
    Ok(Migrated { applied, schema })
}

/// Takes every migration back, and with it all that is stored. A development aid: no program calls it.
///
/// # Errors
/// See [`MigrateError`].
pub async fn revert_all(url: &DatabaseUrl) -> Result<Vec<String>, MigrateError> {
    let conn = open_for_migration(url).await?;
    let (mut conn, reverted) = with_harness(conn, |conn| names(conn.revert_all_migrations(MIGRATIONS))).await?;
    unlock(&mut conn).await?;
    Ok(reverted)
}

/// Asks what schema the database has, and whether this program can work with it.
///
/// # Errors
/// See [`SchemaError`].
pub async fn check_schema(conn: &mut AsyncPgConnection) -> Result<SchemaInfo, SchemaError> {
    check_server(conn).await?;
    if !has_schema_info(conn).await? {
        return Err(SchemaError::Missing);
    }
    let row: SchemaRow = diesel::sql_query("SELECT version, compatible_from, shards FROM posthaste.schema_info")
        .get_result(conn)
        .await
        .map_err(StoreError::from)?;
    if row.version < SCHEMA_VERSION {
        return Err(SchemaError::TooOld { found: row.version, needed: SCHEMA_VERSION });
    }
    if row.compatible_from > SCHEMA_VERSION {
        return Err(SchemaError::TooNew { found: row.version, oldest: row.compatible_from, ours: SCHEMA_VERSION });
    }
    Ok(SchemaInfo { version: row.version, shards: shard_count(row.shards)? })
}

#[derive(QueryableByName)]
struct SchemaRow {
    #[diesel(sql_type = Integer)]
    version: i32,
    #[diesel(sql_type = Integer)]
    compatible_from: i32,
    #[diesel(sql_type = Integer)]
    shards: i32,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = Integer)]
    number: i32,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Bool)]
    answer: bool,
}

#[derive(QueryableByName)]
struct Holder {
    #[diesel(sql_type = Nullable<Text>)]
    holder: Option<String>,
}

fn shard_count(stored: i32) -> Result<u16, StoreError> {
    u16::try_from(stored).map_err(|_| StoreError::unexpected("the number of shards"))
}

async fn check_server(conn: &mut AsyncPgConnection) -> Result<(), SchemaError> {
    let found: Number = diesel::sql_query("SELECT current_setting('server_version_num')::integer AS number")
        .get_result(conn)
        .await
        .map_err(StoreError::from)?;
    if found.number < OLDEST_SERVER {
        return Err(SchemaError::ServerTooOld { found: found.number });
    }
    Ok(())
}

async fn has_schema_info(conn: &mut AsyncPgConnection) -> Result<bool, StoreError> {
    ask(conn, "SELECT to_regclass('posthaste.schema_info') IS NOT NULL AS answer").await
}

async fn ask(conn: &mut AsyncPgConnection, question: &str) -> Result<bool, StoreError> {
    let row: Answer = diesel::sql_query(question).get_result(conn).await?;
    Ok(row.answer)
}

async fn stored_shards(conn: &mut AsyncPgConnection) -> Result<Option<u16>, StoreError> {
    if !has_schema_info(conn).await? {
        return Ok(None);
    }
    let row: Option<Number> =
        diesel::sql_query("SELECT shards AS number FROM posthaste.schema_info").get_result(conn).await.optional()?;
    row.map(|row| shard_count(row.number)).transpose()
}

/// A session that holds the migration lock, with the schema in its search path.
async fn open_for_migration(url: &DatabaseUrl) -> Result<AsyncPgConnection, MigrateError> {
    let mut conn = connect(url, Purpose::Migrating).await?;
    check_server(&mut conn).await?;
    lock(&mut conn).await?;
    // Asked first: IF NOT EXISTS demands the right to create schemas even where there is nothing to create.
    if ask(&mut conn, "SELECT to_regnamespace('posthaste') IS NULL AS answer").await? {
        conn.batch_execute("CREATE SCHEMA posthaste").await.map_err(StoreError::from)?;
    }
    conn.batch_execute("SET search_path = posthaste").await.map_err(StoreError::from)?;
    Ok(conn)
}

/// Polled and not waited for: a session that waits for a lock holds a snapshot, and a deadline is easier to tell about.
async fn lock(conn: &mut AsyncPgConnection) -> Result<(), MigrateError> {
    let deadline = Instant::now() + LOCK_DEADLINE;
    loop {
        let row: Answer = diesel::sql_query("SELECT pg_try_advisory_lock($1) AS answer")
            .bind::<BigInt, _>(MIGRATION_LOCK)
            .get_result(conn)
            .await
            .map_err(StoreError::from)?;
        if row.answer {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(MigrateError::Locked { holder: holder(conn).await? });
        }
        sleep(LOCK_POLL).await;
    }
}

async fn unlock(conn: &mut AsyncPgConnection) -> Result<(), StoreError> {
    diesel::sql_query("SELECT pg_advisory_unlock($1)").bind::<BigInt, _>(MIGRATION_LOCK).execute(conn).await?;
    Ok(())
}

async fn holder(conn: &mut AsyncPgConnection) -> Result<String, StoreError> {
    // A bigint key is shown in halves, with objsubid 1.
    let row: Option<Holder> = diesel::sql_query(
        "SELECT format('process %s (%s) from %s', a.pid, a.application_name, coalesce(host(a.client_addr), 'a local socket')) AS holder
         FROM pg_locks l JOIN pg_stat_activity a USING (pid)
         WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
           AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
           AND (l.classid::bigint << 32 | l.objid::bigint) = $1
         LIMIT 1",
    )
    .bind::<BigInt, _>(MIGRATION_LOCK)
    .get_result(conn)
    .await
    .optional()?;
    Ok(row.and_then(|row| row.holder).unwrap_or_else(|| "it has just ended".to_owned()))
}

type Blocking = AsyncConnectionWrapper<AsyncPgConnection>;
type HarnessResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

fn names(versions: HarnessResult<Vec<MigrationVersion<'_>>>) -> HarnessResult<Vec<String>> {
    versions.map(|versions| versions.iter().map(ToString::to_string).collect())
}

/// Runs diesel's migration harness, which is synchronous. On a thread of its own, so that it works in every runtime:
/// diesel-async's own harness blocks the thread that it is on, which a single-threaded runtime does not survive.
async fn with_harness(
    conn: AsyncPgConnection,
    run: impl FnOnce(&mut Blocking) -> HarnessResult<Vec<String>> + Send + 'static,
) -> Result<(AsyncPgConnection, Vec<String>), MigrateError> {
    let work = tokio::task::spawn_blocking(move || {
        let mut conn = Blocking::from(conn);
        let versions = run(&mut conn).map_err(|error| MigrateError::Migration(error.to_string()))?;
        Ok((conn.into_inner(), versions))
    });
    work.await.unwrap_or_else(|error| Err(MigrateError::Migration(error.to_string())))
}
