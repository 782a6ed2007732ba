//! Relations cost one statement a level and not one a row.

use posthaste_tests::database::Database;
use posthaste_tests::postgres::Server;
use posthaste_tests::process::Launch;
use serde_json::json;

use super::{Setup, data};

/// The statements that the API has sent while `work` was done.
async fn statements(server: &Server, work: impl Future<Output = ()>) -> Vec<String> {
    let log = || std::fs::read_to_string(server.folder().join("postgres.log")).unwrap_or_default();
    let before = log().len();
    work.await;
    let after = log();
    let selects = |line: &&str| line.contains("execute") && line.contains("SELECT");
    after[before..].lines().filter(selects).map(str::to_owned).collect()
}

#[actix_rt::test]
async fn the_number_of_statements_does_not_grow_with_rows() {
    let server = Server::own_with(&[("log_statement", "all")]);
    let database = Database::on(&server).await;
    let setup = Setup::start(Launch::api(&database), database).await;
    let query = "{ queues(limit: 20) { name deadLetterQueue { name }
                   messages(limit: 3) { body queue { name } cron { schedule } }
                   recent: messages(limit: 2, orderBy: [{field: id, direction: DESC}]) { id }
                   crons { schedule messages { id } } queues { id } } }";
    let mut counts = Vec::new();
    for rows in [2, 20] {
        let sql = format!(
            "TRUNCATE posthaste.queues, posthaste.crons, posthaste.messages, posthaste.pending CASCADE;
             INSERT INTO posthaste.queues (id, name, callback_url, method) SELECT n, n, 'http://x/', 'POST' FROM generate_series(1, {rows}) n;
             UPDATE posthaste.queues SET dead_letter_queue_id = id % {rows} + 1;
             INSERT INTO posthaste.crons (id, queue_id, schedule) SELECT n, n, '@yearly' FROM generate_series(1, {rows}) n;
             INSERT INTO posthaste.messages (queue_id, body, scheduled_at, cron_id)
             SELECT n, 'b', now(), n FROM generate_series(1, {rows}) n, generate_series(1, 5)"
        );
        setup.database.execute(&sql).await;
        let sent = statements(&server, async {
            let found = data(&setup.api, query, json!({})).await;
            let queues = found["queues"].as_array().unwrap();
            assert_eq!(queues.len(), rows);
            for queue in queues {
                assert_eq!(
                    (queue["messages"].as_array().unwrap().len(), queue["recent"].as_array().unwrap().len()),
                    (3, 2)
                );
                assert_eq!(queue["crons"][0]["messages"].as_array().unwrap().len(), 5);
                assert!(
                    queue["deadLetterQueue"]["name"].is_string() && queue["messages"][2]["queue"]["name"].is_string()
                );
                assert_eq!(queue["queues"].as_array().unwrap().len(), 1);
            }
        })
        .await;
        counts.push(sent.len());
    }
    // One for each relation, and one for the queues.
    assert_eq!(counts, [9, 9]);
}
