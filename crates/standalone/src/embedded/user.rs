//! The user that runs the server: ourselves, or, as PostgreSQL refuses to run as root, an unprivileged one.
//!
//! Nothing here calls `su` or `sudo`: a process of root changes its own user before it becomes the server.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::error::{EmbeddedError, Tried};

/// Who runs `initdb` and `postgres` and owns the databases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerUser {
    /// The user that runs this process.
    Myself,
    /// Another one, because this process is root's.
    Other {
        /// The login name.
        name: String,
        /// Its user id.
        uid: u32,
        /// Its main group.
        gid: u32,
    },
}

impl ServerUser {
    /// Ourselves; as root the user `postgres`, or else `nobody`.
    ///
    /// # Errors
    /// Root on a system that has neither.
    pub fn choose() -> Result<Self, EmbeddedError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Myself);
        }
        ["postgres", "nobody"].into_iter().find_map(look_up).ok_or_else(|| EmbeddedError::Program {
            program: "starting PostgreSQL as root".to_owned(),
            output:
                "it does not run as root, and this system has neither a user `postgres` nor `nobody` to run it as; \
                     start posthaste as an ordinary user"
                    .to_owned(),
        })
    }

    /// The numeric id of that user.
    pub fn uid(&self) -> u32 {
        match self {
            Self::Myself => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => *uid,
        }
    }

    /// A command that will run as this user, in `/`, which everybody may enter, and without our standard input.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir("/").stdin(Stdio::null());
        if let Self::Other { uid, gid, .. } = self {
            // std also drops the supplementary groups, which would be root's.
            command.uid(*uid).gid(*gid).env("HOME", "/");
        }
        command
    }

    /// Makes this user the owner of `path`.
    pub fn give(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Myself => Ok(()),
            Self::Other { uid, gid, .. } => chown(path, Some(*uid), Some(*gid)),
        }
    }

    /// Makes this user the owner of `path` and of everything below it.
    pub fn give_tree(&self, path: &Path) -> io::Result<()> {
        if *self == Self::Myself {
            return Ok(());
        }
        if std::fs::symlink_metadata(path)?.is_dir() {
            for entry in std::fs::read_dir(path)? {
                self.give_tree(&entry?.path())?;
            }
        } else if path.is_symlink() {
            return Ok(());
        }
        self.give(path)
    }

    /// The outermost folder on the way to `folder` that this user may not enter, if there is one.
    ///
    /// # Errors
    /// No shell could be run.
    pub fn barred_from(&self, folder: &Path) -> Result<Option<PathBuf>, EmbeddedError> {
        if *self == Self::Myself {
            return Ok(None);
        }
        let mut way: Vec<_> = folder.ancestors().collect();
        way.reverse();
        for step in way {
            let entered = self
                .command("/bin/sh")
                .args(["-c", r#"cd -- "$1""#, "sh"])
                .arg(step)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .tried(|| "running /bin/sh".to_owned())?;
            if !entered.success() {
                return Ok(Some(step.to_owned()));
            }
        }
        Ok(None)
    }
}

/// Asks `id`, which knows every source of users that the system has.
fn look_up(name: &str) -> Option<ServerUser> {
    let ask = |flag: &str| {
        let output = Command::new("id").args([flag, name]).stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8(output.stdout).ok()?.trim().parse::<u32>().ok())?
    };
    let (uid, gid) = (ask("-u")?, ask("-g")?);
    (uid != 0).then(|| ServerUser::Other { name: name.to_owned(), uid, gid })
}
