//! The data folder: what is kept between runs, and whose it is.
//!
//! ```text
//! posthaste.lock   held while a posthaste runs on the folder; holds its process id
//! cluster/         the databases (PGDATA)
//! password         of the database user `posthaste`
//! secrets.key      what secrets and credentials are encrypted with, unless SECRETS_KEY says so
//! port             the TCP port of the last run, taken again if it is free
//! postgres.log     what the server says in this run; postgres.log.1: in the run before
//! run/             the socket, for this user only
//! binaries/        a fetched build, if none was found
//! ```
//!
//! Only one process at a time has a [`Folder`]; the lock goes with the process, however that ends.

use std::fs::{DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{ErrorKind, Read, Seek, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::error::{EmbeddedError, Tried};
use super::user::ServerUser;

/// A socket's path may have 107 bytes (103 on macOS), and `/.s.PGSQL.12345` comes after the folder.
const LONGEST_SOCKET_FOLDER: usize = 85;

/// A data folder that is locked for this process.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    sockets: PathBuf,
    user: ServerUser,
    _lock: File,
}

/// Where the data folder is when `DATA_DIR` does not say: `/var/lib/posthaste` for root (the server's user cannot enter
/// root's home), else `$XDG_DATA_HOME/posthaste` or `~/.local/share/posthaste`.
///
/// # Errors
/// There is neither `XDG_DATA_HOME` nor `HOME`.
pub fn default_folder() -> Result<PathBuf, EmbeddedError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/posthaste"));
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|data| data.join("posthaste"))
        .ok_or_else(|| EmbeddedError::Setting {
            setting: "DATA_DIR",
            message: "this user has no HOME; set it to the folder to keep the databases in".to_owned(),
        })
}

impl Folder {
    /// Makes the folder where it does not exist, and locks it.
    ///
    /// # Errors
    /// It cannot be made or written to, another process has it, or the server's user could not enter it.
    pub fn open(path: &Path) -> Result<Self, EmbeddedError> {
        let user = ServerUser::choose()?;
        let unusable = |message: String| EmbeddedError::Setting { setting: "DATA_DIR", message };
        let made = DirBuilder::new().recursive(true).mode(0o755).create(path).and_then(|()| path.canonicalize());
        let root = made.map_err(|error| unusable(format!("{} cannot be made: {error}", path.display())))?;
        if let Some(barrier) = user.barred_from(&root)? {
            let name = if let ServerUser::Other { name, .. } = &user { name } else { "" };
            return Err(unusable(format!(
                "started as root, PostgreSQL runs as the user {name}, who may not enter {}; choose a folder elsewhere, \
                 such as below /var/lib",
                barrier.display()
            )));
        }
        let lock = lock(&root)?;
        let sockets = socket_folder(&root, &user)?;
        Ok(Self { root, sockets, user, _lock: lock })
    }

    /// The folder itself, without symbolic links.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Who runs the server here.
    pub fn user(&self) -> &ServerUser {
        &self.user
    }

    /// The databases.
    pub fn cluster(&self) -> PathBuf {
        self.root.join("cluster")
    }

    /// The server's log file.
    pub fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    /// The file with the password of the database user.
    pub fn password_file(&self) -> PathBuf {
        self.root.join("password")
    }

    /// The folder of the server's socket; only the server's user (and root) may enter it.
    pub fn sockets(&self) -> &Path {
        &self.sockets
    }

    /// Where fetched builds lie.
    pub fn binaries(&self) -> PathBuf {
        self.root.join("binaries")
    }

    /// The port of the last run.
    pub fn last_port(&self) -> Option<u16> {
        std::fs::read_to_string(self.root.join("port")).ok()?.trim().parse().ok()
    }

    /// Keeps the port for the next run.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_port(&self, port: u16) -> Result<(), EmbeddedError> {
        let path = self.root.join("port");
        std::fs::write(&path, format!("{port}\n")).tried(|| format!("writing {}", path.display()))
    }

    /// Starts a new log file; the last run's is kept beside it.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn new_log(&self) -> Result<(), EmbeddedError> {
        let log = self.log();
        match std::fs::rename(&log, self.root.join("postgres.log.1")) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => File::create(&log).map(drop),
        }
        .tried(|| format!("making {}", log.display()))
    }

    /// Makes a folder or finds it, for the server's user alone.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make_private(&self, path: &Path) -> Result<(), EmbeddedError> {
        make_private(path, &self.user).tried(|| format!("making {}", path.display()))
    }
}

fn make_private(path: &Path, user: &ServerUser) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => user.give(path),
    }
}

fn lock(root: &Path) -> Result<File, EmbeddedError> {
    let path = root.join("posthaste.lock");
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(&path).map_err(
            |error| EmbeddedError::Setting {
                setting: "DATA_DIR",
                message: format!("{} cannot be written to: {error}", root.display()),
            },
        )?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            // What it says is only for the message.
            let holder = file.read_to_string(&mut holder).ok().and_then(|_| holder.trim().parse().ok());
            return Err(EmbeddedError::InUse { folder: root.to_owned(), holder });
        }
        Err(error) => return Err(std::io::Error::from(error)).tried(|| format!("locking {}", path.display())),
    }
    let mut tell = || {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    tell().tried(|| format!("writing {}", path.display()))?;
    Ok(file)
}

/// `run` in the data folder, or a folder in /tmp with a name of its own where that path is too long for a socket.
fn socket_folder(root: &Path, user: &ServerUser) -> Result<PathBuf, EmbeddedError> {
    let near = root.join("run");
    if near.as_os_str().as_bytes().len() <= LONGEST_SOCKET_FOLDER {
        make_private(&near, user).tried(|| format!("making {}", near.display()))?;
        return Ok(near);
    }
    let mut hasher = DefaultHasher::new();
    root.hash(&mut hasher);
    let far = PathBuf::from(format!("/tmp/posthaste-{}-{:016x}", user.uid(), hasher.finish()));
    DirBuilder::new()
        .mode(0o700)
        .create(&far)
        .or_else(|error| if error.kind() == ErrorKind::AlreadyExists { Ok(()) } else { Err(error) })
        .and_then(|()| std::fs::symlink_metadata(&far))
        .and_then(|found| {
            // Anybody may make folders in /tmp: one that is not ours alone was put there by somebody else.
            let made_by_us = found.uid() == rustix::process::geteuid().as_raw() || found.uid() == user.uid();
            if found.is_dir() && made_by_us && found.mode().trailing_zeros() >= 6 {
                user.give(&far)
            } else {
                Err(std::io::Error::other("it belongs to another user"))
            }
        })
        .tried(|| format!("making the socket's folder {}", far.display()))?;
    Ok(far)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Below /tmp, which the server's user may enter whoever runs the test.
    fn home() -> tempfile::TempDir {
        let home = tempfile::tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(home.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        home
    }

    #[test]
    fn a_second_one_is_told_who_has_the_folder() {
        let home = home();
        let first = Folder::open(home.path()).unwrap();
        let second = Folder::open(home.path()).unwrap_err();
        assert!(
            matches!(&second, EmbeddedError::InUse { holder: Some(pid), .. } if *pid == std::process::id()),
            "{second:?}"
        );
        assert!(second.to_string().contains("DATA_DIR"), "{second}");

        drop(first);
        Folder::open(home.path()).unwrap();
    }

    #[test]
    fn a_socket_fits_however_long_the_path_is() {
        let home = home();
        let long = home.path().join("d".repeat(60)).join("e".repeat(60));
        let folder = Folder::open(&long).unwrap();
        let socket = folder.sockets().join(".s.PGSQL.65535");
        assert!(socket.as_os_str().len() <= 100, "{}", socket.display());
        assert_eq!(std::fs::metadata(folder.sockets()).unwrap().mode() & 0o777, 0o700);
        // The same again after a crash.
        let sockets = folder.sockets().to_owned();
        drop(folder);
        assert_eq!(Folder::open(&long).unwrap().sockets(), sockets);
        std::fs::remove_dir(sockets).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_made_names_the_setting() {
        let home = home();
        let file = home.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = Folder::open(&file.join("below")).unwrap_err();
        assert!(matches!(error, EmbeddedError::Setting { setting: "DATA_DIR", .. }), "{error:?}");
    }
}
