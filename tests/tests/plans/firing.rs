//! Crons by the thousand, right after they were stored and before anybody has counted them.

use posthaste_core::cron::{self, Present};
use posthaste_store::connect::{Purpose, connect};
use posthaste_store::tick::{self, Firing};
use posthaste_tests::database::Database;
use posthaste_tests::explained::Log;

use super::growing::named;
use super::server;

const CRONS: u16 = 20_000;
const DUE: u16 = 1_000;

#[actix_rt::test]
async fn firing_looks_at_the_crons_that_are_due_and_at_no_other() {
    let database = Database::on(server()).await;
    // The planner believes that there is nothing.
    database.execute("ANALYZE posthaste.crons, posthaste.cron_ticks, posthaste.pending").await;
    database
        .execute("INSERT INTO posthaste.queues (name, callback_url, method) VALUES ('q', 'http://x/', 'POST')")
        .await;
    database
        .execute(&format!(
            "INSERT INTO posthaste.crons (queue_id, every_us, start_at, next_fire_at, overlap)
             SELECT q.id, 86400000000, at, at, CASE WHEN i / {every} % 2 = 0 THEN 'skip' ELSE 'allow' END
               FROM posthaste.queues q, generate_series(1, {CRONS}) AS i,
                    LATERAL (SELECT now() + CASE WHEN i % {every} = 0 THEN interval '0' ELSE interval '1 day' END AS at) AS a",
            every = CRONS / DUE,
        ))
        .await;
    let mut log = Log::of(server(), "crons");
    let mut conn = connect(&named(&database, "crons").parse().unwrap(), Purpose::Writing).await.unwrap();

    // The ticks that have come, and, of those that are stored ahead, the next ones.
    for expected in [usize::from(DUE), usize::from(DUE / 2)] {
        let due = tick::due(&mut conn, &[], 2 * DUE).await.unwrap();
        assert_eq!(due.crons.len(), expected);
        let firings: Vec<Firing> = due
            .crons
            .into_iter()
            .map(|cron| {
                let schedule = cron.timing.schedule().unwrap();
                let present = Present { now: due.now, resumed: None };
                Firing { step: cron::step(&schedule, &cron.rules, cron.standing, present), cron }
            })
            .collect();
        assert_eq!(tick::fire(&mut conn, &firings).await.unwrap().len(), expected);
        for explained in
            log.next("firing", |explained| explained.text.contains("INSERT INTO posthaste.cron_ticks")).await
        {
            explained.assert_by_index();
            for table in ["crons", "cron_ticks", "pending"] {
                let (met, looks, _) = explained.of(table);
                let most = 3.0 * f64::from(DUE);
                assert!(met <= most && looks <= most, "{met} rows of {table} in {looks} looks by {}", explained.text);
            }
        }
    }
}
