//! What `posthaste dev` tells the person who started it, once everything runs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// The addresses, and three lines to paste into another terminal.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Where the API listens.
    pub api: SocketAddr,
    /// Where the data is.
    pub database: DatabasePlace,
    /// Whether the API demands `ADMIN_SECRET`.
    pub secret: bool,
}

/// Where the data is.
#[derive(Clone, Debug)]
pub enum DatabasePlace {
    /// `DATABASE_URL`, as it may be shown.
    Given(String),
    /// The embedded server.
    Embedded {
        /// Its data folder.
        folder: PathBuf,
        /// The folder of its socket.
        sockets: PathBuf,
        /// Its port on 127.0.0.1.
        port: u16,
    },
}

impl fmt::Display for Announcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = format!("http://{}", reachable(self.api));
        writeln!(f, "\nPosthaste is running. Ctrl-C stops it.\n")?;
        writeln!(f, "  API       {base}")?;
        match &self.database {
            DatabasePlace::Given(place) => writeln!(f, "  Database  {place}")?,
            DatabasePlace::Embedded { folder, sockets, port } => {
                writeln!(f, "  Database  psql -h {} -p {port} -U posthaste", sockets.display())?;
                writeln!(
                    f,
                    "            postgres://posthaste@127.0.0.1:{port}/posthaste (the password is in {})",
                    folder.join("password").display()
                )?;
                writeln!(f, "  Data      {}", folder.display())?;
            }
        }
        writeln!(
            f,
            "\nTry it in another terminal: make a queue that calls this very API, post a message, look at it:\n"
        )?;
        for line in self.lines() {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

impl Announcement {
    /// The three lines, for any POSIX shell. They work whatever the database already holds.
    pub fn lines(&self) -> [String; 3] {
        let base = format!("http://{}", reachable(self.api));
        let secret = if self.secret { r#" -H "X-PLATFORMATIC-ADMIN-SECRET: $ADMIN_SECRET""# } else { "" };
        let post = |path: &str| format!("curl -s {base}{path}{secret} -H 'content-type: application/json' -d");
        let id = r#"sed 's/.*"id":"\([0-9]*\)".*/\1/'"#;
        [
            format!(
                r#"queue=$({} '{{"name":"hello","callbackUrl":"{base}/healthz","method":"GET","maxRetries":5}}' | {id})"#,
                post("/queues/")
            ),
            format!(r#"message=$({} '{{"queueId":"'$queue'","body":"Hello"}}' | {id})"#, post("/messages/")),
            format!("curl -s {base}/messages/$message{secret}"),
        ]
    }
}

/// Where a client on this machine finds what listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn announcement(api: &str, secret: bool) -> Announcement {
        let database = DatabasePlace::Given("db:5432/app".to_owned());
        Announcement { api: api.parse().unwrap(), database, secret }
    }

    #[test]
    fn a_wildcard_address_is_shown_as_one_that_can_be_called() {
        let shown = announcement("0.0.0.0:3042", false).to_string();
        assert!(shown.contains("API       http://127.0.0.1:3042\n"), "{shown}");
        let shown = announcement("[::]:3042", false).to_string();
        assert!(shown.contains("API       http://[::1]:3042\n"), "{shown}");
    }

    #[test]
    fn the_secret_is_a_placeholder_on_each_line_if_it_is_set_at_all() {
        for line in announcement("127.0.0.1:1", true).lines() {
            assert!(line.contains(r#"-H "X-PLATFORMATIC-ADMIN-SECRET: $ADMIN_SECRET""#), "{line}");
        }
        for line in announcement("127.0.0.1:1", false).lines() {
            assert!(!line.contains("SECRET"), "{line}");
        }
    }
}
