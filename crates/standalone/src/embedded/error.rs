//! What can go wrong with the embedded server, each told so that the reader knows what to do next.

use std::fmt;
use std::io;
use std::path::PathBuf;

use super::binaries::OLDEST_MAJOR;

/// Why the embedded server cannot be had, or cannot be stopped.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// A setting that cannot be used; names the variable.
    #[error("{setting}: {message}")]
    Setting {
        /// The variable: `DATA_DIR` or `POSTGRES_BIN`.
        setting: &'static str,
        /// What is wrong with it and what it takes.
        message: String,
    },
    /// Neither this machine nor the network has a server that can be used.
    #[error("{0}")]
    NoBinaries(NoBinaries),
    /// Another process runs on the same data folder.
    #[error("DATA_DIR: {} is in use by another posthaste{}; stop it, or choose another folder", folder.display(), of_process(holder))]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The other's process id, where it is known.
        holder: Option<u32>,
    },
    /// The databases were made by a major version of which there are no binaries here.
    #[error(
        "the databases in {} were made by PostgreSQL {cluster}, but the server found in {} is PostgreSQL {found}; \
         install PostgreSQL {cluster}, or set DATA_DIR to another folder to start empty",
        folder.display(), binaries.display()
    )]
    OtherVersion {
        /// The data folder.
        folder: PathBuf,
        /// The major version that made it.
        cluster: u32,
        /// The major version found.
        found: u32,
        /// Where it was found.
        binaries: PathBuf,
    },
    /// A program of PostgreSQL, or one of the system's, failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Its name.
        program: String,
        /// How it ended and what it said.
        output: String,
    },
    /// The server did not come up.
    #[error("PostgreSQL did not start: {reason}\nThe last lines of {}:\n{tail}", log.display())]
    NotStarted {
        /// How it failed.
        reason: String,
        /// Its log file.
        log: PathBuf,
        /// The end of that file.
        tail: String,
    },
    /// A server left over from a killed run does not stop.
    #[error("PostgreSQL (process {pid}), left over from an earlier run in {}, does not stop; end it by hand", folder.display())]
    LeftOver {
        /// The data folder.
        folder: PathBuf,
        /// The server's process id.
        pid: u32,
    },
    /// We were asked to stop while it was starting.
    #[error("stopped while PostgreSQL was starting")]
    Abandoned,
    /// A file operation failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried, with its path.
        what: String,
        /// Why not.
        source: io::Error,
    },
}

impl EmbeddedError {
    /// Whether the server did not start because of something that passes by itself: memory that the children of a killed
    /// server still hold, or a port that somebody just took.
    pub(super) fn is_of_the_moment(&self) -> bool {
        matches!(self, Self::NotStarted { tail, .. }
            if tail.contains("is still in use") || tail.contains("Address already in use"))
    }
}

fn of_process(holder: &Option<u32>) -> String {
    holder.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// Adds to an [`io::Error`] what was tried.
pub(super) trait Tried<T> {
    /// `what` names the operation and the path.
    fn tried(self, what: impl FnOnce() -> String) -> Result<T, EmbeddedError>;
}

impl<T> Tried<T> for io::Result<T> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T, EmbeddedError> {
        self.map_err(|source| EmbeddedError::Io { what: what(), source })
    }
}

/// Everything that was tried in vain to find a server.
#[derive(Debug)]
pub struct NoBinaries {
    /// The folders that were looked into.
    pub searched: Vec<PathBuf>,
    /// What was found there and why it does not do.
    pub unusable: Vec<String>,
    /// Why none could be fetched; `None` where that was not allowed.
    pub download: Option<String>,
}

impl fmt::Display for NoBinaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no PostgreSQL server (version {OLDEST_MAJOR} or later) was found on this machine.")?;
        if !self.searched.is_empty() {
            let searched: Vec<_> = self.searched.iter().map(|place| place.display().to_string()).collect();
            writeln!(f, "Looked for initdb and postgres in: {}", searched.join(", "))?;
        }
        for unusable in &self.unusable {
            writeln!(f, "Not usable: {unusable}")?;
        }
        if let Some(reason) = &self.download {
            writeln!(f, "Fetching a build failed: {reason}")?;
        }
        writeln!(f, "Install one:")?;
        writeln!(f, "  Debian, Ubuntu        apt-get install postgresql")?;
        writeln!(f, "  Fedora, RHEL          dnf install postgresql-server")?;
        writeln!(f, "  macOS                 brew install postgresql@17")?;
        write!(
            f,
            "or set POSTGRES_BIN to the folder that holds its initdb and postgres, or set DATABASE_URL to a database that \
             already runs, such as postgres://user:password@host:5432/name"
        )
    }
}
