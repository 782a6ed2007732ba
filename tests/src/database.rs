//! A fresh database for each test.
//!
//! A migrated one is a copy of a template, which is made once per server: a tenth of a second instead of a migration.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio_postgres::{Client, NoTls};

use crate::postgres::Server;

/// A database of one test. Dropped with it, whoever is still connected.
#[derive(Debug)]
pub struct Database {
    name: String,
    url: String,
    admin_url: String,
}

impl Database {
    /// A migrated one on the shared server.
    pub async fn new() -> Self {
        Self::on(Server::shared()).await
    }

    /// One without any schema on the shared server.
    pub async fn empty() -> Self {
        Self::empty_on(Server::shared()).await
    }

    /// A migrated one on `server`.
    pub async fn on(server: &Server) -> Self {
        let template = server.template.get_or_init(|| make_template(server)).await;
        Self::create(server, template).await
    }

    /// One without any schema on `server`.
    pub async fn empty_on(server: &Server) -> Self {
        Self::create(server, "template0").await
    }

    async fn create(server: &Server, template: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&server.admin_url()).await;
        admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}")).await.expect("a new database");
        Self { url: server.url(&name), admin_url: server.admin_url(), name }
    }

    /// What a service takes as `DATABASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A session for the test itself.
    ///
    /// # Panics
    /// The server does not let us in.
    pub async fn connect(&self) -> Client {
        connect(&self.url).await
    }

    /// Runs statements, without parameters or results.
    ///
    /// # Panics
    /// One fails.
    pub async fn execute(&self, sql: &str) {
        self.connect().await.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// The single number that a query gives.
    ///
    /// # Panics
    /// It fails, or gives something else than one row with one `bigint`.
    pub async fn number(&self, sql: &str) -> i64 {
        let row = self.connect().await.query_one(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        row.get(0)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (name, admin_url) = (self.name.clone(), self.admin_url.clone());
        // A runtime of its own: this may run while another is being torn down.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (client, connection) = tokio_postgres::connect(&admin_url, NoTls).await?;
                tokio::spawn(connection);
                client.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?;
                anyhow::Ok(())
            })
        });
        // A test that killed its server has no database any more.
        let _ = dropped.join();
    }
}

/// A session at `url`, driven by a task of the current runtime.
///
/// # Panics
/// The server does not let us in.
pub async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap_or_else(|error| panic!("{error:?}"));
    tokio::spawn(connection);
    client
}

/// Makes the template, unless another process has made it on this server.
async fn make_template(server: &Server) -> String {
    let name = format!("posthaste_template_{:016x}", hash_of_migrations());
    let admin = connect(&server.admin_url()).await;
    admin.batch_execute("SELECT pg_advisory_lock(hashtext('posthaste_template'))").await.expect("a lock");
    let there = admin.query_one("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", &[&name]).await;
    if !there.expect("an answer").get::<_, bool>(0) {
        let unfinished = format!("{name}_unfinished");
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS {unfinished}")).await.expect("no unfinished template");
        admin.batch_execute(&format!("CREATE DATABASE {unfinished}")).await.expect("an unfinished template");
        migrate(&server.url(&unfinished)).await;
        admin.batch_execute(&format!("ALTER DATABASE {unfinished} RENAME TO {name}")).await.expect("a template");
    }
    name
}

/// Applies the migrations, as `posthaste migrate` does.
///
/// # Panics
/// They fail.
pub async fn migrate(url: &str) {
    let url = url.parse().expect("a database's URL");
    posthaste_store::migrations::migrate(&url, None).await.unwrap_or_else(|error| panic!("{error}"));
}

/// So that a server which outlives this process is not used with a template of other migrations.
fn hash_of_migrations() -> u64 {
    let mut hasher = DefaultHasher::new();
    match std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations")) {
        Ok(folders) => {
            let mut files: Vec<_> = folders.filter_map(|folder| Some(folder.ok()?.path().join("up.sql"))).collect();
            files.sort();
            for file in files {
                std::fs::read(file).unwrap_or_default().hash(&mut hasher);
            }
        }
        // The tests were taken elsewhere: a template for this process alone.
        Err(_) => std::process::id().hash(&mut hasher),
    }
    hasher.finish()
}
