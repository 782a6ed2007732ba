//! A load balancer before several APIs: HAProxy, as a process of its own, told by its socket what a cluster's endpoints tell.

use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};

use crate::processes::free_port;

const UP_WITHIN: Duration = Duration::from_secs(30);

/// A running HAProxy; dropping it kills it.
pub struct Balancer {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Balancer {
    /// Starts it before the APIs on these ports, of which those get requests that answer `/readyz`.
    pub async fn start(apis: &[u16]) -> anyhow::Result<Balancer> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let socket = folder.path().join("socket");
        let servers: String = (0_u16..)
            .zip(apis)
            .map(|(slot, api)| {
                format!("    server s{slot} {}:{api} check inter 250ms fall 1 rise 1\n", Ipv4Addr::LOCALHOST)
            })
            .collect();
        // As deploy/compose/haproxy.cfg.
        let config = format!(
            "global\n    stats socket {} level admin\n\
             defaults\n    mode http\n    timeout connect 2s\n    timeout client 1h\n    timeout server 1h\n    retries 3\n    option redispatch\n\
             frontend api\n    bind {}:{port}\n    default_backend apis\n\
             backend apis\n    option httpchk GET /readyz\n    http-check expect status 200\n{servers}",
            socket.display(),
            Ipv4Addr::LOCALHOST
        );
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, config)?;
        let process = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("cannot start haproxy; it is Debian's package of that name")?;
        let balancer = Balancer { process, port, folder };
        let since = Instant::now();
        while let Err(error) = balancer.ask("show info\n").await {
            if since.elapsed() > UP_WITHIN {
                return Err(error.context("haproxy does not start"));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(balancer)
    }

    /// The base URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// Waits until the API in this slot gets requests.
    pub async fn until_up(&self, slot: usize) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            let stat = self.ask("show stat\n").await?;
            let is_up = |line: &str| line.starts_with(&format!("apis,s{slot},")) && line.contains(",UP,");
            if stat.lines().any(is_up) {
                return Ok(());
            }
            if since.elapsed() > UP_WITHIN {
                bail!("haproxy does not take the API {slot} for ready: {stat}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Gives no new connection to this slot, as when a pod that is to end leaves its endpoints; or does again.
    pub async fn drain(&self, slot: usize, drained: bool) -> anyhow::Result<()> {
        let state = if drained { "drain" } else { "ready" };
        let answer = self.ask(&format!("set server apis/s{slot} state {state}\n")).await?;
        if answer.trim().is_empty() { Ok(()) } else { bail!("haproxy: {answer}") }
    }

    pub async fn stop(mut self) -> anyhow::Result<()> {
        Ok(self.process.kill().await?)
    }

    async fn ask(&self, command: &str) -> anyhow::Result<String> {
        let mut socket = UnixStream::connect(self.folder.path().join("socket")).await?;
        socket.write_all(command.as_bytes()).await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}
