//! The PostgreSQL of the tests.
//!
//! `TEST_DATABASE_URL` names a server to use, as a user who may create databases. Else every test process starts its own in
//! a temporary folder, with all its durability, as Posthaste's all-in-one does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use posthaste_standalone::embedded::{Embedded, NAME, Restart, Search, Settings};
use rustix::process::{Pid, Signal, kill_process};
use tokio_util::sync::CancellationToken;

/// A server.
#[derive(Debug)]
pub struct Server {
    kind: Kind,
    pub(crate) template: tokio::sync::OnceCell<String>,
}

#[derive(Debug)]
enum Kind {
    /// `TEST_DATABASE_URL`.
    Given(String),
    Embedded(Embedded),
}

impl Server {
    /// The server that all tests of this process share. Not to be harmed.
    ///
    /// # Panics
    /// There is none.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(|| match std::env::var("TEST_DATABASE_URL") {
            Ok(url) if !url.is_empty() => Self { kind: Kind::Given(url), template: Default::default() },
            _ => Self::own(),
        })
    }

    /// A server of the caller's own, who may kill, freeze and restart it. Stopped and deleted when dropped.
    ///
    /// # Panics
    /// It does not start.
    pub fn own() -> Self {
        Self::own_with(&[])
    }

    /// The same with settings of the server, such as `("max_connections", "20")`.
    ///
    /// # Panics
    /// It does not start.
    pub fn own_with(parameters: &[(&str, &str)]) -> Self {
        // Many tests at once, each with several services and their pools.
        let all = [("max_connections", "400")].iter().chain(parameters);
        let settings = Settings {
            folder: temporary_folder(),
            search: Search::usual(),
            parameters: all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            restart: Restart::ByHand,
            discard: true,
        };
        let embedded = Embedded::start(settings, &CancellationToken::new())
            .unwrap_or_else(|error| panic!("the tests need a PostgreSQL: {error}"));
        Self { kind: Kind::Embedded(embedded), template: Default::default() }
    }

    /// The URL of a database on it.
    pub fn url(&self, database: &str) -> String {
        match &self.kind {
            Kind::Embedded(embedded) => embedded.url(database),
            Kind::Given(url) => with_database(url, database),
        }
    }

    /// The URL of a database that is always there, for creating others.
    pub fn admin_url(&self) -> String {
        match &self.kind {
            Kind::Embedded(embedded) => embedded.url(NAME),
            Kind::Given(url) => url.clone(),
        }
    }

    /// Kills the server process and all its children at once (SIGKILL), as a crash of the machine would, short of the disk.
    ///
    /// # Panics
    /// It is not one of the caller's own, or it is down.
    pub fn sigkill(&self) {
        // The master first, so that it does not see its children die and recover by itself.
        self.signal_all(Signal::KILL);
    }

    /// Starts it again after [`Server::sigkill`], on the same port. Returns once it has recovered and accepts connections.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_again(&self) {
        self.own_one().start_again().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Freezes the server with all its sessions (SIGSTOP): connections stay open and nobody answers.
    pub fn sigstop(&self) {
        self.signal_all(Signal::STOP);
    }

    /// Thaws it.
    pub fn sigcont(&self) {
        self.signal_all(Signal::CONT);
    }

    /// The process id of the server.
    ///
    /// # Panics
    /// It is not one of the caller's own, or it is down.
    pub fn pid(&self) -> u32 {
        self.own_one().pid().expect("the server runs")
    }

    /// Its data folder.
    ///
    /// # Panics
    /// It is not one of the caller's own.
    pub fn folder(&self) -> &Path {
        self.own_one().folder()
    }

    fn own_one(&self) -> &Embedded {
        match &self.kind {
            Kind::Embedded(embedded) => embedded,
            Kind::Given(_) => panic!("the server of TEST_DATABASE_URL is not to be harmed; use Server::own()"),
        }
    }

    fn signal_all(&self, signal: Signal) {
        let master = self.pid();
        // Before the master is told, as its children would become another's. They are its direct children, all of them.
        let children = processes().into_iter().filter(|found| found.parent == master);
        let all: Vec<_> = std::iter::once(master).chain(children.map(|found| found.pid)).collect();
        for pid in all {
            self::signal(pid, signal);
        }
    }
}

/// A process of this machine.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its id.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Its command line.
    pub command: String,
}

/// All processes that run; those that have ended and were only not waited for do not count.
///
/// # Panics
/// There is neither `/proc` nor `ps`.
pub fn processes() -> Vec<Found> {
    match std::fs::read_dir("/proc") {
        Ok(entries) => entries.filter_map(|entry| from_proc(&entry.ok()?.path())).collect(),
        Err(_) => from_ps(),
    }
}

fn from_proc(folder: &Path) -> Option<Found> {
    let pid = folder.file_name()?.to_str()?.parse().ok()?;
    // "12 (a name) S 1 …", where the name may hold anything.
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace();
    let (state, parent) = (after_name.next()?, after_name.next()?.parse().ok()?);
    let command = std::fs::read(folder.join("cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    (state != "Z").then_some(Found { pid, parent, command })
}

fn from_ps() -> Vec<Found> {
    let output = Command::new("ps").args(["-A", "-ww", "-o", "pid=,ppid=,stat=,command="]).output().expect("ps");
    let text = String::from_utf8_lossy(&output.stdout);
    let parse = |line: &str| {
        let (pid, rest) = line.trim_start().split_once(' ')?;
        let (parent, rest) = rest.trim_start().split_once(' ')?;
        let (state, command) = rest.trim_start().split_once(' ')?;
        let found = Found { pid: pid.parse().ok()?, parent: parent.parse().ok()?, command: command.to_owned() };
        (!state.starts_with('Z')).then_some(found)
    };
    text.lines().filter_map(parse).collect()
}

/// Whether a process with this id runs.
///
/// # Panics
/// There is no `ps`.
pub fn exists(pid: u32) -> bool {
    processes().iter().any(|found| found.pid == pid)
}

/// Kills any process, if it still runs.
pub fn sigkill(pid: u32) {
    signal(pid, Signal::KILL);
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    // It may have ended meanwhile.
    let _ = kill_process(pid, signal);
}

/// A folder below the temporary one that a server's user may enter, also where root runs the tests.
pub fn temporary_folder() -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::Builder::new().prefix("posthaste-test-").tempdir().expect("a temporary folder").keep();
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o755)).expect("a folder of our own");
    folder
}

/// Replaces the database's name in a URL.
fn with_database(url: &str, database: &str) -> String {
    let (place, query) = url.split_once('?').map_or((url, ""), |(place, query)| (place, query));
    let after_scheme = place.find("://").map_or(0, |at| at + 3);
    let end = place[after_scheme..].find('/').map_or(place.len(), |at| after_scheme + at);
    let separator = if query.is_empty() { "" } else { "?" };
    format!("{}/{database}{separator}{query}", &place[..end])
}

#[cfg(test)]
mod tests {
    use super::with_database;

    #[test]
    fn replaces_the_database_of_a_url() {
        assert_eq!(with_database("postgres://u:p@h:1/a?x=y", "b"), "postgres://u:p@h:1/b?x=y");
        assert_eq!(with_database("postgres://h", "b"), "postgres://h/b");
    }
}
