//! The embedded server: found, started as root or not, kept over crashes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use posthaste_standalone::embedded::{Embedded, EmbeddedError, NAME, OLDEST_MAJOR, Restart, Search, Settings};
use posthaste_tests::database::connect;
use posthaste_tests::postgres::{exists, sigkill, temporary_folder};
use posthaste_tests::wait;
use tokio_postgres::NoTls;
use tokio_util::sync::CancellationToken;

const SOON: Duration = Duration::from_secs(30);

/// A data folder that is deleted after the test, whatever runs on it by then having been stopped.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        Self(temporary_folder())
    }

    fn settings(&self) -> Settings {
        Settings {
            folder: self.0.clone(),
            search: Search::usual(),
            parameters: Vec::new(),
            restart: Restart::Always,
            discard: false,
        }
    }

    fn start(&self) -> Embedded {
        start(self.settings()).unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn start(settings: Settings) -> Result<Embedded, EmbeddedError> {
    Embedded::start(settings, &CancellationToken::new())
}

#[actix_rt::test]
async fn keeps_its_data_and_its_port_between_runs() {
    let home = Home::new();
    let first = home.start();
    let (port, pid) = (first.port(), first.pid().unwrap());
    connect(&first.url(NAME)).await.batch_execute("CREATE TABLE kept AS SELECT 42 AS number").await.unwrap();
    first.stop();
    assert!(!exists(pid));

    let second = home.start();
    assert_eq!(second.port(), port);
    let row = connect(&second.url(NAME)).await.query_one("SELECT number FROM kept", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 42);
}

#[actix_rt::test]
async fn asks_for_the_password_on_tcp_and_loses_no_commit() {
    let home = Home::new();
    let server = home.start();
    let url = server.url(NAME);
    let (user, rest) = url.split_once("@").unwrap();
    let without = format!("{}:wrong@{rest}", user.rsplit_once(':').unwrap().0);
    let error = tokio_postgres::connect(&without, NoTls).await.err().expect("no entry");
    assert!(error.as_db_error().is_some_and(|error| error.code().code() == "28P01"), "{error:?}");

    let client = connect(&url).await;
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let row = client.query_one("SELECT current_setting($1)", &[&setting]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "on", "{setting}");
    }
}

#[actix_rt::test]
async fn a_server_that_dies_is_started_again_on_the_same_port() {
    let home = Home::new();
    let server = home.start();
    connect(&server.url(NAME)).await.batch_execute("CREATE TABLE kept AS SELECT 42 AS number").await.unwrap();
    let before = server.pid().unwrap();
    sigkill(before);

    wait::eventually(SOON, "another server", async || server.pid().is_some_and(|pid| pid != before)).await;

    let row = connect(&server.url(NAME)).await.query_one("SELECT number FROM kept", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 42);
}

#[actix_rt::test]
async fn a_second_one_on_the_same_folder_is_refused_and_names_the_first() {
    let home = Home::new();
    let _first = home.start();
    let second = start(home.settings()).unwrap_err();
    assert!(matches!(second, EmbeddedError::InUse { .. }), "{second:?}");
    assert!(second.to_string().contains(&std::process::id().to_string()), "{second}");
}

#[test]
fn a_pid_file_that_names_a_stranger_does_not_keep_it_from_starting() {
    let home = Home::new();
    home.start().stop();
    // As after a power cut, or in a new container: process ids start again, and this one is taken, by us.
    let file = home.0.join("cluster/postmaster.pid");
    let us = std::process::id();
    std::fs::write(&file, format!("{us}\n{}\n1\n5432\n\n127.0.0.1\n 1 1\nready\n", home.0.join("cluster").display()))
        .unwrap();
    give_like(&file, &home.0.join("cluster"));
    home.start();
}

fn give_like(file: &Path, model: &Path) {
    use std::os::unix::fs::{MetadataExt, chown};
    let owner = std::fs::metadata(model).unwrap();
    chown(file, Some(owner.uid()), Some(owner.gid())).unwrap();
}

#[test]
fn without_any_server_it_says_what_to_install() {
    let home = Home::new();
    let nowhere = Search { places: vec![home.0.join("bin")], allow_download: false };
    let error = start(Settings { search: nowhere, ..home.settings() }).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, EmbeddedError::NoBinaries(_)), "{error:?}");
    for wanted in ["apt-get install postgresql", "dnf install", "brew install", "DATABASE_URL", "POSTGRES_BIN"] {
        assert!(text.contains(wanted), "{wanted} in {text}");
    }
    assert!(text.contains(&home.0.join("bin").display().to_string()), "{text}");
}

#[test]
fn a_folder_of_another_major_version_is_refused_and_left_alone() {
    let home = Home::new();
    home.start().stop();
    let file = home.0.join("cluster/PG_VERSION");
    let theirs = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, "13\n").unwrap();

    let mut search = Search::usual();
    search.allow_download = false;
    let error = start(Settings { search, ..home.settings() }).unwrap_err();

    assert!(matches!(error, EmbeddedError::OtherVersion { cluster: 13, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("PostgreSQL 13") && text.contains(&home.0.display().to_string()), "{text}");
    const { assert!(OLDEST_MAJOR > 13, "no search finds a 13") };
    std::fs::write(&file, theirs).unwrap();
    home.start();
}

#[test]
fn a_server_that_cannot_start_shows_the_end_of_its_log() {
    let home = Home::new();
    let parameters = vec![("shared_buffers".to_owned(), "nonsense".to_owned())];
    let error = start(Settings { parameters, ..home.settings() }).unwrap_err();
    assert!(matches!(error, EmbeddedError::NotStarted { .. }), "{error:?}");
    assert!(error.to_string().contains("nonsense"), "{error}");
    // Nothing is left that a corrected start would stumble over.
    home.start();
}

#[test]
fn what_is_to_be_discarded_is() {
    let home = Home::new();
    let server = start(Settings { discard: true, ..home.settings() }).unwrap();
    let pid = server.pid().unwrap();
    server.stop();
    assert!(!exists(pid));
    assert!(!home.0.exists());
}
