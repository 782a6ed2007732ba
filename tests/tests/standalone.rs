//! The `posthaste` binary over its whole life: started on nothing, used, stopped, killed, misconfigured.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use posthaste_tests::client::Api;
use posthaste_tests::database::Database;
use posthaste_tests::ports::Port;
use posthaste_tests::postgres::{exists, processes, sigkill, temporary_folder};
use posthaste_tests::process::{Ended, Launch, Process};
use posthaste_tests::wait;
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);

/// A data folder, deleted after the test.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        Self(temporary_folder())
    }

    /// A bare `posthaste` on this folder.
    fn launch(&self) -> Launch {
        Launch::new("posthaste").with_port().env("DATA_DIR", self.0.to_str().unwrap())
    }

    /// The process id in the server's pid file.
    fn server(&self) -> Option<u32> {
        let text = std::fs::read_to_string(self.0.join("cluster/postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

/// A message that is not due during any test.
async fn store_a_message(api: &Api) -> String {
    let queue = json!({"name": "kept", "callbackUrl": "http://127.0.0.1:9/", "method": "POST", "maxRetries": 0});
    let queue = api.create_queue(&queue).await;
    api.create_message(&json!({"queueId": queue, "when": "2199-01-01T00:00:00Z", "body": "kept"})).await
}

async fn assert_stored(api: &Api, message: &str) {
    let answer = api.get(&format!("/messages/{message}")).await;
    assert_eq!((answer.status, answer.json["body"].as_str()), (200, Some("kept")), "{}", answer.text);
}

fn assert_fails(ended: &Ended, status: i32, wanted: &str) {
    assert_eq!(ended.status.code(), Some(status), "{ended:?}");
    assert!(ended.stderr.lines().any(|line| line.contains(wanted)), "{wanted:?} in {ended:?}");
}

#[actix_rt::test]
async fn starts_on_an_empty_folder_and_leaves_no_process_behind() {
    let home = Home::new();
    let mut process = home.launch().start().await;
    let server = home.server().expect("a server");
    assert!(exists(server));

    process.sigterm();

    assert_eq!(process.wait(SOON).await.code(), Some(0), "{}", process.stderr());
    assert!(!exists(server));
    assert_eq!(home.server(), None, "the server ended in order");
    let left = processes().into_iter().filter(|found| found.command.contains(home.0.to_str().unwrap()));
    assert_eq!(left.map(|found| found.command).collect::<Vec<_>>(), Vec::<String>::new());
}

#[actix_rt::test]
async fn stopped_while_it_starts_it_ends_in_order() {
    let home = Home::new();
    let mut process = home.launch().spawn();
    wait::eventually(SOON, "it is making its databases", async || home.0.join("cluster.unfinished").exists()).await;

    process.sigterm();

    assert_eq!(process.wait(SOON).await.code(), Some(0), "{}", process.stderr());
    assert_eq!(home.server(), None);
    let mut process = home.launch().start().await;
    process.sigterm();
    assert_eq!(process.wait(SOON).await.code(), Some(0), "{}", process.stderr());
}

/// The id of what a printed line makes, when it is done as the line says.
async fn follow(api: &Api, base: &str, line: &str, queue: &str) -> String {
    let (_, url) = line.split_once("curl -s ").unwrap();
    let path = url.split_whitespace().next().unwrap().strip_prefix(base).unwrap();
    let (_, data) = line.split_once("-d '").unwrap();
    let (data, _) = data.split_once("' | sed").unwrap();
    let data = data.replace("'$queue'", queue);
    api.post(path, &serde_json::from_str(&data).unwrap()).await.created()
}

#[actix_rt::test]
async fn the_lines_that_it_prints_work() {
    let home = Home::new();
    let mut process = home.launch().start().await;
    wait::eventually(SOON, "the announcement", async || process.stdout().contains("curl -s")).await;
    let stdout = process.stdout();
    let lines: Vec<_> = stdout.lines().filter(|line| line.contains("curl -s")).collect();
    let base = format!("http://{}", process.address());
    let api = process.api();

    let queue = follow(&api, &base, lines[0], "").await;
    let message = follow(&api, &base, lines[1], &queue).await;
    assert!(lines[2].contains(&format!("{base}/messages/$message")), "{}", lines[2]);

    wait::eventually(SOON, "the message is delivered to the API itself", async || {
        api.get(&format!("/messages/{message}")).await.json["sentAt"].is_string()
    })
    .await;
    process.sigint();
    assert_eq!(process.wait(SOON).await.code(), Some(0), "{}", process.stderr());
}

#[actix_rt::test]
async fn killed_it_recovers_everything_at_the_next_start() {
    let home = Home::new();
    let mut process = home.launch().start().await;
    let message = store_a_message(&process.api()).await;
    let server = home.server().expect("a server");

    process.sigkill().await;
    wait::eventually(SOON, "the guard has stopped the server", async || !exists(server)).await;
    process.start_again().await;

    assert_stored(&process.api(), &message).await;
}

#[actix_rt::test]
async fn killed_with_its_guard_it_takes_care_of_the_server_left_over() {
    let home = Home::new();
    let mut process = home.launch().start().await;
    let message = store_a_message(&process.api()).await;
    let server = home.server().expect("a server");
    let of_the_guard = |found: &&posthaste_tests::postgres::Found| {
        found.parent == process.pid() && found.command.contains("posthaste-guard")
    };
    let guard = processes().iter().find(of_the_guard).expect("a guard").pid;

    sigkill(guard);
    process.sigkill().await;
    assert!(exists(server), "nobody has stopped it");
    process.start_again().await;

    assert!(!exists(server));
    assert_ne!(home.server(), Some(server));
    assert_stored(&process.api(), &message).await;
}

#[actix_rt::test]
async fn a_server_that_dies_comes_back_and_nothing_accepted_is_lost() {
    let home = Home::new();
    let mut process = home.launch().start().await;
    let message = store_a_message(&process.api()).await;
    let server = home.server().expect("a server");

    sigkill(server);
    wait::eventually(SOON, "another server", async || home.server().is_some_and(|pid| pid != server)).await;
    process.wait_until_ready(SOON).await;

    assert_stored(&process.api(), &message).await;
    process.sigterm();
    assert_eq!(process.wait(SOON).await.code(), Some(0), "{}", process.stderr());
}

#[actix_rt::test]
async fn two_do_not_share_a_data_folder() {
    let home = Home::new();
    let first = home.launch().start().await;
    let second = home.launch().run(SOON).await;
    assert_fails(&second, 1, &format!("in use by another posthaste (process {})", first.pid()));
}

#[actix_rt::test]
async fn a_folder_without_a_server_is_refused() {
    let home = Home::new();
    let ended = home.launch().env("POSTGRES_BIN", home.0.to_str().unwrap()).run(SOON).await;
    assert_fails(&ended, 2, "POSTGRES_BIN: takes the folder that holds initdb and postgres");
    assert!(!home.0.join("cluster").exists(), "nothing was started");
}

#[actix_rt::test]
async fn a_server_that_is_chosen_and_too_old_is_refused() {
    let home = Home::new();
    let programs = home.0.join("programs");
    std::fs::create_dir(&programs).unwrap();
    for program in ["initdb", "postgres"] {
        let path = programs.join(program);
        std::fs::write(&path, "#!/bin/sh\necho 'postgres (PostgreSQL) 13.14'\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let ended = home.launch().env("POSTGRES_BIN", programs.to_str().unwrap()).run(SOON).await;
    assert_fails(&ended, 2, "is PostgreSQL 13, which is too old");
    assert_fails(&ended, 2, "posthaste: POSTGRES_BIN: ");
}

#[actix_rt::test]
async fn a_port_in_use_is_named_and_the_server_is_stopped_again() {
    let home = Home::new();
    let port = Port::lease();
    let _taken = TcpListener::bind(port.address()).unwrap();
    let ended = home.launch().env("PORT", &port.number().to_string()).run(SOON).await;
    assert_fails(&ended, 1, &format!("PORT: {} is in use on 127.0.0.1", port.number()));
    assert!(home.0.join("cluster/PG_VERSION").exists(), "there was a server");
    assert_eq!(home.server(), None, "it is stopped");
}

#[actix_rt::test]
async fn every_command_says_when_the_database_cannot_be_reached() {
    let port = Port::lease();
    let url = format!("postgres://someone:hunter2@{}/nowhere", port.address());
    for command in ["dev", "migrate", "api", "scheduler", "deliverer"] {
        let launch = Launch::new("posthaste").argument(command).with_port().env("DATABASE_URL", &url);
        let ended = launch.run(SOON).await;
        assert_fails(&ended, 1, "DATABASE_URL: ");
        assert_fails(&ended, 1, "the database is not available");
        assert!(ended.stderr.contains(&port.address().to_string()), "{command} says which: {ended:?}");
        assert!(!format!("{ended:?}").contains("hunter2"), "{command} shows no password: {ended:?}");
    }
}

#[actix_rt::test]
async fn every_fault_of_the_configuration_is_named_with_status_2() {
    let faults = [
        ("DATABASE_URL", "mysql://someone:hunter2@db/app"),
        ("HOST", "http://here"),
        ("PORT", "seventy"),
        ("SHARDS", "0"),
        ("WORKERS", "none"),
        ("EGRESS_ALLOW", "everything"),
        ("EGRESS_DENY", "10.0.0.0/99"),
        ("EGRESS_PORTS", "0"),
        ("EGRESS_SCHEMES", "ftp"),
        ("LOG", "loud"),
        ("LOG_FORMAT", "xml"),
        ("POOL_SIZE", "0"),
        ("MAX_BODY_BYTES", "1k"),
    ];
    let mut all = Launch::new("posthaste");
    for (variable, value) in faults {
        let ended = Launch::new("posthaste").env("DATA_DIR", "/nowhere").env(variable, value).run(SOON).await;
        assert_fails(&ended, 2, &format!("posthaste: {variable}: "));
        all = all.env(variable, value);
    }
    let ended = all.run(SOON).await;
    for (variable, _) in faults {
        let told = ended.stderr.lines().filter(|line| line.starts_with(&format!("posthaste: {variable}: "))).count();
        assert_eq!(told, 1, "{variable}, once: {ended:?}");
    }
    assert!(!format!("{ended:?}").contains("hunter2"), "{ended:?}");
    assert!(!Path::new("/nowhere").exists());
}

#[actix_rt::test]
async fn settings_that_contradict_each_other_are_named() {
    let lock_alone = Launch::new("posthaste").env("LOCK_DATABASE_URL", "postgres://db/app").run(SOON).await;
    assert_fails(&lock_alone, 2, "LOCK_DATABASE_URL: ");
    let open_to_all = Launch::new("posthaste").env("DATA_DIR", "/nowhere").env("HOST", "0.0.0.0").run(SOON).await;
    assert_fails(&open_to_all, 2, "ADMIN_SECRET: ");
}

#[actix_rt::test]
async fn the_command_line_explains_itself() {
    let version = Launch::new("posthaste").argument("--version").run(SOON).await;
    assert_eq!(version.stdout, format!("posthaste {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(version.status.code(), Some(0));
    let help = Launch::new("posthaste").argument("--help").run(SOON).await;
    for command in ["dev", "migrate", "api", "scheduler", "deliverer"] {
        assert!(help.stdout.contains(command), "{command} in {}", help.stdout);
    }
    let unknown = Launch::new("posthaste").argument("fly").run(SOON).await;
    assert_fails(&unknown, 2, "fly");
}

#[actix_rt::test]
async fn on_a_given_database_it_starts_no_server() {
    let database = Database::empty().await;
    let home = Home::new();
    let launch = Launch::all_in_one(&database).env("DATA_DIR", home.0.to_str().unwrap());
    let mut process: Process = launch.start().await;
    let message = store_a_message(&process.api()).await;
    assert_stored(&process.api(), &message).await;
    assert_eq!(database.number("SELECT count(*) FROM posthaste.pending").await, 1);
    assert_eq!(std::fs::read_dir(&home.0).unwrap().count(), 0, "the data folder is not touched");
    process.sigterm();
    assert_eq!(process.wait(SOON).await.code(), Some(0), "{}", process.stderr());
}
