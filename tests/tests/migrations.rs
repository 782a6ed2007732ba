//! The schema: made, taken back and made again; made by many at once; too new, too old, or another one.

use std::time::Duration;

use posthaste_tests::database::{Database, migrate};
use posthaste_tests::process::{Ended, Launch};
use posthaste_tests::wait;

const SOON: Duration = Duration::from_secs(30);

const SERVICES: [&str; 3] = ["posthaste-api", "posthaste-scheduler", "posthaste-deliverer"];

/// One line for everything that the schema holds, as the catalog describes it.
const CATALOG: &str = "
    SELECT format('column %s.%s %s %s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
        a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attstorage) AS line
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'posthaste'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v')
    UNION ALL
    SELECT format('relation %s %s %s %s %s', relname, relkind, relpersistence, reloptions, pg_get_expr(relpartbound, oid))
    FROM pg_class WHERE relnamespace = 'posthaste'::regnamespace
    UNION ALL
    SELECT format('index %s', indexdef) FROM pg_indexes WHERE schemaname = 'posthaste'
    UNION ALL
    SELECT format('constraint %s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid))
    FROM pg_constraint WHERE connamespace = 'posthaste'::regnamespace
    UNION ALL
    SELECT format('function %s', pg_get_functiondef(oid)) FROM pg_proc WHERE pronamespace = 'posthaste'::regnamespace
    UNION ALL
    SELECT format('trigger %s', pg_get_triggerdef(t.oid)) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'posthaste'::regnamespace AND NOT t.tgisinternal
    UNION ALL
    SELECT format('type %s %s', typname, typtype) FROM pg_type
    WHERE typnamespace = 'posthaste'::regnamespace AND typtype IN ('e', 'd')
    UNION ALL
    SELECT format('sequence %s %s %s %s %s', sequencename, data_type, start_value, increment_by, cache_size)
    FROM pg_sequences WHERE schemaname = 'posthaste'
    ORDER BY 1";

async fn catalog(database: &Database) -> Vec<String> {
    let rows = database.connect().await.query(CATALOG, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// What is diesel's own: the list of applied migrations stays when they are taken back.
fn is_ours(line: &str) -> bool {
    !line.contains("__diesel_schema_migrations")
}

fn assert_fails(ended: &Ended, status: i32, wanted: &str) {
    assert_eq!(ended.status.code(), Some(status), "{ended:?}");
    assert!(ended.stderr.contains(wanted), "{wanted:?} in {ended:?}");
}

#[actix_rt::test]
async fn up_down_up_gives_the_same_and_down_leaves_nothing() {
    let database = Database::empty().await;
    migrate(database.url()).await;
    let first = catalog(&database).await;
    assert!(first.len() > 100, "the catalog was read: {} lines", first.len());

    let url = database.url().parse().unwrap();
    let reverted = posthaste_store::migrations::revert_all(&url).await.unwrap();
    assert!(!reverted.is_empty());
    let left: Vec<_> = catalog(&database).await.into_iter().filter(|line| is_ours(line)).collect();
    assert_eq!(left, Vec::<String>::new());

    migrate(database.url()).await;
    let second = catalog(&database).await;
    assert_eq!(first, second);
}

#[actix_rt::test]
async fn many_migrate_an_empty_database_at_once() {
    let database = Database::empty().await;
    let launch = || Launch::new("posthaste").argument("migrate").env("DATABASE_URL", database.url()).run(SOON);
    let (a, b, c) = futures_util::join!(launch(), launch(), launch());

    let mut applied = 0;
    for ended in [a, b, c] {
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        if ended.stdout.contains("applied ") {
            applied += 1;
        } else {
            assert!(ended.stdout.contains("up to date"), "{ended:?}");
        }
    }
    assert_eq!(applied, 1);
    assert_eq!(database.number("SELECT count(*) FROM posthaste.shards").await, 64);
}

#[actix_rt::test]
async fn what_waits_for_the_schema_goes_on_when_it_is_there() {
    let database = Database::empty().await;
    let waiting =
        || Launch::new("posthaste").argument("migrate").argument("--wait").env("DATABASE_URL", database.url());
    let mut early = waiting().spawn();
    wait::eventually(SOON, "it says what it waits for", async || {
        early.stdout().contains("waiting: the database has no schema")
    })
    .await;
    assert!(early.is_running());
    migrate(database.url()).await;
    assert_eq!(early.wait(SOON).await.code(), Some(0));
    assert!(early.stdout().contains("the schema has version"), "{}", early.stdout());
    assert_eq!(waiting().run(SOON).await.status.code(), Some(0));
    database.execute("UPDATE posthaste.schema_info SET version = 999, compatible_from = 998").await;
    assert_fails(&waiting().run(SOON).await, 1, "schema version 999");
}

#[actix_rt::test]
async fn services_do_not_start_without_the_schema() {
    let database = Database::empty().await;
    for service in SERVICES {
        let ended = Launch::new(service).on(&database).run(SOON).await;
        assert_fails(&ended, 1, "run `posthaste migrate`");
    }
}

#[actix_rt::test]
async fn nothing_starts_on_a_schema_that_is_too_new_and_all_on_one_that_is_compatible() {
    let database = Database::new().await;
    database.execute("UPDATE posthaste.schema_info SET version = 999, compatible_from = 998").await;
    for service in SERVICES {
        let ended = Launch::new(service).on(&database).run(SOON).await;
        assert_fails(&ended, 1, "schema version 999");
    }
    for command in ["migrate", "dev"] {
        let ended = Launch::new("posthaste").argument(command).on(&database).run(SOON).await;
        assert_fails(&ended, 1, "schema version 999");
    }

    database.execute("UPDATE posthaste.schema_info SET compatible_from = 1").await;
    for service in SERVICES {
        let mut process = Launch::new(service).on(&database).start().await;
        process.sigterm();
        assert_eq!(process.wait(SOON).await.code(), Some(0), "{service}: {}", process.stderr());
    }
}

#[actix_rt::test]
async fn the_number_of_shards_is_fixed_by_the_first_migration() {
    let database = Database::empty().await;
    let with_shards = |program: &str, shards: &str| Launch::new(program).on(&database).env("SHARDS", shards);
    let first = with_shards("posthaste", "16").argument("migrate").run(SOON).await;
    assert_eq!(first.status.code(), Some(0), "{first:?}");
    assert!(first.stdout.contains("16 shards"), "{first:?}");
    assert_eq!(database.number("SELECT count(*) FROM posthaste.shards").await, 16);

    let again = with_shards("posthaste", "32").argument("migrate").run(SOON).await;
    assert_fails(&again, 2, "SHARDS: ");
    for service in SERVICES {
        assert_fails(&with_shards(service, "32").run(SOON).await, 2, "SHARDS: ");
        with_shards(service, "16").start().await;
    }
}

/// The migrations up to the one that gives `posthaste.enqueue` more arguments, and that one.
const BEFORE: [&str; 2] = [
    include_str!("../../migrations/2026-11-23-000001_first/up.sql"),
    include_str!("../../migrations/2026-11-25-000001_contract/up.sql"),
];
const DELIVERY: [&str; 2] = [
    include_str!("../../migrations/2026-11-25-000002_delivery/up.sql"),
    include_str!("../../migrations/2026-11-25-000002_delivery/down.sql"),
];

#[actix_rt::test]
async fn who_may_enqueue_is_the_same_before_and_after() {
    /// For each of the two functions, who may call it.
    const GRANTS: &str =
        "SELECT string_agg(proargtypes[0]::regtype || ': ' || array_to_string(proacl, ' '), '; ' ORDER BY 1)
                          FROM pg_proc WHERE pronamespace = 'posthaste'::regnamespace AND proname = 'enqueue'";
    let database = Database::empty().await;
    let sql = database.connect().await;
    let run = async |text: &str| sql.batch_execute(text).await.unwrap_or_else(|error| panic!("{error:?}"));
    let grants = async || sql.query_one(GRANTS, &[]).await.unwrap().get::<_, Option<String>>(0);
    run("CREATE SCHEMA IF NOT EXISTS posthaste; SET search_path = posthaste").await;
    for migration in BEFORE {
        run(migration).await;
    }
    let [up, down] = DELIVERY;
    let untouched = grants().await;
    run(up).await;
    assert_eq!(grants().await, untouched, "nobody has changed them");
    run(down).await;
    assert_eq!(grants().await, untouched);

    let role = "pg_monitor";
    run(&format!(
        "REVOKE EXECUTE ON FUNCTION posthaste.enqueue(bigint, text, jsonb, timestamptz, text, bytea) FROM PUBLIC;
         GRANT EXECUTE ON FUNCTION posthaste.enqueue(bigint, text, jsonb, timestamptz, text, bytea) TO {role} WITH GRANT OPTION;
         GRANT EXECUTE ON FUNCTION posthaste.enqueue(text, text, jsonb, timestamptz, text, bytea) TO {role}"
    ))
    .await;
    let before = grants().await;
    assert!(before.as_ref().is_some_and(|grants| grants.contains(role)), "{before:?}");
    run(up).await;
    assert_eq!(grants().await, before);
    run(down).await;
    assert_eq!(grants().await, before);
}
