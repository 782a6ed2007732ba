//! A PostgreSQL server of Posthaste's own, for one machine and for development.
//!
//! [`Embedded::start`] finds a server on this machine (or fetches one), keeps its databases in a data folder between runs, and
//! runs it as a child process on a socket and on a free port of 127.0.0.1, as an unprivileged user where we are root.
//! What is committed is on disk: nothing of the server's own durability is switched off.
//!
//! - A server that dies while we run is started again on the same port, with a growing wait; its clients reconnect.
//! - [`Embedded::stop`] and `Drop` end it cleanly. Where this process is killed, a guard does so; and where that is killed as
//!   well, the next start finds the server, stops it, and recovers what it left.
//!
//! Everything here blocks: it needs no runtime, and from one it is to be called on a thread for blocking work.

pub mod binaries;
mod cluster;
mod error;
mod folder;
mod guard;
mod install;
mod leftover;
mod postmaster;
mod supervisor;
mod user;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub use binaries::{Binaries, OLDEST_MAJOR, Search};
pub use cluster::NAME;
pub use error::{EmbeddedError, NoBinaries};
pub use folder::default_folder;
pub use postmaster::free_port;
pub use user::ServerUser;

use folder::Folder;
use postmaster::{Launch, Postmaster};
use supervisor::Supervisor;

/// How an embedded server is to be had.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder kept between runs; see [`default_folder`].
    pub folder: PathBuf,
    /// Where to look for the programs.
    pub search: Search,
    /// Settings of the server (`name`, `value`) over and above its defaults.
    pub parameters: Vec<(String, String)>,
    /// What happens when the server dies by itself.
    pub restart: Restart,
    /// Whether the data folder is deleted when the server stops or this process dies, as tests want it.
    pub discard: bool,
}

/// What happens when the server dies by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// It is started again, after a wait that grows from 100 ms to 5 s.
    Always,
    /// It stays down until [`Embedded::start_again`].
    ByHand,
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct Embedded {
    supervisor: Supervisor,
    folder: Arc<Folder>,
    port: u16,
    password: String,
    discard: bool,
}

/// Starting may meet what a killed run left behind for another moment: its shared memory, or a port just taken by another.
const START_TRIES: u16 = 8;
const BETWEEN_TRIES: Duration = Duration::from_millis(500);

impl Embedded {
    /// Starts the server and returns once it accepts connections: in a tenth of a second on a cluster that exists, in a few
    /// seconds on a new one, later if a build is to be fetched or a crash to be recovered from.
    ///
    /// # Errors
    /// See [`EmbeddedError`]; `Abandoned` when `stop` was cancelled meanwhile.
    pub fn start(settings: Settings, stop: &CancellationToken) -> Result<Self, EmbeddedError> {
        let folder = Folder::open(&settings.folder)?;
        let binaries = choose_binaries(&folder, &settings.search, stop)?;
        leftover::clear(&folder)?;
        if stop.is_cancelled() {
            return Err(EmbeddedError::Abandoned);
        }
        cluster::ensure(&folder, &binaries, settings.discard)?;
        let password = cluster::password(&folder)?;
        folder.new_log()?;
        let mut launch = Launch { binaries, port: 0, parameters: settings.parameters, discard: settings.discard };
        let postmaster = first_start(&folder, &mut launch, stop)?;
        folder.keep_port(launch.port)?;
        tracing::info!(
            folder = %folder.root().display(), port = launch.port, major = launch.binaries.major, "PostgreSQL is running"
        );
        let (port, discard, folder) = (launch.port, launch.discard, Arc::new(folder));
        let supervisor = Supervisor::watch(postmaster, Arc::clone(&folder), launch, settings.restart)?;
        Ok(Self { supervisor, folder, port, password, discard })
    }

    /// The URL of a database on this server, over TCP, with the password; of Posthaste's own with [`NAME`].
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{NAME}:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The folder of its socket. From there no password is needed; only the server's user and root may enter it.
    pub fn sockets(&self) -> &Path {
        self.folder.sockets()
    }

    /// The data folder.
    pub fn folder(&self) -> &Path {
        self.folder.root()
    }

    /// Its port on 127.0.0.1, the same until it is stopped.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process id of the server, `None` while it is down.
    pub fn pid(&self) -> Option<u32> {
        self.supervisor.pid()
    }

    /// Starts a server that died, where that is done by hand. Returns once it accepts connections.
    ///
    /// # Errors
    /// It did not start, or is not down within a minute.
    pub fn start_again(&self) -> Result<(), EmbeddedError> {
        self.supervisor.start_again()
    }

    /// Ends the server: clients are cut off, everything committed is on disk. Within 20 s, or else less gently.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.supervisor.stop();
        if self.discard {
            let _ = std::fs::remove_dir_all(self.folder.root());
        }
    }
}

/// The programs for the folder: those of the version that made its cluster, or else the first found, or else fetched ones.
fn choose_binaries(folder: &Folder, search: &Search, stop: &CancellationToken) -> Result<Binaries, EmbeddedError> {
    let cluster = cluster::major(folder)?;
    let found = search.find(folder.user());
    let suits = |binaries: &&Binaries| cluster.is_none_or(|major| binaries.major == major);
    if let Some(binaries) = found.usable.iter().find(suits) {
        return Ok(binaries.clone());
    }
    let mut download = None;
    if search.allow_download {
        match install::fetch(&folder.binaries(), cluster, folder.user(), stop) {
            Ok(binaries) => return Ok(binaries),
            Err(_) if stop.is_cancelled() => return Err(EmbeddedError::Abandoned),
            Err(reason) => download = Some(reason),
        }
    }
    match (cluster, found.usable.first()) {
        (Some(cluster), Some(other)) => Err(EmbeddedError::OtherVersion {
            folder: folder.root().to_owned(),
            cluster,
            found: other.major,
            binaries: other.folder.clone(),
        }),
        _ => Err(EmbeddedError::NoBinaries(NoBinaries {
            searched: search.places.clone(),
            unusable: found.unusable,
            download,
        })),
    }
}

fn first_start(folder: &Folder, launch: &mut Launch, stop: &CancellationToken) -> Result<Postmaster, EmbeddedError> {
    let mut wish = folder.last_port();
    // Two that start at once shall not try the same ports; they cannot have the same process id.
    let mut seed = u16::try_from(std::process::id() % 60_000).unwrap_or_default();
    let mut tries = 1;
    loop {
        launch.port = free_port(wish.take(), seed)?;
        match Postmaster::start(folder, launch, &|| stop.is_cancelled()) {
            Err(error) if tries < START_TRIES && error.is_of_the_moment() => {
                tries += 1;
                seed = seed.wrapping_add(101);
                std::thread::sleep(BETWEEN_TRIES);
            }
            result => return result,
        }
    }
}
