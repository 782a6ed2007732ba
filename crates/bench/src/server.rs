//! The Postgres server that the scenarios' databases are made on: a given one, or one of our own for the run.

use std::cell::Cell;
use std::path::Path;

use anyhow::{Context, bail};
use posthaste_standalone::embedded::{Embedded, Restart, Search, Settings};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::database::{Database, connect};

/// Not `/tmp`, which may be in memory: an fsync must cost what it costs.
const FOLDER: &str = "/var/tmp";

/// A Postgres server on which databases can be made.
pub struct Server {
    url: Url,
    made: Cell<u32>,
    embedded: Option<Embedded>,
}

/// What is known of a server, for the report's header.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    pub version: String,
    /// Name and value of the settings that weigh most.
    pub settings: Vec<(String, String)>,
}

impl Server {
    /// The server that `url` names; its own database is only used to make others.
    pub fn given(url: &str) -> anyhow::Result<Server> {
        let url = Url::parse(url).context("the database URL takes the form postgres://user@host:port/database")?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            bail!("the database URL takes the form postgres://user@host:port/database");
        }
        Ok(Server { url, made: Cell::new(0), embedded: None })
    }

    /// A new server with the default settings of the Postgres found on this machine; it is gone when the run ends.
    pub async fn embedded(stop: &CancellationToken) -> anyhow::Result<Server> {
        let settings = Settings {
            folder: Path::new(FOLDER).join(format!("posthaste-bench-{}", std::process::id())),
            search: Search::usual(),
            parameters: Vec::new(),
            restart: Restart::ByHand,
            discard: true,
        };
        let stop = stop.clone();
        let embedded = tokio::task::spawn_blocking(move || Embedded::start(settings, &stop)).await??;
        let url = Url::parse(&embedded.url("postgres"))?;
        Ok(Server { url, made: Cell::new(0), embedded: Some(embedded) })
    }

    pub async fn describe(&self) -> anyhow::Result<Description> {
        const NAMES: [&str; 8] = [
            "autovacuum",
            "fsync",
            "full_page_writes",
            "max_connections",
            "max_wal_size",
            "shared_buffers",
            "synchronous_commit",
            "wal_level",
        ];
        let client = connect(self.url.as_str()).await?;
        let version = client.query_one("SELECT current_setting('server_version')", &[]).await?.get(0);
        let sql = "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY($1) ORDER BY name";
        let rows = client.query(sql, &[&NAMES.as_slice()]).await?;
        Ok(Description { version, settings: rows.iter().map(|row| (row.get(0), row.get(1))).collect() })
    }

    /// Makes a database for one scenario.
    pub async fn fresh(&self) -> anyhow::Result<Database> {
        self.made.set(self.made.get() + 1);
        Database::make(&self.url, format!("posthaste_bench_{}_{}", std::process::id(), self.made.get())).await
    }

    /// Ends and removes a server of our own.
    pub async fn stop(self) -> anyhow::Result<()> {
        if let Some(embedded) = self.embedded {
            tokio::task::spawn_blocking(|| embedded.stop()).await?;
        }
        Ok(())
    }
}
