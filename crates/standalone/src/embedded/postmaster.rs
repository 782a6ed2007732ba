//! One server process, from its start until it has been waited for.
//!
//! It runs in a process group of its own, so that Ctrl-C in the terminal reaches us and not the server, which has to outlive
//! the services. It is our child, hence its process id is its own until we have waited for it: a signal cannot hit another.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::binaries::Binaries;
use super::error::{EmbeddedError, Tried};
use super::folder::Folder;
use super::guard::Guard;

/// Recovery after a crash may take its time; a healthy server is ready in a tenth of a second.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long a server that is given up may take to end.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(5);

/// Between two looks at whether it is ready.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// How much of the log an error shows.
const TAIL_LINES: usize = 20;

/// Where ports are taken from: below the range that the kernel gives to outgoing connections (Linux: from 32768, macOS: from
/// 49152), one of which could otherwise sit on the port while a crashed server restarts.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Its programs.
    pub binaries: Binaries,
    /// Its TCP port on 127.0.0.1.
    pub port: u16,
    /// Settings of the server over and above those that this module needs.
    pub parameters: Vec<(String, String)>,
    /// Whether the data folder is thrown away when this process dies.
    pub discard: bool,
}

/// A running server.
#[derive(Debug)]
pub struct Postmaster {
    child: Child,
    pid: Pid,
    _guard: Guard,
}

impl Postmaster {
    /// Starts the server on the folder's cluster, and returns once it accepts connections. Blocks.
    ///
    /// # Errors
    /// It ends, or is not ready within a minute (the error shows the end of its log); or `abandon` says so meanwhile.
    pub fn start(folder: &Folder, launch: &Launch, abandon: &dyn Fn() -> bool) -> Result<Self, EmbeddedError> {
        let log_path = folder.log();
        let opening = || format!("opening {}", log_path.display());
        let log = File::options().append(true).create(true).open(&log_path).tried(opening)?;
        let second = log.try_clone().tried(opening)?;
        let mut command = folder.user().command(launch.binaries.folder.join("postgres"));
        command.arg("-D").arg(folder.cluster());
        for (name, value) in [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", launch.port.to_string()),
            ("unix_socket_directories", folder.sockets().display().to_string()),
            ("unix_socket_permissions", "0700".to_owned()),
            ("cluster_name", "posthaste".to_owned()),
        ] {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, value) in &launch.parameters {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let mut child =
            command.process_group(0).stdout(log).stderr(second).spawn().tried(|| "starting postgres".to_owned())?;
        let pid = Pid::from_child(&child);
        let discard = launch.discard.then(|| folder.root());
        let guard = match Guard::set(child.id(), &folder.cluster(), discard) {
            Ok(guard) => guard,
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let mut postmaster = Self { child, pid, _guard: guard };
        postmaster.wait_until_ready(folder, abandon).map(|()| postmaster)
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Sends it a signal: INT for a fast shutdown, QUIT for an immediate one.
    pub fn signal(&self, signal: Signal) {
        // It exists until we have waited for it, and it is ours to signal.
        let _ = kill_process(self.pid, signal);
    }

    /// Waits for its end, which [`wait_for_exit`] has announced or which a signal has asked for.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn reap(mut self) -> std::io::Result<ExitStatus> {
        self.child.wait()
    }

    fn wait_until_ready(&mut self, folder: &Folder, abandon: &dyn Fn() -> bool) -> Result<(), EmbeddedError> {
        let deadline = Instant::now() + READY_WITHIN;
        let file = folder.cluster().join("postmaster.pid");
        let failed =
            |reason: String| EmbeddedError::NotStarted { reason, log: folder.log(), tail: tail(&folder.log()) };
        let error = loop {
            match self.child.try_wait() {
                Ok(None) => {}
                Ok(Some(status)) => return Err(failed(format!("it ended ({status})"))),
                Err(error) => break failed(error.to_string()),
            }
            if is_ready(&file, self.child.id()) {
                return Ok(());
            }
            if abandon() {
                break EmbeddedError::Abandoned;
            }
            if Instant::now() >= deadline {
                break failed(format!("it was not ready after {} s", READY_WITHIN.as_secs()));
            }
            std::thread::sleep(LOOK_EVERY);
        };
        self.give_up();
        Err(error)
    }

    /// Ends a server that is not ready yet. Until it sets its own handlers it may ignore SIGQUIT, as our own parent may have
    /// us do; so it is asked again and again, and killed in the end, before anybody could have used it.
    fn give_up(&mut self) {
        let deadline = Instant::now() + GIVE_UP_WITHIN;
        while Instant::now() < deadline {
            self.signal(Signal::QUIT);
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Blocks until the child has ended, without waiting it away: its id stays taken.
pub fn wait_for_exit(pid: Pid) {
    loop {
        match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
            Err(rustix::io::Errno::INTR) => {}
            _ => return,
        }
    }
}

/// The server writes its state into the last line of its pid file, for `pg_ctl` and for us.
fn is_ready(file: &Path, pid: u32) -> bool {
    let Ok(text) = std::fs::read_to_string(file) else {
        return false;
    };
    let mut lines = text.lines();
    lines.next().and_then(|line| line.trim().parse().ok()) == Some(pid)
        && lines.last().is_some_and(|line| line.trim() == "ready")
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

/// A free port on 127.0.0.1: `wish` if that is free, else one that `seed` picks.
///
/// # Errors
/// Not one of twelve thousand is free.
pub fn free_port(wish: Option<u16>, seed: u16) -> Result<u16, EmbeddedError> {
    let count = PORTS.end - PORTS.start;
    let rotated = (0..count).map(|step| PORTS.start + (seed % count + step) % count);
    wish.into_iter()
        .chain(rotated)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .ok_or_else(|| std::io::Error::other("none is free"))
        .tried(|| format!("looking for a port for PostgreSQL between {} and {}", PORTS.start, PORTS.end - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_wished_port_unless_it_is_taken() {
        // Between two looks a port may go to another process of this machine; not each time.
        let wishes = (0..20).map(|number| free_port(None, 4_711 + number).unwrap());
        let granted = |wish: &u16| PORTS.contains(wish) && free_port(Some(*wish), 0).unwrap() == *wish;
        let wish = wishes.into_iter().find(granted).unwrap();

        let _taken = TcpListener::bind(("127.0.0.1", wish)).unwrap();
        let other = free_port(Some(wish), wish - PORTS.start).unwrap();
        assert_ne!(other, wish);
    }

    #[test]
    fn is_ready_when_its_own_pid_file_says_so() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("postmaster.pid");
        assert!(!is_ready(&file, 12));
        std::fs::write(&file, "12\n/data\n1\n5432\n/run\n127.0.0.1\n 1 2\nstarting\n").unwrap();
        assert!(!is_ready(&file, 12));
        std::fs::write(&file, "12\n/data\n1\n5432\n/run\n127.0.0.1\n 1 2\nready   \n").unwrap();
        assert!(is_ready(&file, 12));
        assert!(!is_ready(&file, 13), "another server's file");
    }
}
