//! The sink as the scenarios see it: started, asked, stopped.

use std::cell::Cell;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::ledger::Stats;

/// How often a count is asked for while waiting. An answer costs the sink some 20 µs.
const POLL: Duration = Duration::from_millis(10);

/// A running sink process; dropping it ends it.
pub struct Sink {
    process: Child,
    pid: u32,
    address: String,
    http: awc::Client,
    run: Cell<u32>,
}

impl Sink {
    /// Starts this program again as a sink, and waits until it listens.
    pub async fn start() -> anyhow::Result<Sink> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("sink")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the sink")?;
        let output = process.stdout.take().context("the sink has no output")?;
        let address = BufReader::new(output).lines().next_line().await?.context("the sink ended before it listened")?;
        let pid = process.id().context("the sink has ended")?;
        let http = awc::Client::builder().timeout(Duration::from_secs(10)).disable_redirects().finish();
        Ok(Sink { process, pid, address, http, run: Cell::new(0) })
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Begins a new run: forgets what has arrived. Returns the URL to which this run's messages go; what arrives at another
    /// run's URL from now on counts as foreign.
    pub async fn begin(&self) -> anyhow::Result<String> {
        self.run.set(self.run.get() + 1);
        self.forget().await
    }

    /// Forgets what has arrived, within the same run; returns its URL.
    pub async fn forget(&self) -> anyhow::Result<String> {
        let run = self.run.get();
        self.request(self.http.post(format!("http://{}/reset/{run}", self.address))).await?;
        Ok(format!("http://{}/deliver/{run}", self.address))
    }

    /// How many different messages have arrived in this run.
    pub async fn count(&self) -> anyhow::Result<u64> {
        let count = self.request(self.http.get(format!("http://{}/count", self.address))).await?;
        Ok(std::str::from_utf8(&count)?.parse()?)
    }

    /// The summary of this run, of which the numbers below `expected` should have arrived.
    pub async fn stats(&self, expected: u64) -> anyhow::Result<Stats> {
        let stats = self.request(self.http.get(format!("http://{}/stats?expected={expected}", self.address))).await?;
        Ok(serde_json::from_slice(&stats)?)
    }

    /// Waits until `count` different messages have arrived, or until none has for as long as `patience`. Returns how many
    /// have: losses are for the caller to report.
    pub async fn wait_for(&self, count: u64, patience: Duration) -> anyhow::Result<u64> {
        let mut last = self.count().await?;
        let mut progress = Instant::now();
        while last < count && progress.elapsed() < patience {
            tokio::time::sleep(POLL).await;
            let now = self.count().await?;
            if now > last {
                last = now;
                progress = Instant::now();
            }
        }
        Ok(last)
    }

    /// Ends the process.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        // The end of its input is its signal.
        drop(self.process.stdin.take());
        self.process.wait().await?;
        Ok(())
    }

    async fn request(&self, request: awc::ClientRequest) -> anyhow::Result<Vec<u8>> {
        let mut response =
            request.send().await.map_err(|error| anyhow::anyhow!("the sink does not answer: {error}"))?;
        if !response.status().is_success() {
            bail!("the sink answered {}", response.status());
        }
        Ok(response.body().await?.to_vec())
    }
}
