//! What the leader deletes, and what it keeps.

use posthaste_tests::process::Launch;
use posthaste_tests::wait;

use super::{SOON, Scene};

/// Of each kind one that is to be kept and some that are not.
const STORED: &str = "
    INSERT INTO posthaste.idempotency_keys (queue_id, key, fingerprint, message_id, created_at, scheduled_at, expires_at)
    SELECT 1, 'key ' || i, sha256('x'), i, now(), now(), now() + CASE i WHEN 0 THEN interval '1 hour' ELSE '-1 second' END
      FROM generate_series(0, 50) AS i;
    INSERT INTO posthaste.deletions (at, entity, entity_id)
    SELECT now() - CASE i WHEN 0 THEN interval '9 minutes' ELSE '11 minutes' END, 'queue', i FROM generate_series(0, 50) AS i;
    INSERT INTO posthaste.audit_log (at, actor, action, entity)
    SELECT now() - CASE i WHEN 0 THEN interval '89 days' ELSE '91 days' END, 'admin', 'queue.delete', 'queue'
      FROM generate_series(0, 50) AS i;
    INSERT INTO posthaste.cron_ticks (cron_id, tick, message_id)
    SELECT 1, now() - CASE i WHEN 0 THEN interval '6 days' ELSE '8 days' END - i * interval '1 s', i
      FROM generate_series(0, 50) AS i;";

const TABLES: [&str; 4] = ["idempotency_keys", "deletions", "audit_log", "cron_ticks"];

impl Scene {
    async fn rows(&self, table: &str) -> i64 {
        self.outbox.number(&format!("SELECT count(*) FROM posthaste.{table}")).await
    }

    async fn wait_until_tidy(&self, tables: &[&str]) {
        for table in tables {
            wait::eventually(SOON, &format!("{table} is tidy"), async || self.rows(table).await == 1).await;
        }
    }
}

#[actix_rt::test]
async fn what_is_old_is_deleted_and_nothing_else() {
    let scene = Scene::without_deliverer().await;
    scene.outbox.execute(STORED).await;
    let _scheduler = Launch::scheduler(&scene.database).start().await;
    scene.wait_until_tidy(&TABLES).await;
    assert_eq!(scene.outbox.number("SELECT count(*) FROM posthaste.idempotency_keys WHERE key = 'key 0'").await, 1);
}

#[actix_rt::test]
async fn a_duty_that_fails_is_logged_and_stops_no_other() {
    let scene = Scene::without_deliverer().await;
    scene.outbox.execute(STORED).await;
    scene.outbox.execute("ALTER TABLE posthaste.deletions RENAME COLUMN at TO elsewhere").await;
    let scheduler = Launch::scheduler(&scene.database).start().await;
    scene.wait_until_tidy(&["idempotency_keys", "audit_log", "cron_ticks"]).await;
    wait::eventually(SOON, "the failure is logged", async || scheduler.stderr().contains("Deletions")).await;
    assert_eq!(scene.rows("deletions").await, 51);
}
