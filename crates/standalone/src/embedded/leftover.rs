//! A server that a killed run left behind.
//!
//! Only the holder of the data folder's lock comes here, so whatever server still runs on the folder has no master any more.
//! A `postmaster.pid` may also name a process that has nothing to do with it: process ids start again in every container.
//!
//! The file is never simply removed: it also names the shared memory by which PostgreSQL notices that a child of the old server
//! still writes.

use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::error::{EmbeddedError, Tried};
use super::folder::Folder;

/// Between two looks at a process that we cannot wait for, because it is not our child.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// After a fast shutdown (clients are cut off), and after an immediate one.
const PATIENCE: [(Signal, Duration); 2] =
    [(Signal::INT, Duration::from_secs(20)), (Signal::QUIT, Duration::from_secs(10))];

/// Stops the server that still runs on the folder, if one does, and sees to it that its `postmaster.pid` does not keep a new
/// one from starting for no reason.
///
/// # Errors
/// It does not stop.
pub fn clear(folder: &Folder) -> Result<(), EmbeddedError> {
    let cluster = folder.cluster();
    let file = cluster.join("postmaster.pid");
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).tried(|| format!("reading {}", file.display())),
    };
    let Some(pid) = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw) else {
        // The server was killed while it wrote this, before it had any shared memory.
        return remove(&file);
    };
    if !serves(pid, &cluster) {
        return inherit(&file);
    }
    tracing::warn!(pid = pid.as_raw_nonzero().get(), "stopping PostgreSQL, left over from a run that was killed");
    for (signal, patience) in PATIENCE {
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(std::io::Error::from(error)).tried(|| format!("stopping process {pid:?}")),
        }
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if !serves(pid, &cluster) {
                return inherit(&file);
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
    let pid = pid.as_raw_nonzero().get().unsigned_abs();
    Err(EmbeddedError::LeftOver { folder: folder.root().to_owned(), pid })
}

/// Whether the process is a `postgres` that was started on `cluster`.
fn serves(pid: Pid, cluster: &Path) -> bool {
    let pid = pid.as_raw_nonzero().get();
    let command_line = match std::fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(line) => line,
        Err(_) if Path::new("/proc/self").exists() => return false,
        // No /proc, as on macOS.
        Err(_) => Command::new("ps")
            .args(["-ww", "-o", "command=", "-p", &pid.to_string()])
            .stdin(Stdio::null())
            .output()
            .map(|output| output.stdout)
            .unwrap_or_default(),
    };
    // A process that has ended but was not waited for has an empty one.
    contains(&command_line, b"postgres") && contains(&command_line, cluster.as_os_str().as_bytes())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

/// Puts our own process id into the pid file of a server that is gone. A new server asks whether a process with that id
/// exists, whatever that may be by now, and refuses to start; only its own parent, which we are, it takes for a left-over.
/// Then it goes on to check the shared memory.
fn inherit(file: &Path) -> Result<(), EmbeddedError> {
    let rewrite = || {
        let text = std::fs::read_to_string(file)?;
        let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
        // In place: the file stays the server's user's own.
        std::fs::write(file, format!("{}\n{rest}", std::process::id()))
    };
    match rewrite() {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).tried(|| format!("writing {}", file.display())),
        _ => Ok(()),
    }
}

fn remove(file: &Path) -> Result<(), EmbeddedError> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).tried(|| format!("removing {}", file.display()))
        }
        _ => Ok(()),
    }
}
